// Talks to the operator's API beside this page. The session is a cookie that no script sees.

const PATIENCE_MS = 10_000;
let csrfToken = "";

/** The session has ended, or there was none. */
export class Ended extends Error {}

/** No answer came, or an answer of another server than the guard's API. */
export class Lost extends Error {}

/** The API refused the request. `problem` is its answer (RFC 9457). */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.errors?.[0]?.message || `the answer was ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** Exchange the token for a session: the only request that carries it. */
export async function open(token) {
  const session = await send("POST", "session", { headers: { Authorization: `Bearer ${token}` } });
  csrfToken = session.csrf_token;
  return session;
}

/** The session of the cookie; throws Ended without one. */
export async function resume() {
  const session = await send("GET", "session");
  csrfToken = session.csrf_token;
  return session;
}

export const close = () => change("DELETE", "session");

export const look = (path) => send("GET", path);

/** Change something. `query` and `body` are fields. */
export function change(method, path, { query, body } = {}) {
  const headers = { "X-CSRF-Token": csrfToken };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const search = query === undefined ? "" : `?${new URLSearchParams(query)}`;
  return send(method, path + search, { headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

async function send(method, path, { headers = {}, body } = {}) {
  let answer;
  let value;
  try {
    answer = await fetch(path, {
      method,
      body,
      headers: { Accept: "application/json", ...headers },
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    value = await answer.json();
  } catch (error) {
    throw new Lost(error.message);
  }
  if (answer.ok) return value;
  if (answer.status === 401) throw new Ended();
  if (answer.status === 502 || answer.status === 504) throw new Lost(`the answer was ${answer.status}`);
  throw new Refused(answer.status, value);
}
