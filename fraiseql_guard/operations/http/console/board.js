// The board: shows the API's values as tiles, charts and tables.

import { Advice } from "./advice.js";
import { byId, make, reconcile, setText } from "./dom.js";
import { Chart } from "./charts.js";
import * as format from "./format.js";
import * as lists from "./lists.js";
import { STEPS, added, names, signal, total } from "./series.js";
import { Pages } from "./pages.js";
import { Table } from "./tables.js";

const TILES = [
  { key: "requests", title: "Requests" },
  { key: "refused", title: "Refused" },
  { key: "time", title: "Mean time" },
  { key: "errors", title: "Server errors" },
  { key: "sanctions", title: "Sanctions" },
  { key: "store", title: "Store" },
  { key: "memory", title: "Memory" },
  { key: "pool", title: "Database pool" },
  { key: "sockets", title: "Sockets" },
];

const UNKNOWN = "?";
const WITH_MODE = new Set(["rate_limit", "auth", "query_limits", "timeout"]);

/**
 * `act` has the actions of the buttons: lift, blockThis, takeBack, closeSocket, clearLimit, setValue and why, each called
 * with an item. `act.turn` is called when another page or section is to be shown.
 */
export class Board {
  constructor(act) {
    this.charts = new Map();
    this.minutes = new Table(byId("minutes-table"), {
      caption: "Five minutes, minute by minute",
      empty: "No worker has told anything yet.",
      key: (item) => item.name,
      columns: [
        { title: "Signal", cell: ({ title }) => title },
        ...["5 min ago", "4 min ago", "3 min ago", "2 min ago", "last minute"].map((title, index) => ({
          title,
          cell: ({ minutes }) => ({ text: minutes[index], number: true }),
        })),
      ],
    });
    this.blocks = lists.sanctions(act);
    this.pages = new Pages("sanctions", act.turn);
    this.offenders = lists.offenders(act);
    this.refusals = lists.refusals(act);
    this.sockets = lists.sockets(act);
    this.limits = lists.limits(act);
    this.switches = lists.switches(act);
    this.workers = lists.workers();
    this.actions = lists.actions();
    this.advice = new Advice(act);
  }

  /** Show the answers; a list without an answer is left as it was. */
  show({ status, blocks, offenders, refusals, sockets, limits, actions, advice }) {
    if (status) this.#status(status);
    const alone = status?.alone;
    this.#list(this.blocks, alone ? alone.blocks : blocks?.items);
    if (blocks) {
      this.pages.show(blocks);
      byId("lift-all").hidden = blocks.total <= blocks.items.length && !blocks.items.some(({ origin }) => origin === "automatic");
    }
    this.#list(this.offenders, alone ? alone.offenders : offenders?.items);
    this.#list(this.refusals, alone ? alone.refusals : refusals?.items);
    this.#list(this.sockets, sockets?.items);
    if (sockets) setText(byId("sockets-about"), lists.socketsAbout(sockets));
    this.#list(this.limits, limits?.items);
    this.#list(this.actions, actions?.items);
    this.advice.show(advice);
  }

