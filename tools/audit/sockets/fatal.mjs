// Which codes of a close frame end the npm package graphql-ws at once: with each of them, a client of it is closed before
// its init is acknowledged, and tries again or does not. Prints those after which it does not, as JSON.
import { createClient } from 'graphql-ws';

const CODES = [...Array(16).keys()].map((n) => 1000 + n).concat([...Array(1000).keys()].map((n) => 4000 + n));

function retries(code) {
  return new Promise((found) => {
    let connects = 0;
    class ClosedSocket {
      static CONNECTING = 0;
      static OPEN = 1;
      static CLOSING = 2;
      static CLOSED = 3;
      constructor() {
        connects += 1;
        if (connects > 1) found(true); // and is never closed: after 1000 a client would go on for ever
        else setImmediate(() => this.onclose({ code, reason: '', wasClean: true }));
      }
      close() {}
      send() {}
    }
    const settings = { webSocketImpl: ClosedSocket, retryAttempts: 1, retryWait: async () => {} };
    const client = createClient({ url: 'ws://host.invalid/graphql', ...settings });
    client.subscribe({ query: '{ a }' }, { next() {}, error: () => found(false), complete: () => found(false) });
  });
}

const fatal = [];
for (const code of CODES) if (!(await retries(code))) fatal.push(code);
console.log(JSON.stringify(fatal));
process.exit(0);
