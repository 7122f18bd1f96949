// The plan as a graph: a step stands in the layer after the last step that it needs (longest path), and beside its neighbours by the mean
// place of those it needs (barycentre; Sugiyama, Tagawa and Toda 1981). Layers run from left to right where there is room, else downwards.

import { s, visible } from './dom.js';
import { STATES } from './run.js';

const NODE = { width: 188, height: 52 };
const END = { width: 92, height: 40 };
const GAP = { along: 44, across: 18 };
const EDGE = 6; // around it all, for shadows and rings
const SIGNS = { done: '✓', failed: '✕', declined: '–', skipped: '–', 'not begun': '–', 'in doubt': '?', begun: '?', asking: '?' };

/** Return the layers of a plan's steps, each in its order. */
export function layers(steps) {
  const depth = new Map();
  for (const step of steps) depth.set(step.number, Math.max(-1, ...step.needs.map((n) => depth.get(n) ?? -1)) + 1);
  const found = [];
  for (const step of steps) (found[depth.get(step.number)] ??= []).push(step);
  const place = new Map();
  for (const layer of found) {
    const mean = (step) => {
      const known = step.needs.filter((n) => place.has(n)).map((n) => place.get(n));
      return known.length ? known.reduce((a, b) => a + b, 0) / known.length : step.number / 1000;
    };
    const means = new Map(layer.map((step) => [step.number, mean(step)]));
    layer.sort((a, b) => means.get(a.number) - means.get(b.number) || a.number - b.number);
    layer.forEach((step, i) => place.set(step.number, i - (layer.length - 1) / 2));
  }
  return found;
}

/** Return where everything stands: `{width, height, nodes, edges, across}`. `whole` adds the end that all of it leads to. */
export function laidOut(steps, room, whole) {
  const found = layers(steps);
  const most = Math.max(1, ...found.map((layer) => layer.length));
  const count = found.length;
  const end = whole ? 1 : 0;
  const wide = count * NODE.width + (count - 1) * GAP.along + end * (END.width + GAP.along) + 2 * EDGE;
  const tall = most * NODE.width + (most - 1) * GAP.across + 2 * EDGE;
  const down = wide > room && tall < wide;

  const [along, across] = down ? ['height', 'width'] : ['width', 'height'];
  const breadth = most * NODE[across] + (most - 1) * GAP.across;
  const nodes = [];
  let at = EDGE;
  for (const layer of found) {
    let beside = EDGE + (breadth - (layer.length * NODE[across] + (layer.length - 1) * GAP.across)) / 2;
    for (const step of layer) {
      nodes.push({ step, ...NODE, x: down ? beside : at, y: down ? at : beside });
      beside += NODE[across] + GAP.across;
    }
    at += NODE[along] + GAP.along;
  }
  if (whole) {
    const beside = EDGE + (breadth - END[across]) / 2;
    nodes.push({ step: null, ...END, x: down ? beside : at, y: down ? at : beside });
    at += END[along] + GAP.along;
  }
  const length = at - GAP.along + EDGE;
  const size = down ? { width: breadth + 2 * EDGE, height: length } : { width: length, height: breadth + 2 * EDGE };
  return { ...size, down, nodes, edges: edges(steps, nodes, down) };
}

function edges(steps, nodes, down) {
  const of = (number) => nodes.find((node) => node.step?.number === number);
  const end = nodes.find((node) => node.step === null);
  const pairs = steps.flatMap((step) => step.needs.map((n) => [of(n), of(step.number)])).filter(([from]) => from);
  if (end) {
    const needed = new Set(steps.flatMap((step) => step.needs));
    for (const step of steps) if (!needed.has(step.number)) pairs.push([of(step.number), end]);
  }
  return pairs.map(([from, to]) => ({ from, to, path: down ? downwards(from, to) : rightwards(from, to) }));
}

const TIP = 5; // that an arrow's head needs

function rightwards(from, to) {
  const [x1, y1, x2, y2] = [from.x + from.width, from.y + from.height / 2, to.x - TIP, to.y + to.height / 2];
  const bend = Math.max(GAP.along / 2, (x2 - x1) / 2);
  return `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`;
}

function downwards(from, to) {
  const [x1, y1, x2, y2] = [from.x + from.width / 2, from.y + from.height, to.x + to.width / 2, to.y - TIP];
  const bend = Math.max(GAP.along / 2, (y2 - y1) / 2);
  return `M${x1} ${y1} C${x1} ${y1 + bend} ${x2} ${y2 - bend} ${x2} ${y2}`;
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
  for (const { from, to, path } of laid.edges) {
    const state = from.step.state === 'done' ? 'done' : 'open';
    const isNew = !known.has(from.step.number) || (to.step && !known.has(to.step.number));
    svg.append(s('path', { d: path, class: `edge ${state}${isNew ? ' new' : ''}`, 'data-from': from.step.number, 'marker-end': 'url(#tip)' }));
  }
  for (const node of laid.nodes) svg.append(node.step ? step(node, lookups, known) : theEnd(node, end));
  return svg;
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

function step({ step: { number, tool, call, state }, x, y, width, height }, lookups, known) {
  return s('g', { class: `${looks({ tool, state }, lookups)}${known.has(number) ? '' : ' new'}`, transform: `translate(${x} ${y})`, 'data-step': number },
    s('title', {}, `${number}. ${call}`),
    s('rect', { width, height, rx: 10, class: 'box' }),
    s('circle', { cx: 20, cy: height / 2, r: 10, class: 'dot' }),
    s('circle', { cx: 20, cy: height / 2, r: 10, class: 'ring' }),
    s('text', { x: 20, y: height / 2 + 4, class: 'sign' }, SIGNS[state] ?? number),
    s('text', { x: 38, y: height / 2 - 4, class: 'tool' }, clipped(tool, 22)),
    s('text', { x: 38, y: height / 2 + 12, class: 'with' }, clipped(call.slice(tool.length + 1, -1), 23)));
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
