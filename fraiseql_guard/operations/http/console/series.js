// Five minutes of the whole fleet: the workers' series added up, with the title and unit of each.

import { count, milliseconds, number, words } from "./format.js";

export const STEP_SECONDS = 5;
export const STEPS = 60;
const PER_MINUTE = 60 / STEP_SECONDS;

const PROTECTION = "refusals:";
const TITLES = {
  requests: "Requests",
  refusals: "Refused",
  queries: "GraphQL operations",
  would_refuse: "Would be refused",
  errors: "Server errors",
  seconds: "Mean time",
  "refusals:rate_limit": "Refused by rate limits",
  "refusals:auth": "Refused by authentication",
  "refusals:query_limits": "Refused by query limits",
  "refusals:timeout": "Refused by timeouts",
  "refusals:metrics": "Refused at /metrics",
  "refusals:admin": "Refused at this console",
};

/** All series by name, the newest value last. */
export function added(workers) {
  const sums = new Map();
  for (const { series } of workers) {
    for (const [name, values] of Object.entries(series)) {
      if (!sums.has(name)) sums.set(name, new Array(STEPS).fill(0));
      const sum = sums.get(name);
      const offset = STEPS - values.length;
      values.forEach((value, index) => {
        if (index + offset >= 0) sum[index + offset] += value;
      });
    }
  }
  return sums;
}

/** A series for the page: its values in its unit, and texts for now, for the five minutes, and for each minute. */
export function signal(name, sums) {
  const raw = sums.get(name) ?? new Array(STEPS).fill(0);
  const title = TITLES[name] ?? `Refused by ${words(name.replace(PROTECTION, ""))}`;
  if (name === "seconds") return meanTime(title, raw, sums.get("requests") ?? []);
  const values = raw.map((value) => value / STEP_SECONDS);
  return {
    name,
    title,
    values,
    say: (value) => `${number(value)}/s`,
    about: `${count(total(raw))} in 5 min`,
    minutes: minutes(raw).map((part) => count(total(part))),
  };
}

function meanTime(title, raw, requests) {
  const values = raw.map((value, index) => (requests[index] ? value / requests[index] : 0));
  const mean = (times, counts) => (total(counts) ? milliseconds(total(times) / total(counts)) : "–");
  const counts = minutes(requests);
  return {
    name: "seconds",
    title,
    values,
    say: milliseconds,
    about: `${mean(raw, requests)} over 5 min`,
    minutes: minutes(raw).map((part, index) => mean(part, counts[index] ?? [])),
  };
}

/** The names of the series in the order of the page: the refusals of each protection follow all refusals. */
export function names(sums) {
  const protections = [...sums.keys()].filter((name) => name.startsWith(PROTECTION));
  return ["requests", "refusals", ...protections, "would_refuse", "errors", "seconds", "queries"];
}

export const total = (values) => values.reduce((sum, value) => sum + value, 0);

function minutes(values) {
  const parts = [];
  for (let from = 0; from < STEPS; from += PER_MINUTE) parts.push(values.slice(from, from + PER_MINUTE));
  return parts;
}