  #list(table, items) {
    if (items) table.show(items);
    else table.unknown();
  }

  #status(status) {
    reconcile(byId("notes"), status.notes, {
      key: (note) => note,
      create: (note) => make("li", {}, note),
      update: () => {},
    });
    const sums = added(status.workers);
    const signals = new Map(names(sums).map((name) => [name, signal(name, sums)]));
    this.#tiles(status, signals, sums);
    this.#draw(signals);
    this.minutes.show(status.workers.length ? [...signals.values()] : []);
    this.workers.show(status.workers.map((worker) => ({ ...worker, at: status.at, differs: differs(worker, status.workers) })));
    this.switches.show(status.switches);
    const known = status.workers.length;
    const kept = status.store === "redis" ? "one Redis" : "memory of this process";
    setText(byId("fleet-about"), status.alone ? "one worker alone, the others are not known" : known ? `${format.plural(known, "worker")}, ${kept}` : "");
    setText(byId("now-about"), `${format.clock(status.at)}, ${status.alone ? "one worker alone" : "all workers"}`);
    setText(byId("offenders-about"), `five minutes, ${status.alone ? "one worker alone" : "all workers"}`);
    this.#mode(status.workers);
  }

  /** Name the protections in monitor mode in the header, which is seen wherever the page is scrolled to. */
  #mode(workers) {
    const text = monitored(workers);
    if (workers.length) byId("mode").hidden = text === "";
    if (workers.length) setText(byId("mode"), text);
  }

  #tiles(status, signals, sums) {
    const told = status.workers.length > 0;
    const now = (name) => signals.get(name)?.values[STEPS - 1] ?? 0;
    const rate = (name) => (told ? `${format.number(now(name))}/s` : UNKNOWN);
    const unless = (about) => (told ? about : "no worker has told");
    const requests = total(sums.get("requests") ?? []);
    const refused = total(sums.get("refusals") ?? []);
    const facts = {
      requests: { value: rate("requests"), sub: unless(`${format.count(requests)} in 5 min`) },
      refused: {
        value: rate("refusals"),
        sub: unless(`${requests ? format.percent(refused / requests) : "none"} in 5 min`),
        loud: now("refusals") > 0,
      },
      time: { value: told ? format.milliseconds(now("seconds")) : UNKNOWN, sub: unless(signals.get("seconds").about) },
      errors: { value: rate("errors"), sub: unless(signals.get("errors").about), loud: now("errors") > 0 },
      sanctions: sanctions(status),
      store: store(status),
      memory: memory(status.workers),
      pool: pool(status.workers),
      sockets: sockets(status.workers),
    };
    reconcile(byId("tiles"), TILES, {
      key: (tile) => tile.key,
      create: (tile) => make("div", { class: "tile" }, make("dt", {}, tile.title), make("dd", { class: "value" }), make("dd", { class: "sub" })),
      update: (node, tile) => {
        const { value, sub, loud = false } = facts[tile.key];
        setText(node.children[1], value);
        setText(node.children[2], sub);
        node.classList.toggle("loud", loud);
      },
    });
  }

  #draw(signals) {
    const shown = [...signals.keys()].filter((name) => name !== "refusals");
    for (const name of shown) {
      if (!this.charts.has(name)) {
        const chart = new Chart({ wide: name === "requests" });
        chart.node.dataset.signal = name;
        this.charts.set(name, chart);
        byId("charts").append(chart.node);
      }
      this.charts.get(name).show(signals.get(name), name === "requests" ? signals.get("refusals") : null);
    }
  }
}

function sanctions({ sanctions: known, alone }) {
  if (known !== null) return { value: format.count(known), sub: "in force" };
  return { value: UNKNOWN, sub: alone ? `${format.count(alone.sanctions)} known to this worker` : "not known" };
}

/** The protections in monitor mode, and in how many workers if not in all; empty if all enforce. */
function monitored(workers) {
  const counts = new Map();
  for (const { modes } of workers) {
    for (const [name, mode] of Object.entries(modes)) {
      if (mode === "monitor") counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  if (!counts.size) return "";
  const refusing = workers.some(({ modes }) => Object.entries(modes).some(([name, mode]) => WITH_MODE.has(name) && mode === "enforce"));
  if (!refusing) return "Monitor mode: nothing is refused";
  const part = (name, count) => format.words(name) + (count < workers.length ? ` (${count} of ${format.plural(workers.length, "worker")})` : "");
  return `Monitor mode: ${[...counts].map(([name, count]) => part(name, count)).join(", ")}`;
}

function store({ store: kind, store_answers: answers, workers: all }) {
  const open = all.filter((worker) => worker.breaker_open).length;
  const name = kind === "redis" ? "Redis" : "memory";
  if (!answers) return { value: "silent", sub: `${name} does not answer`, loud: true };
  if (open) return { value: "breaker open", sub: `in ${open} of ${format.plural(all.length, "worker")}`, loud: true };
  return { value: "answers", sub: `${name}, breaker closed` };
}

function memory(all) {
  const known = all.map((worker) => worker.memory).filter(Boolean);
  if (!known.length) return { value: "–", sub: "not measured" };
  const most = known.reduce((one, other) => (other.usage_percent > one.usage_percent ? other : one));
  return {
    value: `${format.number(most.usage_percent)} %`,
    sub: `${format.bytes(most.used_bytes)} of ${format.bytes(most.limit_bytes)}`,
    loud: most.usage_percent >= 85,
  };
}

function pool(all) {
  const known = all.map((worker) => worker.pool).filter(Boolean);
  if (!known.length) return { value: "–", sub: "no pool is watched" };
  const sum = (name) => (known.every((each) => name in each) ? total(known.map((each) => each[name])) : UNKNOWN);
  return { value: `${sum("active")} of ${sum("total")}`, sub: `busy, ${sum("waiting")} waiting`, loud: sum("waiting") > 0 };
}

function sockets(all) {
  const known = all.map((worker) => worker.live).filter(Boolean);
  if (!known.length) return { value: UNKNOWN, sub: "no worker has told" };
  const open = total(known.flatMap(({ open: counts }) => Object.values(counts)));
  return { value: format.count(open), sub: `${format.count(total(known.map((each) => each.opened_last_minute)))} opened in the last minute` };
}

/** Whether a worker's configuration differs from that of most workers. */
function differs(worker, all) {
  const alike = all.filter(({ fingerprint }) => fingerprint === worker.fingerprint).length;
  return alike * 2 <= all.length && all.length > alike;
}
