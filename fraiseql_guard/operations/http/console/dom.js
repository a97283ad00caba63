// Everything that is put into the page goes through here: as text, never as markup. The page's policy refuses markup.

export const byId = (id) => document.getElementById(id);

const LONGEST_WORD = 18;

/**
 * A text that breaks between words and, where these are long, behind what joins their parts: QUERY_TOO_MANY_TOKENS never
 * becomes QUERY_TOO_M and ANY_TOKENS. What is longer than any word (a digest) breaks where there is no room for it.
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

/** Change a text only if it is another: what a screen reader reads and what is selected stays undisturbed. */
export function setText(node, text) {
  if (node.textContent !== text) node.replaceChildren(...worded(text));
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * Make a parent's children those of the items, by key: those that stay are updated where they are.
 * With `still` nothing that is there changes its place, so that nothing jumps away from a pointer or loses the focus.
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
