// Builds what the page shows. All text comes in as text: there is no way in here for markup, and the page's policy (Trusted Types) knows none.

const SVG = 'http://www.w3.org/2000/svg';

/** Characters that are not seen or that turn the others around; line breaks, tabs and the joiners within words and emoji stay. */
const UNSEEN = /(?![\n\t\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** Return a text with what would hide in it made visible, as the terminal does it. */
export function visible(text) {
  return String(text).replace(UNSEEN, (c) => `\\u${c.codePointAt(0).toString(16).padStart(4, '0')}`);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : visible(value));
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false)
    .map((c) => (c instanceof Node ? c : document.createTextNode(visible(c)))));
  return element;
}

/** Return an element. `attributes` that begin with "on" are listeners; children are elements, or text. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return an element of SVG. */
export function s(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

export const $ = (id) => document.getElementById(id);

/** Set a text if it is another one, so that a screen reader does not say the same thing twice. */
export function set(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

const SAY_MS = 300; // in which what is to be said is gathered, since a new text cuts off the one before
let toSay = [];

/** Have a screen reader say something: when it comes to it, or at once. */
export function say(text, { urgent = false } = {}) {
  if (urgent) {
    $('urgent').textContent = visible(text);
    return;
  }
  toSay.push(visible(text));
  if (toSay.length > 1) return;
  setTimeout(() => {
    $('said').textContent = toSay.join(' ');
    toSay = [];
  }, SAY_MS);
}

export function seconds(value) {
  if (value < 0.0995) return `${Math.max(1, Math.round(value * 1000))} ms`;
  return value < 9.95 ? `${value.toFixed(2).replace(/0$/, '')} s` : `${Math.round(value)} s`;
}

export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;
