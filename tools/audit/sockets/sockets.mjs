// One real client runs one operation over a socket or as server-sent events, and what it did and got is printed as JSON.
//
//   node sockets.mjs '{"client": "graphql-ws", "url": "ws://...", "document": "{ me { id } }", "seconds": 10}'
//
// Also: variables; connectionParams (the payload of connection_init: an object, or a list with one for each connection);
// headers (of the upgrade or the request, likewise); stay (run for all of the seconds, not only to the operation's end);
// times (run the operation so often at once); enough (stop after so many results and errors); retrySeconds (in place of
// the waits of graphql-ws and graphql-sse before they try again).
// It prints when (in seconds) it connected, how its sockets were closed, the HTTP statuses that came instead, all
// results and errors that the app saw, with their extensions, how the last operation ended, and which messages came.
import { createRequire } from 'node:module';
import { ApolloClient, InMemoryCache, gql } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { Client, subscriptionExchange } from '@urql/core';
import { createClient as createSseClient } from 'graphql-sse';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

const { SubscriptionClient } = createRequire(import.meta.url)('subscriptions-transport-ws');

const { client, url, document, variables = {}, connectionParams, headers = {}, seconds, stay, times = 1, enough, retrySeconds } =
  JSON.parse(process.argv[2]);
const AFTER_ITS_END_MS = 300; // for what a client does after it has reported the end
const beganAt = performance.now();
const seen = { client, connects: [], closes: [], statuses: [], results: [], errors: [], ended: null, told: [] };
const RESULTS = ['next', 'data'];
let open = times;

const now = () => Math.round(performance.now() - beganAt) / 1000;
const nth = (given, count) => (Array.isArray(given) ? given[Math.min(count, given.length - 1)] : given);

class CountedSocket extends WebSocket {
  constructor(address, protocols) {
    super(address, protocols, { headers: nth(headers, seen.connects.length) });
    seen.connects.push(now());
    this.on('message', (text) => {
      const { type } = JSON.parse(text);
      if (!RESULTS.includes(type)) seen.told.push(type);
    });
    this.on('close', (code, reason) => seen.closes.push({ code, reason: String(reason) }));
    this.on('error', (problem) => {
      const refused = /Unexpected server response: (\d+)/.exec(problem.message);
      if (refused) seen.statuses.push(Number(refused[1]));
    });
  }
}

globalThis.WebSocket ??= WebSocket; // Apollo's link asks whether an error came from one; Node has one from 22 on

const send = globalThis.fetch;
globalThis.fetch = async (input, init) => {
  const more = nth(headers, seen.connects.length);
  seen.connects.push(now());
  const response = await send(input, { ...init, headers: { ...init?.headers, ...more } });
  seen.statuses.push(response.status);
  return response;
};

// Whatever a client shows its app: a list of GraphQL errors, an error with such a list in it, a close event, any error.
function errorsOf(problem) {
  if (Array.isArray(problem)) return problem.flatMap(errorsOf);
  const inner = problem?.graphQLErrors?.length ? problem.graphQLErrors : problem?.errors;
  if (Array.isArray(inner) && inner.length) return inner.flatMap(errorsOf);
  if (problem?.networkError) return errorsOf(problem.networkError);
  const { message = String(problem), extensions = null, code = null, reason = null } = problem ?? {};
  return [{ message: message || reason || '', extensions, code: typeof code === 'number' ? code : null }];
}

const sink = {
  next: (result) => {
    const { data = null, errors, error } = result;
    if (data !== null) seen.results.push(data);
    if (errors ?? error) seen.errors.push(...errorsOf(errors ?? error));
    stopIfEnough();
  },
  error: (problem) => {
    seen.errors.push(...errorsOf(problem));
    end('error');
  },
  complete: () => end('complete'),
};

function end(how) {
  open -= 1;
  if (open === 0) seen.ended = how;
  if (open === 0 && !stay) setTimeout(report, AFTER_ITS_END_MS);
  stopIfEnough();
}

function stopIfEnough() {
  if (enough && seen.results.length + seen.errors.length >= enough) setTimeout(report, AFTER_ITS_END_MS);
}

function report() {
  console.log(JSON.stringify(seen));
  process.exit(0);
}

const params = () => nth(connectionParams, seen.connects.length - 1);
const wait = () => new Promise((waited) => setTimeout(waited, retrySeconds * 1000));
const waits = retrySeconds === null || retrySeconds === undefined ? {} : { retryWait: wait, retry: wait }; // the names of either
const current = () =>
  createClient({ url, webSocketImpl: CountedSocket, connectionParams: params, onNonLazyError: () => {}, ...waits });

const clients = {
  'graphql-ws': () => {
    const wire = current();
    for (let count = 0; count < times; count += 1) wire.subscribe({ query: document, variables }, sink);
  },
  'subscriptions-transport-ws': () => {
    const options = { reconnect: true, connectionParams: () => params() ?? {} };
    new SubscriptionClient(url, options, CountedSocket).request({ query: document, variables }).subscribe(sink);
  },
  'graphql-sse': () => createSseClient({ url, ...waits }).subscribe({ query: document, variables }, sink),
  apollo: () => {
    const apollo = new ApolloClient({ cache: new InMemoryCache(), link: new GraphQLWsLink(current()) });
    apollo.subscribe({ query: gql(document), variables, errorPolicy: 'all' }).subscribe(sink);
  },
  urql: () => {
    const wire = current();
    const forward = (operation) => ({ subscribe: (to) => ({ unsubscribe: wire.subscribe(operation, to) }) });
    const exchanges = [subscriptionExchange({ forwardSubscription: forward, enableAllOperations: true })];
    const urql = new Client({ url, exchanges, preferGetMethod: false });
    urql.subscription(document, variables).subscribe((result) => {
      if (result.hasNext || result.error) sink.next(result); // it shows the last one again at the end
      if (!result.hasNext || result.error) end(result.error ? 'error' : 'complete');
    });
  },
};

process.on('unhandledRejection', (problem) => seen.errors.push(...errorsOf(problem)));
setTimeout(report, seconds * 1000);
clients[client]();
