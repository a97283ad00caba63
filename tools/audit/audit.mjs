// Runs graphql-http's server audits against one URL and prints their results as JSON.
// One after the other: the suite's own auditServer() sends all at once, which is more than one caller may have at work.
import { serverAudits } from 'graphql-http';

const results = [];
for (const { id, name, fn } of serverAudits({ url: process.argv[2] })) {
  const result = await fn();
  results.push({
    id,
    name,
    status: result.status,
    reason: result.reason ?? null,
    http: result.response?.status ?? null,
  });
}
console.log(JSON.stringify(results));
