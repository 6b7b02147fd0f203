/* Nodes of the page, and files that the page saves. */

export const byId = (id) => document.getElementById(id);

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
export const escapeHtml = (text) => String(text).replace(/[&<>"']/g, (letter) => ENTITIES[letter]);

/* A node: el("button", { class: "link", "data-action": "x", onclick: f }, "text", child, ...); text is never read as HTML. */
export function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/* The closest ancestor that matches a selector, null where the event's target is no element. */
export const closest = (event, selector) => (event.target.closest ? event.target.closest(selector) : null);

/* The node on an event's own path that has a data attribute, also inside igv.js's shadow tree. */
export const onPath = (event, name) => event.composedPath().find((node) => node.dataset && node.dataset[name]);

/* Save text or a blob as a file. */
export function saveFile(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/* Let the user choose files; `done` gets them. */
export function chooseFiles(accept, done) {
  const input = document.createElement("input");
  Object.assign(input, { type: "file", accept });
  input.addEventListener("change", () => input.files.length && done(input.files));
  input.click();
}
