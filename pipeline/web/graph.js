// The plan as a graph: a step stands in the layer after the last step that it needs (longest path), and beside its neighbours by the mean
// place of those it needs (barycentre; Sugiyama, Tagawa and Toda 1981). Layers run from left to right where there is room, else downwards.

import { s, visible } from './dom.js';
import { STATES } from './run.js';

const NODE = { width: 200, height: 52 };
const END = { width: 92, height: 40 };
const PASS = { width: 16, height: 16 }; // where an arrow passes by a layer
const GAP = { along: 44, across: 18 };
const EDGE = 6; // around it all, for shadows and rings
const LEAST = 0.8; // of its size, to which a picture shrinks before it is scrolled
const TIP = 5; // that an arrow's head needs
const SIGNS = { done: '✓', failed: '✕', declined: '–', skipped: '–', 'not begun': '–', 'in doubt': '?', begun: '?', asking: '?' };

/**
 * Return the layers of a plan: items `{id, needs, step}`, each in its order. The end, which all leads to, has no step; where an arrow
 * leads past a layer, an item without either keeps its way free.
 */
export function layers(steps, whole) {
  const items = steps.map((step) => ({ id: step.number, needs: step.needs, step }));
  if (whole) {
    const needed = new Set(steps.flatMap((step) => step.needs));
    items.push({ id: 'end', needs: steps.map((step) => step.number).filter((n) => !needed.has(n)), step: null });
  }
  const depth = new Map();
  for (const { id, needs } of items) depth.set(id, Math.max(-1, ...needs.map((n) => depth.get(n) ?? -1)) + 1);
  const found = [];
  for (const item of items) {
    const at = depth.get(item.id);
    (found[at] ??= []).push(item);
    item.from = item.needs.map((n) => {
      let last = n;
      for (let between = depth.get(n) + 1; between < at; between += 1) {
        const pass = { id: `${n}-${item.id}@${between}`, needs: [last], from: [last], pass: true };
        (found[between] ??= []).push(pass);
        last = pass.id;
      }
      return last;
    });
  }
  const place = new Map();
  for (const layer of found) {
    const mean = ({ from, id }) => (from.length ? from.reduce((sum, n) => sum + place.get(n), 0) / from.length : Number(id) / 1000);
    const means = new Map(layer.map((item) => [item, mean(item)]));
    layer.sort((a, b) => means.get(a) - means.get(b));
    layer.forEach(({ id }, i) => place.set(id, i - (layer.length - 1) / 2));
  }
  return found;
}

const size = (item) => (item.pass ? PASS : item.step ? NODE : END);

/** Return where everything stands: `{width, height, nodes, edges}`, from left to right if that fits into `room`, else downwards. */
export function laidOut(steps, room, whole) {
  const found = layers(steps, whole);
  const sum = (numbers, gap) => numbers.reduce((a, b) => a + b, 0) + Math.max(0, numbers.length - 1) * gap;
  const extent = (along, across) => ({
    length: sum(found.map((layer) => Math.max(...layer.map((item) => size(item)[along]))), GAP.along),
    breadth: Math.max(...found.map((layer) => sum(layer.map((item) => size(item)[across]), GAP.across))),
  });
  const right = extent('width', 'height');
  const below = extent('height', 'width');
  const down = right.length + 2 * EDGE > room && below.breadth < right.length;
  const { length, breadth } = down ? below : right;
  const [along, across, x, y] = down ? ['height', 'width', 'y', 'x'] : ['width', 'height', 'x', 'y'];

  const nodes = new Map();
  let at = EDGE;
  for (const layer of found) {
    const thick = Math.max(...layer.map((item) => size(item)[along]));
    let beside = EDGE + (breadth - sum(layer.map((item) => size(item)[across]), GAP.across)) / 2;
    for (const item of layer) {
      const own = item.pass ? { [along]: thick, [across]: PASS[across] } : size(item);
      nodes.set(item.id, { item, ...own, [x]: at, [y]: beside });
      beside += own[across] + GAP.across;
    }
    at += thick + GAP.along;
  }
  const edges = [...nodes.values()].filter(({ item }) => !item.pass).flatMap((to) => to.item.from.map((last, i) => {
    const way = [nodes.get(last), to];
    while (way[0].item.pass) way.unshift(nodes.get(way[0].item.from[0]));
    return { from: to.item.needs[i], to: to.item.id, path: path(way, down) };
  }));
  const shown = [...nodes.values()].filter(({ item }) => !item.pass);
  return { width: (down ? breadth : length) + 2 * EDGE, height: (down ? length : breadth) + 2 * EDGE, nodes: shown, edges };
}

/** Return the curve of an arrow from the first of some places to the last, through those between. */
function path(way, down) {
  const point = (along, across) => (down ? `${across} ${along}` : `${along} ${across}`);
  const ends = (place) => (down
    ? { begin: place.y, end: place.y + place.height, middle: place.x + place.width / 2 }
    : { begin: place.x, end: place.x + place.width, middle: place.y + place.height / 2 });
  let from = ends(way[0]);
  let d = `M${point(from.end, from.middle)}`;
  way.slice(1).forEach((place, i, rest) => {
    const to = ends(place);
    const tip = i === rest.length - 1 ? to.begin - TIP : to.begin;
    const bend = (tip - from.end) / 2;
    d += ` C${point(from.end + bend, from.middle)} ${point(tip - bend, to.middle)} ${point(tip, to.middle)}`;
    if (place.item.pass) d += ` L${point(to.end, to.middle)}`;
    from = to;
  });
  return d;
}

