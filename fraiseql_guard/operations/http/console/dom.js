// Writes all content of the page: as text, never as markup. The page's Content-Security-Policy refuses markup.

export const byId = (id) => document.getElementById(id);

const LONGEST_WORD = 18;

/**
 * The nodes of a text that breaks between words, and in long words behind the marks that join their parts:
 * QUERY_TOO_MANY_TOKENS never becomes QUERY_TOO_M and ANY_TOKENS. A longer part (a digest) breaks where the line ends.
 */
function worded(text) {
  const found = [];
  for (const word of String(text).split(/(?<=\s)/)) {
    const parts = word.length > LONGEST_WORD ? word.split(/(?<=[_@./:-])(?=\w)/) : [word];
    parts.forEach((part, index) => {
      if (index > 0) found.push(document.createElement("wbr"));
      if (part !== "") found.push(part.length > LONGEST_WORD ? long(part) : part);
    });
  }
  return found;
}

function long(part) {
  const node = document.createElement("span");
  node.className = "long";
  node.append(part);
  return node;
}

/** A new element: make("p", {class: "quiet"}, "text", child). Attributes of value null or false are left out. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flatMap((child) => (typeof child === "string" && tag !== "option" ? worded(child) : [child])));
  return node;
}

/** Change a text only if it is another, so that a screen reader or a selection in it is not disturbed. */
export function setText(node, text) {
  if (node.textContent !== text) node.replaceChildren(...worded(text));
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * Give a parent one child for each item, by key; children whose items stay are updated in place.
 * With `still` no child changes its place, so that none jumps away from a pointer or loses the focus.
 */
export function reconcile(parent, items, { key, create, update, still = false }) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = new Set(items.map((item) => String(key(item))));
  for (const [name, child] of there) {
    if (!wanted.has(name)) child.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    let child = there.get(name);
    if (child === undefined) {
      child = create(item);
      child.dataset.key = name;
      parent.insertBefore(child, still ? null : place);
    } else if (child === place) {
      place = place.nextElementSibling;
    } else if (!still) {
      parent.insertBefore(child, place);
    }
    update(child, item);
  }
}
