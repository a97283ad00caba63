// The pages of a long list: where the shown page begins, and the buttons that turn pages.

import { byId, setText } from "./dom.js";
import * as format from "./format.js";

const PER_PAGE = 50;

/** `turned` is called when the operator turns a page; `query` then asks for that page. The buttons are in #NAME-pages. */
export class Pages {
  #before = [];

  constructor(name, turned) {
    this.holder = byId(`${name}-pages`);
    this.about = byId(`${name}-about`);
    [this.back, this.on] = this.holder.querySelectorAll("button");
    this.back.addEventListener("click", () => {
      this.#before.pop();
      turned();
    });
    this.on.addEventListener("click", () => {
      if (this.next) this.#before.push(this.next);
      turned();
    });
  }

  get query() {
    const cursor = this.#before.at(-1);
    return cursor === undefined ? `limit=${PER_PAGE}` : `limit=${PER_PAGE}&cursor=${encodeURIComponent(cursor)}`;
  }

  /** Show which page this is. An empty page gives way to the page before it with the next answer. */
  show({ items, next_cursor: next, total }) {
    this.next = next;
    if (items.length === 0 && this.#before.length) this.#before.pop();
    const first = this.#before.length * PER_PAGE;
    const several = this.#before.length > 0 || Boolean(next);
    this.holder.hidden = !several;
    this.back.disabled = this.#before.length === 0;
    this.on.disabled = !next;
    setText(this.about, several ? `${format.count(first + 1)} to ${format.count(first + items.length)} of about ${format.count(total)}` : "");
  }
}
