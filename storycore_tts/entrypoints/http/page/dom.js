// Small helpers. Text is only ever set as text: nothing here takes markup.

export const byId = (id) => document.getElementById(id);

/** Make an element; "onclick" and its kin are listeners, the rest properties or attributes. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

const SVG = "http://www.w3.org/2000/svg";

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  return setIcon(svg, name);
}

export function setIcon(svg, name) {
  svg.firstElementChild.setAttribute("href", `#icon-${name}`);
  return svg;
}

/** Set text only when it differs, so that live regions and selections are left alone. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Tell a screen reader something in its own time. */
export function announce(text) {
  byId("announcer").textContent = text;
}

export const wait = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

export function seconds(value) {
  if (value < 60) return `${value.toFixed(1)} s`;
  return `${Math.floor(value / 60)}:${String(Math.floor(value % 60)).padStart(2, "0")} min`;
}

export function clock(iso) {
  const moment = new Date(iso);
  const today = moment.toDateString() === new Date().toDateString();
  return today ? moment.toLocaleTimeString() : moment.toLocaleString();
}
