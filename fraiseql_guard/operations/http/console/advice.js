// The section "Limits": for each limit what requests ask for, what it refuses, and which value would fit. The page asks
// for it while the section is open, and no more often than workers sum up their requests.

import { Distribution } from "./distribution.js";
import { byId, make, reconcile, setText } from "./dom.js";
import * as format from "./format.js";
import { Table } from "./tables.js";

const EVERY_MS = 10_000;

export class Advice {
  #askedAt = -Infinity;
  #asked = false;

  /** `act.setValue` sets a recommended value; `act.turn` asks the server now. */
  constructor(act) {
    this.section = byId("advice");
    this.list = byId("advice-list");
    this.about = byId("advice-about");
    this.notes = byId("advice-notes");
    this.set = (item, button) => act.setValue(item, button, () => this.#soon());
    this.section.addEventListener("toggle", () => {
      this.#soon();
      if (this.section.open) act.turn();
    });
  }

  /** The API's path to ask; null while the section is closed, or if it was asked a moment ago. */
  get path() {
    this.#asked = this.section.open && performance.now() - this.#askedAt >= EVERY_MS;
    if (!this.#asked) return null;
    this.#askedAt = performance.now();
    return "limits-advice";
  }

  /** Show the answer `found`; undefined if there was none. */
  show(found) {
    if (!this.#asked) return;
    this.list.classList.toggle("old", !found);
    if (!found) {
      this.#soon();
      this.#notes(["Not known while the store does not answer."]);
      return;
    }
    const span = found.ended_at > found.began_at ? ` in ${format.duration(found.ended_at - found.began_at)}` : "";
    setText(this.about, `${format.plural(found.requests, "GraphQL request")} of ${format.plural(found.callers, "caller")}${span}`);
    this.#notes(found.notes);
    reconcile(this.list, found.limits, {
      key: ({ option, tier }) => `${option} ${tier}`,
      create: (item) => {
        const limit = new Limit(item, this.set);
        limit.node.limit = limit;
        return limit.node;
      },
      update: (node, item) => node.limit.show(item),
      still: true,
    });
  }

  #soon() {
    this.#askedAt = -Infinity;
  }

  #notes(notes) {
    reconcile(this.notes, notes, { key: (note) => note, create: (note) => make("li", {}, note), update: () => {} });
  }
}

/** The card of one limit: its distribution, its values, and the button that sets the recommended one. */
class Limit {
  constructor({ title, variable, tier }, set) {
    this.title = make("h3", { tabindex: "-1" }, title);
    this.picture = new Distribution();
    this.now = make("dd");
    this.fits = make("dd");
    this.why = make("dd");
    this.button = make("button", { type: "button" }, "Set for an hour");
    this.button.addEventListener("click", () => set(this.item, this.button));
    const facts = [["Now", this.now], ["Recommended", this.fits], ["Because", this.why]];
    const numbers = make("div", { class: "table" });
    this.table = byTier(numbers, title);
    const seen = make("div", {}, this.title, make("p", { class: "quiet" }, tier ? `${variable}, tier ${tier}` : variable), this.picture.node);
    const said = make("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [make("dt", {}, name), value]));
    this.node = make("article", { class: "card limit" }, seen, make("div", {}, numbers, said, this.button));
  }

  show(item) {
    this.item = item;
    this.picture.show(item);
    setText(this.now, `${item.shown}, which refuses ${effect(item.at_present)}`);
    setText(this.fits, fitting(item));
    setText(this.why, item.why);
    this.table.show(Object.entries(item.distribution).map(([name, numbers]) => ({ name, ...numbers })));
    this.button.setAttribute("aria-label", `Set for an hour: ${item.variable} to ${item.sets}`);
    if (!item.sets && document.activeElement === this.button) this.title.focus();
    this.button.hidden = !item.sets;
  }
}

const byTier = (holder, title) =>
  new Table(holder, {
    caption: `${title}, by tier`,
    empty: "Nothing was seen.",
    key: ({ name }) => name,
    columns: [
      { title: "Tier", cell: ({ name }) => ({ text: name, roomy: true }) },
      { title: "Seen", cell: ({ n }) => ({ text: format.count(n), number: true }) },
      ...[["p50"], ["p99"], ["p99.9"], ["max", "Largest"]].map(([name, shown = name]) => ({
        title: shown,
        cell: (numbers) => ({ text: format.exact(numbers[name]), number: true }),
      })),
    ],
  });

function fitting({ recommended, value, sets, as_recommended: refuses }) {
  if (recommended === null) return "nothing yet";
  return sets ? `${value}, which refuses ${effect(refuses)}` : "as it is";
}

/** What a value refuses, in words. For a rate the server counts minutes of callers, not requests. */
function effect({ requests, share, operations, callers }) {
  if (!requests) return "nothing of this";
  const whose = format.plural(callers, "caller");
  if (operations === null) return `some of ${format.plural(requests, "minute")} (${format.percent(share)}) of ${whose}`;
  return `${format.plural(requests, "request")} (${format.percent(share)}), ${format.plural(operations, "operation")}, ${whose}`;
}
