// The lists of the console, as tables. `act` has the actions of their buttons: each is called with the item of its row.

import { byId } from "./dom.js";
import * as format from "./format.js";
import { Table } from "./tables.js";

const FROM_FILE = "overrides file";

const who = ({ user_id, ip_address }) => (user_id && user_id !== "anonymous" ? { text: user_id, sub: ip_address, roomy: true } : { text: ip_address, roomy: true });
const POLICIES = { dos: "expensive queries", operator: "an operator’s block" };
const policyName = (policy) => POLICIES[policy] ?? format.words(policy);
const codes = (byCode) => Object.entries(byCode).map(([code, times]) => `${code} ${format.count(times)}`).join(", ");
const moment = (at) => ({ text: format.clock(at), number: true });

export const sanctions = (act) =>
  new Table(byId("sanctions-table"), {
    caption: "Sanctions in force",
    empty: "Nobody is blocked or locked out.",
    key: ({ target, policy, origin }) => JSON.stringify([target, policy, origin]),
    columns: [
      { title: "Caller", cell: ({ target, origin }) => ({ text: format.target(target), tag: origin === "operator" ? "by hand" : "" }) },
      { title: "Why", cell: ({ policy, reason, actor }) => ({ text: reason || policyName(policy), sub: actor ? `by ${actor}` : reason ? policyName(policy) : "" }) },
      { title: "Ends in", cell: ({ expires_in_seconds: left }) => ({ text: format.duration(left), number: true }) },
      { title: "Action", button: { text: "Lift", label: ({ target }) => `Lift the sanction of ${format.target(target)}`, run: act.lift } },
    ],
  });

export const offenders = (act) =>
  new Table(byId("offenders-table"), {
    caption: "Users and addresses with the most refusals in five minutes",
    empty: "Nobody was refused in the last five minutes.",
    key: ({ target }) => JSON.stringify(target),
    columns: [
      { title: "Caller", cell: ({ target, by_code }) => ({ text: format.target(target), sub: codes(by_code) }) },
      { title: "Requests", cell: ({ requests }) => ({ text: format.count(requests), number: true }) },
      { title: "Refused", cell: ({ refusals: refused, requests }) => ({ text: format.count(refused), sub: requests ? format.percent(refused / requests) : "", number: true }) },
      { title: "Action", button: { text: "Block…", label: ({ target }) => `Block ${format.target(target)}: fill in the form`, run: act.blockThis } },
    ],
  });

export const refusals = (act) =>
  new Table(byId("refusals-table"), {
    caption: "Last refusals, the newest first",
    empty: "Nothing was refused lately.",
    key: ({ request_id }) => request_id,
    columns: [
      { title: "At", cell: ({ at }) => moment(at) },
      {
        title: "What",
        cell: ({ code, status, protection, enforced, message, detail, limit, actual }) => ({
          text: code,
          tag: enforced ? "" : "only watched",
          sub: [status, format.words(protection), numbers(limit, actual), detail || message].filter(Boolean).join(" · "),
          roomy: true,
        }),
      },
      { title: "Caller", cell: who },
      { title: "Request and trace", cell: ({ request_id, trace_id }) => ({ text: request_id, sub: trace_id, code: true }) },
      { title: "Action", button: { text: "Why?", label: ({ request_id }) => `Why was request ${request_id} refused?`, run: act.why } },
    ],
  });

export function numbers(limit, actual) {
  if (limit === null) return "";
  return actual === null ? `limit ${format.exact(limit)}` : `${format.exact(actual)} of ${format.exact(limit)}`;
}

export const limits = (act) =>
  new Table(byId("limits-table"), {
    caption: "Limits in force that operators have set",
    empty: "No caller has a limit of their own.",
    key: ({ target }) => JSON.stringify(target),
    columns: [
      { title: "Caller", cell: ({ target, actor }) => ({ text: format.target(target), sub: actor ? `by ${actor}` : "" }) },
      { title: "Limit", cell: ({ limit, expires_in_seconds: left }) => ({ text: limit, sub: `ends in ${format.duration(left)}` }) },
      { title: "Action", button: { text: "Take back", label: ({ target }) => `Take back the limit of ${format.target(target)}`, run: act.clearLimit } },
    ],
  });

export const switches = (act) =>
  new Table(byId("switches-table"), {
    caption: "Switches in force",
    shown: true,
    empty: "No switch is in force: every worker obeys its configuration.",
    key: ({ kind, name }) => `${kind} ${name}`,
    columns: [
      { title: "Switch", cell: ({ kind, name, value }) => ({ text: [kind, name, value && `= ${value}`].filter(Boolean).join(" ") }) },
      { title: "Why", cell: ({ reason, actor }) => ({ text: reason || "–", sub: actor ? `by ${actor}` : "" }) },
      { title: "Ends in", cell: ({ expires_in_seconds: left }) => ({ text: left === null ? "never" : format.duration(left), number: true }) },
      {
        title: "Action",
        button: { text: "Take back", label: ({ kind, name, actor }) => (actor === FROM_FILE ? null : `Take back the ${kind} switch of ${name}`), run: act.takeBack },
      },
    ],
  });