/** What a plan's picture says, in words. */
export function inWords(steps) {
  if (!steps.length) return 'No steps yet.';
  return steps.map(({ number, tool, needs, state }) => {
    const after = needs.length ? `, after ${needs.join(' and ')}` : '';
    return `${number} ${tool}${after}: ${STATES[state]}`;
  }).join('; ');
}

/**
 * Return the picture of a plan.
 * `lookups` are tools that only look up what others need; `known` are the numbers that the last picture had: what is new comes in softly.
 */
export function drawn({ steps, whole, end, lookups, room, known }) {
  const laid = laidOut(steps, room, whole);
  const svg = s('svg', { class: 'graph', role: 'img', 'aria-label': `Plan: ${inWords(steps)}`, width: laid.width, height: laid.height,
    viewBox: `0 0 ${laid.width} ${laid.height}` },
  s('defs', {}, s('marker', { id: 'tip', viewBox: '0 0 8 8', refX: 2, refY: 4, markerWidth: 7, markerHeight: 7, orient: 'auto' },
    s('path', { d: 'M0.5 0.8 L6.5 4 L0.5 7.2 Z', class: 'tip' }))));
  svg.style.minWidth = `${laid.width * LEAST}px`;
  const states = new Map(steps.map(({ number, state }) => [number, state]));
  for (const { from, to, path: d } of laid.edges) {
    const isNew = !known.has(from) || (to !== 'end' && !known.has(to));
    const state = states.get(from) === 'done' ? 'done' : 'open';
    svg.append(s('path', { d, class: `edge ${state}${isNew ? ' new' : ''}`, 'data-from': from, 'marker-end': 'url(#tip)' }));
  }
  for (const node of laid.nodes) svg.append(node.item.step ? step(node.item.step, node, lookups, known) : theEnd(node, end));
  return svg;
}

/** Squeeze what is too long for its box; a picture must be on the page to be measured. */
export function fitted(svg) {
  const most = NODE.width - WORDS - 8;
  for (const text of svg.querySelectorAll('.tool, .with')) {
    if (text.getComputedTextLength() > most) {
      text.setAttribute('textLength', most);
      text.setAttribute('lengthAdjust', 'spacingAndGlyphs');
    }
  }
}

/** Bring a picture of the same plan up to date, so that colours change softly. */
export function recoloured(svg, { steps, end, lookups }) {
  svg.setAttribute('aria-label', visible(`Plan: ${inWords(steps)}`));
  for (const { number, tool, state } of steps) {
    const node = svg.querySelector(`[data-step="${number}"]`);
    node.setAttribute('class', looks({ tool, state }, lookups));
    node.querySelector('.sign').textContent = SIGNS[state] ?? number;
    svg.querySelectorAll(`[data-from="${number}"]`).forEach((edge) => edge.setAttribute('class', `edge ${state === 'done' ? 'done' : 'open'}`));
  }
  svg.querySelector('.end')?.setAttribute('class', `node end ${end}`);
}

const looks = ({ tool, state }, lookups) => `node ${state.replace(' ', '-')}${lookups.has(tool) ? ' lookup' : ''}`;

const WORDS = 35; // where they begin in a box

function step({ number, tool, call, state }, { x, y, width, height }, lookups, known) {
  const words = given(call);
  return s('g', { class: `${looks({ tool, state }, lookups)}${known.has(number) ? '' : ' new'}`, transform: `translate(${x} ${y})`, 'data-step': number },
    s('title', {}, `${number}. ${call}`),
    s('rect', { width, height, rx: 10, class: 'box' }),
    s('circle', { cx: 19, cy: height / 2, r: 10, class: 'dot' }),
    s('circle', { cx: 19, cy: height / 2, r: 10, class: 'ring' }),
    s('text', { x: 19, y: height / 2 + 4, class: 'sign' }, SIGNS[state] ?? number),
    s('text', { x: WORDS, y: height / 2 + (words ? -4 : 4), class: 'tool' }, clipped(tool, 26)),
    words && s('text', { x: WORDS, y: height / 2 + 12, class: 'with' }, clipped(words, 27)));
}

/** Return the texts that a call is given, those that only hand on a result left out. */
function given(call) {
  const texts = [...call.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, text]) => text.replace(/\\(["\\$])/g, '$1'));
  return texts.filter((text) => text && !/^\$\{?\d+\}?$/.test(text)).join(', ');
}

function theEnd({ x, y, width, height }, end) {
  return s('g', { class: `node end ${end}`, transform: `translate(${x} ${y})` },
    s('rect', { width, height, rx: height / 2, class: 'box' }),
    s('text', { x: width / 2, y: height / 2 + 4.5, class: 'sign' }, 'answer'));
}

const clipped = (text, most) => {
  const characters = [...text.replaceAll('\n', ' ')];
  return characters.length > most ? `${characters.slice(0, most - 1).join('')}…` : text;
};
