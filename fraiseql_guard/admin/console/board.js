// What the console shows: from the API's values to tiles, charts and tables.

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
];

/** `act` is what its buttons do: lift, blockThis, takeBack, clearLimit and why, each called with an item; and `turn`, when another page is wanted. */
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
    this.limits = lists.limits(act);
    this.switches = lists.switches(act);
    this.workers = lists.workers();
    this.actions = lists.actions();
  }

  /** Show what has been answered; a list that was not is left as it was. */
  show({ status, blocks, offenders, refusals, limits, actions }) {
    if (status) this.#status(status);
    if (blocks) {
      this.blocks.show(blocks.items);
      this.pages.show(blocks);
      byId("lift-all").hidden = blocks.total <= blocks.items.length && !blocks.items.some(({ origin }) => origin === "automatic");
    }
    if (offenders) this.offenders.show(offenders.items);
    if (refusals) this.refusals.show(refusals.items);
    if (limits) this.limits.show(limits.items);
    if (actions) this.actions.show(actions.items);
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
    setText(byId("fleet-about"), known ? `${format.plural(known, "worker")}, ${status.store === "redis" ? "one Redis" : "memory of this process"}` : "");
    setText(byId("now-about"), `${format.clock(status.at)}, all workers`);
  }

  #tiles(status, signals, sums) {
    const now = (name) => signals.get(name)?.values[STEPS - 1] ?? 0;
    const requests = total(sums.get("requests") ?? []);
    const refused = total(sums.get("refusals") ?? []);
    const facts = {
      requests: { value: `${format.number(now("requests"))}/s`, sub: `${format.count(requests)} in 5 min` },
      refused: {
        value: `${format.number(now("refusals"))}/s`,
        sub: `${requests ? format.percent(refused / requests) : "none"} in 5 min`,
        loud: now("refusals") > 0,
      },
      time: { value: format.milliseconds(now("seconds")), sub: signals.get("seconds").about },
      errors: { value: `${format.number(now("errors"))}/s`, sub: signals.get("errors").about, loud: now("errors") > 0 },
      sanctions: { value: status.store_answers ? format.count(status.sanctions) : "?", sub: "in force" },
      store: store(status),
      memory: memory(status.workers),
      pool: pool(status.workers),
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
  const sum = (name) => total(known.map((each) => each[name] ?? 0));
  return { value: `${sum("active")} of ${sum("total")}`, sub: `busy, ${sum("waiting")} waiting`, loud: sum("waiting") > 0 };
}

/** Whether a worker's configuration is not that of most. */
function differs(worker, all) {
  const alike = all.filter(({ fingerprint }) => fingerprint === worker.fingerprint).length;
  return alike * 2 <= all.length && all.length > alike;
}
