// Charts of five minutes as SVG. Their values are also given as text, and in the table below them.

import { make, setAttribute, setText } from "./dom.js";
import { STEP_SECONDS, STEPS } from "./series.js";
import { duration } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 100;

/** One chart of one signal, or of a signal and a part of it (`inner`) on the same scale. */
export class Chart {
  constructor({ wide = false } = {}) {
    this.title = make("span", { class: "chart-title" });
    this.value = make("span", { class: "chart-value" });
    this.inside = make("span", { class: "chart-part" });
    this.about = make("span", { class: "chart-about" });
    this.top = make("span", { class: "axis axis-top", "aria-hidden": "true" });
    this.svg = shape("svg", { viewBox: `0 0 ${STEPS - 1} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.outer = this.#curve("outer");
    this.inner = this.#curve("inner");
    this.cursor = shape("line", { class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden" });
    this.svg.append(this.cursor);
    this.plot = make(
      "div",
      { class: "plot" },
      this.svg,
      this.top,
      make("span", { class: "axis axis-left", "aria-hidden": "true" }, "5 min ago"),
      make("span", { class: "axis axis-right", "aria-hidden": "true" }, "now"),
    );
    const caption = make("figcaption", {}, this.title, this.value, this.inside, this.about);
    this.node = make("figure", { class: wide ? "chart wide" : "chart" }, caption, this.plot);
    this.plot.addEventListener("pointermove", (event) => this.#point(event));
    this.plot.addEventListener("pointerleave", () => this.#point(null));
  }

  show(signal, inner = null) {
    this.signal = signal;
    this.part = inner;
    const peak = Math.max(...signal.values);
    const top = ceiling(peak);
    this.#draw(this.outer, signal.values, top);
    if (inner) this.#draw(this.inner, inner.values, top);
    setText(this.title, signal.title);
    setText(this.about, signal.about);
    setText(this.top, signal.say(top));
    this.node.classList.toggle("silent", peak === 0);
    setAttribute(this.svg, "aria-label", `${signal.title} over five minutes: now ${said(signal)}, at most ${signal.say(peak)}.`);
    this.#read();
  }

  #curve(name) {
    const area = shape("path", { class: `area ${name}` });
    const line = shape("path", { class: `line ${name}` });
    this.svg.append(area, line);
    return { area, line };
  }

  #draw({ area, line }, values, top) {
    const points = values.map((value, index) => `${index} ${(HEIGHT * (1 - value / top)).toFixed(2)}`);
    const flat = (index) => index === 0 || (values[index] === 0 && values[index - 1] === 0); // nothing to draw on the axis
    setAttribute(line, "d", points.map((point, index) => (flat(index) ? "M" : "L") + point).join(""));
    setAttribute(area, "d", `M0 ${HEIGHT}L${points.join("L")}L${STEPS - 1} ${HEIGHT}Z`);
  }

  /** Read the value under the pointer. */
  #point(event) {
    const box = this.plot.getBoundingClientRect();
    const share = event === null ? -1 : (event.clientX - box.left) / box.width;
    this.index = event === null ? null : Math.min(STEPS - 1, Math.max(0, Math.round(share * (STEPS - 1))));
    for (const name of ["x1", "x2"]) setAttribute(this.cursor, name, String(this.index ?? 0));
    setAttribute(this.cursor, "visibility", this.index === null ? "hidden" : "visible");
    if (this.signal) this.#read();
  }

  #read() {
    const index = this.index ?? STEPS - 1;
    const when = this.index == null ? "" : `, ${duration((STEPS - 1 - index) * STEP_SECONDS)} ago`;
    setText(this.value, this.signal.say(this.signal.values[index]) + when);
    if (this.part) setText(this.inside, `${this.part.say(this.part.values[index])} refused`);
  }
}

const said = ({ say, values }) => say(values[STEPS - 1]);

/** A new element of a picture. */
export function shape(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** The end of an axis: 1, 2 or 5 times a power of ten, not below the peak; 1 if all values are 0. */
function ceiling(peak) {
  if (peak <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(peak));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= peak * 0.999);
}
