// Real clients against one URL: each asks as its documentation says, and what its app gets to see is printed as JSON.
// What an app sees is "data", or the extensions.code and the message of an error wherever the client puts it.
import { createHash } from 'node:crypto';
import * as apollo4 from '@apollo/client';
import { BatchHttpLink as BatchHttpLink4 } from '@apollo/client/link/batch-http';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { RetryLink as RetryLink4 } from '@apollo/client/link/retry';
import * as apollo3 from 'apollo-client-3/core/index.js';
import { BatchHttpLink as BatchHttpLink3 } from 'apollo-client-3/link/batch-http/index.js';
import { createPersistedQueryLink } from 'apollo-client-3/link/persisted-queries/index.js';
import { RetryLink as RetryLink3 } from 'apollo-client-3/link/retry/index.js';
import { Client, fetchExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { GraphQLClient } from 'graphql-request';
import relay from 'relay-runtime';

const [url, kind] = process.argv.slice(2);
const GOOD = 'query Good { user(id: "user-1") { id } }';
const BAD = `query Bad { user(id: "user-1") ${'{ invitedBy '.repeat(14)} { id } ${'}'.repeat(14)} }`;
const document = kind === 'refused' ? BAD : GOOD;
const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// What really went over the wire.
let wire = { statuses: [], batch: 0 };
const send = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const response = await send(input, init);
  wire.statuses.push(response.status);
  const body = String(init?.body ?? '');
  if (body.startsWith('[')) wire.batch = JSON.parse(body).length;
  return response;
};

// The recipe of docs/clients.md.
async function patientFetch(input, init) {
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(input, init);
    const seconds = Number(response.headers.get('retry-after'));
    const refused = response.status === 429 || response.status === 503;
    if (!refused || !(seconds > 0) || seconds > 60 || attempt === 4) return response;
    await response.body?.cancel();
    await sleep((seconds + Math.random() / 10) * 1000);
  }
}

// The errors that a client shows its app: in the result, or inside what it throws.
function errorsOf(found) {
  for (const each of [
    found?.errors,
    found?.graphQLErrors,
    found?.networkError?.result,
    found?.result,
    found?.response?.[0], // of a batch
    found?.response,
    found?.source,
    found?.error,
    found?.bodyText && JSON.parse(found.bodyText),
  ]) {
    const inner = Array.isArray(each) && each[0]?.errors ? each[0].errors : each;
    if (Array.isArray(inner) && inner.length) return inner;
    const deeper = inner && typeof inner === 'object' && !Array.isArray(inner) ? errorsOf(inner) : null;
    if (deeper) return deeper;
  }
  return null;
}

async function seen(ask) {
  try {
    const result = await ask();
    if (result?.data?.user?.id === 'user-1') return { outcome: 'data' };
    if (result?.user?.id === 'user-1') return { outcome: 'data' };
    const errors = errorsOf(result);
    return { outcome: errors?.[0]?.extensions?.code ?? `nothing: ${JSON.stringify(result)}` };
  } catch (problem) {
    // BatchHttpLink's own complaint stands in the place of the refusal, which is buried below it.
    const errors = /results with length/i.test(String(problem)) ? null : errorsOf(problem);
    return { outcome: errors?.[0]?.extensions?.code ?? `hidden: ${problem}` };
  }
}

const waits = {
  attempts: (attempt, _operation, error) => attempt < 4 && [429, 503].includes(error.statusCode),
  delay: (_attempt, _operation, error) => (Number(error.response.headers.get('retry-after')) + 0.1) * 1000,
};

function ofApollo(apollo, RetryLink, BatchHttpLink, persisted) {
  const { ApolloClient, ApolloLink, HttpLink, InMemoryCache, gql } = apollo;
  const retry = kind === 'retry' ? [new RetryLink(waits)] : [];
  const client = (link) =>
    new ApolloClient({ cache: new InMemoryCache(), link: ApolloLink.from([...retry, link]), queryDeduplication: false });
  const ask = (made) => made.query({ query: gql(document), fetchPolicy: 'no-cache' });
  const batching = client(new BatchHttpLink({ uri: url, batchMax: 3, batchInterval: 20 }));
  const http = () => new HttpLink({ uri: url });
  return {
    single: () => ask(client(http())),
    batch: async () => {
      const found = await Promise.allSettled([ask(batching), ask(batching), ask(batching)]);
      const failed = found.find((each) => each.status === 'rejected');
      if (failed) throw failed.reason;
      return found[2].value;
    },
    persisted: () => ask(client(ApolloLink.from([persisted({ sha256 }), http()]))),
  };
}

function ofUrql() {
  const options = { url, fetch: kind === 'retry' ? patientFetch : fetch, preferGetMethod: false };
  const hash = { preferGetForPersistedQueries: false, generateHash: async (text) => sha256(text) };
  const persisted = persistedExchange(hash);
  const ask = (exchanges) => new Client({ ...options, exchanges }).query(document, {}).toPromise();
  return { single: () => ask([fetchExchange]), persisted: () => ask([persisted, fetchExchange]) };
}

function ofGraphqlRequest() {
  const client = new GraphQLClient(url, { fetch: kind === 'retry' ? patientFetch : fetch });
  return {
    single: () => client.request(document),
    batch: async () => (await client.batchRequests([{ document }, { document }, { document }]))[2],
  };
}

function ofRelay() {
  const { Environment, Network, RecordSource, Store } = relay;
  const fetcher = kind === 'retry' ? patientFetch : fetch;
  const network = Network.create(async (request, variables) => {
    const response = await fetcher(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: request.text, variables }),
    });
    return response.json();
  });
  const environment = new Environment({ network, store: new Store(new RecordSource()) });
  const params = { name: 'Good', operationKind: 'query', text: document, id: null, cacheID: 'x', metadata: {} };
  return { single: () => environment.getNetwork().execute(params, {}, {}, null).toPromise() };
}

const clients = {
  'Apollo Client 3': ofApollo(apollo3, RetryLink3, BatchHttpLink3, createPersistedQueryLink),
  'Apollo Client 4': ofApollo(apollo4, RetryLink4, BatchHttpLink4, (options) => new PersistedQueryLink(options)),
  urql: ofUrql(),
  'graphql-request': ofGraphqlRequest(),
  Relay: ofRelay(),
};
const results = [];
for (const [client, forms] of Object.entries(clients)) {
  for (const [form, ask] of Object.entries(forms)) {
    wire = { statuses: [], batch: 0 };
    const { outcome } = await seen(ask);
    results.push({ client, form, outcome, ...wire });
  }
}
console.log(JSON.stringify(results));
process.exit(0);
