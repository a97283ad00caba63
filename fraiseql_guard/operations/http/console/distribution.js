// The picture of a limit: how often each number was asked for, and where the limit stands among them. The table beside it
// says the same in numbers.

import { shape } from "./charts.js";
import { make, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";

const HEIGHT = 100;
const LEAST = 2; // the lowest bar: a value seen once among millions stays visible
const QUANTILES = ["p50", "p99", "p99.9"];

/** Draws a distribution. The server has placed all values on its logarithmic axis (operations/tuning/histogram.py). */
export class Distribution {
  constructor() {
    this.svg = shape("svg", { preserveAspectRatio: "none", role: "img" });
    this.parts = Object.fromEntries(["bars", "quantiles", "now", "fit"].map((name) => [name, shape("path", { class: name })]));
    this.svg.append(...Object.values(this.parts));
    this.low = make("span", { class: "axis axis-left", "aria-hidden": "true" });
    this.high = make("span", { class: "axis axis-right", "aria-hidden": "true" });
    this.keys = Object.fromEntries(["now", "fit", "quantiles"].map((name) => [name, make("span", { class: `key ${name}` })]));
    const caption = make("figcaption", {}, ...Object.values(this.keys));
    this.node = make("figure", { class: "distribution" }, caption, make("div", { class: "plot" }, this.svg, this.low, this.high));
  }

  show({ title, unit, shown, value, recommended, distribution, histogram: { low, high, columns, marks } }) {
    const upright = (name) => (name in marks ? `M${(marks[name] * columns.length).toFixed(2)} 0V${HEIGHT}` : "");
    const highest = Math.max(1, ...columns);
    const bar = (count, index) => (count ? `M${index} ${HEIGHT}V${(HEIGHT - Math.max(LEAST, HEIGHT * Math.sqrt(count / highest))).toFixed(1)}h.9V${HEIGHT}Z` : "");
    setAttribute(this.svg, "viewBox", `0 0 ${columns.length} ${HEIGHT}`);
    setAttribute(this.parts.bars, "d", columns.map(bar).join(""));
    setAttribute(this.parts.quantiles, "d", QUANTILES.map(upright).join(""));
    setAttribute(this.parts.now, "d", upright("present"));
    setAttribute(this.parts.fit, "d", upright("recommended"));
    const { p50, p99, max } = Object.values(distribution)[0];
    const fits = recommended === null ? "" : `, recommended is ${value}`;
    setAttribute(this.svg, "aria-label", `${title}: half are at most ${format.exact(p50)}, 99 % at most ${format.exact(p99)}, the largest is ${format.exact(max)}. The limit is ${shown}${fits}.`);
    setText(this.keys.now, `now ${shown}`);
    setText(this.keys.fit, `recommended ${value}`);
    this.keys.fit.hidden = recommended === null;
    setText(this.keys.quantiles, QUANTILES.join(", "));
    setText(this.low, format.exact(low));
    setText(this.high, `${format.exact(high)} ${unit}`.trim());
  }
}
