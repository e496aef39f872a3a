// DOM helpers. They never interpret text as HTML.

export const byId = (id) => document.getElementById(id);

/** Create an element; "onclick" and the like are listeners, others properties or attributes. */
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

/** Set text only if it differs, to keep selections and not to trigger live regions. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Announce text to screen readers. */
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