export const workers = () =>
  new Table(byId("workers-table"), {
    caption: "Workers",
    shown: true,
    empty: "No worker has said that it is alive.",
    key: ({ id }) => id,
    columns: [
      { title: "Worker", cell: ({ host, pid, version, at, started_at }) => ({ text: `${host} · ${pid}`, sub: `${version}, up ${format.duration(at - started_at)}` }) },
      { title: "Configuration", cell: ({ fingerprint, differs: other }) => ({ text: fingerprint, tag: other ? "differs" : "", code: true }) },
      { title: "Mode", cell: ({ modes }) => mode(modes) },
      { title: "Keys", cell: ({ key_fingerprints: keys, token_keys: used }) => ({ text: keysOf(keys, used), code: true }) },
      { title: "In flight", cell: ({ in_flight: held }) => ({ text: held === null ? "–" : format.count(held), number: true }) },
      { title: "Memory", cell: ({ memory: used }) => ({ text: used ? format.bytes(used.used_bytes) : "–", sub: used ? `${format.number(used.usage_percent)} %` : "", number: true }) },
      { title: "Pool", cell: ({ pool: held }) => ({ text: held ? `${held.active} of ${held.total}` : "–", sub: held?.waiting ? `${held.waiting} waiting` : "", number: true }) },
      { title: "Store", cell: ({ breaker_open: open }) => (open ? { text: "given up", tag: "breaker open" } : "answers") },
    ],
  });

function mode(modes) {
  const watched = Object.entries(modes).filter(([, value]) => value === "monitor").map(([name]) => format.words(name));
  const off = Object.entries(modes).filter(([, value]) => value === "off").map(([name]) => format.words(name));
  return {
    text: watched.length ? `watching ${watched.join(", ")}` : "enforcing",
    sub: off.length ? `off: ${off.join(", ")}` : "",
  };
}

function keysOf(fingerprints, used) {
  const slots = new Set([...Object.keys(fingerprints), ...Object.keys(used)]);
  return [...slots].map((slot) => `${slot} ${fingerprints[slot] ?? ""} × ${format.count(used[slot] ?? 0)}`).join(", ") || "none";
}

export const sockets = (act) =>
  new Table(byId("sockets-table"), {
    caption: "The largest sockets and streams of each worker",
    empty: "Nothing is open.",
    key: ({ id }) => id,
    columns: [
      { title: "Caller", cell: who },
      { title: "What", cell: ({ protocol, operations, operations_open: open, endpoint, id }) => ({ text: openOperations(operations, open) || format.words(protocol), sub: [operations.length && format.words(protocol), endpoint, id].filter(Boolean).join(" · "), roomy: true }) },
      { title: "Open for", cell: ({ age_seconds: age, events }) => ({ text: format.duration(age), sub: events ? format.plural(events, "event") : "", number: true }) },
      { title: "Waiting", cell: ({ waiting_bytes: waiting }) => ({ text: waiting ? format.bytes(waiting) : "–", number: true }) },
      { title: "Token ends", cell: ({ token_ends_at: at }) => (at === null ? "–" : moment(at)) },
      { title: "Action", button: { text: "Close", label: (item) => `Close the connection of ${who(item).text}`, run: act.closeSocket } },
    ],
  });

function openOperations(operations, open) {
  const names = operations.map(({ name, query_hash: hash }) => name || hash.slice(0, 12) || "an operation without a name");
  const further = open - operations.length;
  return [...names, ...(further > 0 ? [`${format.count(further)} more`] : [])].join(", ");
}

/** A sentence: how many connections are open, were opened in the last minute, and were closed in five. */
export function socketsAbout({ open, opened_last_minute: opened, closed }) {
  const counts = (all) => Object.entries(all).map(([name, count]) => `${format.count(count)} ${format.words(name)}`).join(", ");
  const parts = [counts(open) || "none open", `${format.count(opened)} opened in the last minute`];
  if (Object.keys(closed).length) parts.push(`closed in five minutes: ${counts(closed)}`);
  return parts.join("; ");
}

export const actions = () =>
  new Table(byId("actions-table"), {
    caption: "What operators did, the newest first",
    empty: "No operator has done anything lately.",
    key: (action) => JSON.stringify(action),
    columns: [
      { title: "At", cell: ({ at }) => moment(at) },
      { title: "Operator", cell: ({ actor }) => ({ text: actor || "–", roomy: true }) },
      { title: "What", cell: ({ event, fields }) => ({ text: event, sub: told(fields) }) },
    ],
  });

const told = (fields) =>
  Object.entries(fields)
    .filter(([name, value]) => value !== null && value !== "" && value !== false && name !== "actor")
    .map(([name, value]) => (name === "duration_seconds" ? `for ${format.duration(value)}` : `${format.words(name)} ${plain(value)}`))
    .join(", ");

const plain = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
