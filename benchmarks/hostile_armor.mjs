// graphql-armor's rules with their own defaults on graphql-js, as a peer of `python -m benchmarks hostile`.
// Same conversation as hostile_worker.py: the path of a body a line, CPU milliseconds and the outcome back.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

// The packages' CommonJS builds and graphql's must be one and the same module, or types do not compare.
const require = createRequire(import.meta.url);
const { buildSchema, GraphQLError, Source, specifiedRules, validate } = require('graphql');
const { costLimitRule } = require('@escape.tech/graphql-armor-cost-limit');
const { maxAliasesRule } = require('@escape.tech/graphql-armor-max-aliases');
const { maxDepthRule } = require('@escape.tech/graphql-armor-max-depth');
const { maxDirectivesRule } = require('@escape.tech/graphql-armor-max-directives');
const { MaxTokensParserWLexer } = require('@escape.tech/graphql-armor-max-tokens');

const REPEATED_BELOW_MS = 50;
const REPEATS = 5;
const schema = buildSchema(readFileSync(process.argv[2], 'utf8'));
const rules = [...specifiedRules, costLimitRule(), maxAliasesRule(), maxDepthRule(), maxDirectivesRule()];

function outcome(body) {
  try {
    const text = JSON.parse(body).query;
    const document = new MaxTokensParserWLexer(new Source(text)).parseDocument();
    return validate(schema, document, rules).length ? 'refused' : 'admitted';
  } catch (problem) {
    return problem instanceof GraphQLError || problem instanceof SyntaxError ? 'refused' : problem.name;
  }
}

const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
};

function measure(body) {
  const figures = [];
  let became = '';
  while (figures.length < REPEATS && !(figures.at(-1) >= REPEATED_BELOW_MS)) {
    const began = cpuMs();
    became = outcome(body);
    figures.push(cpuMs() - began);
  }
  figures.sort((left, right) => left - right);
  return { ms: figures[figures.length >> 1], outcome: became, cpu: cpuMs() / 1e3 };
}

measure('{"query":"{users{id}}"}');
console.log(JSON.stringify({ cpu: cpuMs() / 1e3 }));
for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(measure(readFileSync(line, 'utf8'))));
}
