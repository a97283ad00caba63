// Tables that are updated in place. On a phone each row is a card (console.css), so elements carry explicit ARIA roles.

import { make, reconcile, setText } from "./dom.js";

/**
 * A column is {title, cell(item)}: a cell is a text, or {text, sub, tag, number, code, roomy}: a text with a quiet line
 * below and a mark.
 * A column {title, button: {text, label(item), run(item, button)}} holds a button; `label` names the button's row.
 */
export class Table {
  constructor(holder, { caption, shown = false, empty, columns, key }) {
    this.columns = columns;
    this.key = key;
    this.body = make("tbody", { role: "rowgroup" });
    const titles = columns.map(({ title, button }) =>
      make("th", { scope: "col", role: "columnheader" }, make("span", { class: button ? "unseen" : null }, title)),
    );
    this.table = make(
      "table",
      { role: "table" },
      make("caption", { class: shown ? null : "unseen" }, caption),
      make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, ...titles)),
      this.body,
    );
    this.table.hidden = true;
    this.nothing = empty;
    this.empty = make("p", { class: "empty" }, "Not known yet.");
    this.holder = holder;
    holder.append(this.table, this.empty);
  }

  /** The items are not known now: shown rows stay, marked as old, and an empty table does not claim that there are none. */
  unknown() {
    this.holder.classList.add("old");
    if (this.table.hidden) setText(this.empty, "Not known while the store does not answer.");
  }

  show(items) {
    this.holder.classList.remove("old");
    setText(this.empty, this.nothing);
    const hadFocus = this.body.contains(document.activeElement);
    reconcile(this.body, items, {
      key: this.key,
      create: () => this.#row(),
      update: (row, item) => this.#update(row, item),
      still: hadFocus || this.body.matches(":hover"),
    });
    this.table.hidden = items.length === 0;
    this.empty.hidden = items.length > 0;
    if (hadFocus && !this.body.contains(document.activeElement)) this.#keepFocus();
  }

  /** The row with the focus was removed: focus an element near it, instead of the top of the page. */
  #keepFocus() {
    const next = this.body.querySelector("button") ?? this.table.closest("section")?.querySelector("[tabindex='-1']");
    next?.focus({ preventScroll: true });
  }

  #row() {
    const row = make("tr", { role: "row" });
    this.columns.forEach(({ title, button }, index) => {
      const cell = make("td", { role: "cell", "data-label": button ? null : title, class: button ? "act" : null });
      if (button) {
        const pressed = make("button", { type: "button" }, button.text);
        pressed.addEventListener("click", () => this.columns[index].button.run(row.item, pressed));
        cell.append(pressed);
      }
      row.append(cell);
    });
    return row;
  }

  #update(row, item) {
    row.item = item;
    this.columns.forEach(({ button, cell }, index) => {
      const holder = row.children[index];
      if (!button) {
        fill(holder, cell(item));
        return;
      }
      const label = button.label(item);
      holder.firstChild.hidden = label === null;
      if (label !== null) holder.firstChild.setAttribute("aria-label", label);
    });
  }
}

function fill(holder, content) {
  const { text, sub = "", tag = "", number = false, code = false, roomy = false } = typeof content === "string" ? { text: content } : content;
  holder.classList.toggle("number", number);
  holder.classList.toggle("roomy", roomy);
  part(holder, "text", text, code);
  part(holder, "tag", tag, false);
  part(holder, "sub", sub, false);
}

function part(holder, name, text, code) {
  let node = holder.querySelector(`.${name}`);
  if (node === null) {
    if (text === "") return;
    node = make("span", { class: name });
    holder.append(node);
  }
  node.classList.toggle("code", code);
  setText(node, text);
  node.hidden = text === "";
}
