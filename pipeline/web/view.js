// Shows one run: the request, what it asks or answers, the plan as a graph and as a list, and what stands beside it. Each part is drawn again only
// when something of it has changed, so that focus and what is opened stay where they are.

import { count, h, say, seconds, set } from './dom.js';
import { drawn, fitted, recoloured } from './graph.js';
import { card, told } from './questions.js';
import { STATES } from './run.js';
import { saved, selected } from './side.js';

const PHASES = {
  selecting: ['Selecting tools', 'busy'],
  planning: ['Planning', 'busy'],
  running: ['Running', 'busy'],
  asking: ['Waits for you', 'asks'],
  stopping: ['Stopping', 'busy'],
  done: ['Done', 'good'],
  part: ['Done in part', 'asks'],
  undone: ['Not done', 'bad'],
  failed: ['Failed', 'bad'],
  stopped: ['Stopped', 'still'],
};

export class RunView {
  /**
   * `service`: `{tools, answer(question, value), stop(), measure(request)}`, where `tools` are all, by name.
   */
  constructor(place, run, service) {
    Object.assign(this, { place, run, service });
    this.cards = new Map(); // by question
    this.known = new Set(); // steps that the graph has shown
    this.parts = {
      chip: h('p', { class: 'chip' }),
      stop: h('button', { class: 'plain', type: 'button', onclick: () => service.stop() }, 'Stop'),
      replay: h('button', { class: 'quiet', type: 'button', hidden: true, onclick: () => service.replay() }, 'Play back'),
      slot: h('div', { class: 'slot' }),
      note: h('p', { class: 'faint' }),
      graph: h('div', { class: 'canvas', role: 'group', 'aria-label': 'Plan as a graph', tabindex: '0' }),
      steps: h('ol', { class: 'steps' }),
      earlier: h('div', {}),
      tools: h('div', {}),
      saved: h('div', {}),
    };
    const p = this.parts;
    this.title = h('h2', { id: 'run-title', tabindex: '-1', dir: 'auto' }, run.request);
    place.replaceChildren(
      h('header', { class: 'run-head' }, this.title, p.chip, p.replay, p.stop),
      p.slot,
      h('div', { class: 'columns' },
        h('section', { class: 'panel plan', 'aria-labelledby': 'plan-title' }, h('h3', { id: 'plan-title' }, 'Plan', p.chipNote = h('span', { class: 'route' })),
          p.note, p.graph, p.steps, p.earlier),
        h('div', { class: 'side' }, p.tools, p.saved)));
    place.hidden = false;
    this.watch = new ResizeObserver(() => this.#drawGraph());
    this.watch.observe(p.graph);
    this.update();
  }

  close() {
    this.watch.disconnect();
  }

  /** Show the run as it is now. */
  update() {
    const { run, parts } = this;
    const [words, look] = PHASES[run.phase];
    parts.chip.className = `chip ${look}`;
    set(parts.chip, run.lost && !run.ended ? 'Connection lost, trying again' : words);
    parts.stop.hidden = run.ended;
    parts.stop.disabled = run.stopping;
    parts.replay.hidden = !run.ended || !this.service.replay || !run.steps.length;
    this.#slot();
    this.#plan();
    this.#once('tools', run.selection, () => selected(run.selection, this.service.tools));
    this.#once('saved', run.answer?.prompt_tokens && run.answer, () => saved(run.answer, {
      offered: run.selection ? run.selection.tools.length - run.selection.prerequisites.length : 0,
      total: this.service.tools.size,
      measure: () => this.service.measure(run.request),
    }));
  }

  #once(part, of, draw) {
    if (this[`${part}Of`] === of) return;
    this[`${part}Of`] = of;
    this.parts[part].replaceChildren(...(of ? [draw()] : []));
  }

  #slot() {
    const { run, parts } = this;
    for (const [key, shown] of this.cards) {
      if (run.questions.has(key)) continue;
      const hadFocus = shown.contains(document.activeElement);
      shown.remove();
      this.cards.delete(key);
      if (hadFocus) this.title.focus({ preventScroll: true });
    }
    for (const [key, question] of run.questions) {
      if (this.cards.has(key)) continue;
      const shown = card(question, (value, again) => this.service.answer(key, question, value, again));
      this.cards.set(key, shown);
      parts.slot.append(shown);
      say(told(question), { urgent: true });
      // Whoever is writing something else is not interrupted; the card itself is focused, and no button, so that no key answers by accident.
      const at = document.activeElement;
      const busy = at && at.matches('textarea, input') && at.value !== '';
      if (!busy) shown.focus({ preventScroll: true });
    }
    this.end ??= null;
    if (run.ended && !this.end) {
      this.end = run.answer ? answer(run) : broken(run.error);
      parts.slot.append(this.end);
    }
  }

  #plan() {
    const { run, parts } = this;
    const { steps, plan } = run;
    parts.graph.hidden = !steps.length;
    const silent = run.ended ? (run.answer && !steps.length ? 'There was nothing to do.' : '') : waiting(run);
    set(parts.note, steps.length ? '' : silent);
    parts.note.hidden = parts.note.textContent === '';
    set(parts.chipNote, !steps.length ? '' : plan.whole ? count(steps.length, 'step') : 'being written');
    this.#drawGraph();
    this.#drawSteps();
    const earlier = run.attempts.slice(0, -1);
    this.#once('earlier', earlier.length ? earlier[earlier.length - 1] : null, () => h('details', {},
      h('summary', {}, earlier.length === 1 ? 'The first plan' : 'Earlier plans'),
      earlier.map((attempt) => h('div', {}, attempt.why && h('p', { class: 'faint' }, `Planned again: ${attempt.why}`),
        h('ol', { class: 'steps' }, attempt.steps.map((step) => this.#row(step)))))));
  }

  #drawGraph() {
    const { run, parts } = this;
    const { steps } = run;
    if (!steps.length) {
      this.shape = null;
      parts.graph.replaceChildren();
      return;
    }
    const room = parts.graph.clientWidth || 560;
    const whole = Boolean(run.plan.whole);
    const end = !run.ended ? 'planned' : run.phase === 'done' ? 'done' : run.phase === 'part' ? 'asking' : 'failed';
    const lookups = new Set(run.selection?.prerequisites ?? []);
    const drawing = { steps, whole, end, lookups, room, known: this.known };
    const shape = JSON.stringify([steps.map(({ number, call, needs }) => [number, call, needs]), whole, room]);
    if (shape === this.shape) recoloured(parts.graph.firstElementChild, drawing);
    else {
      parts.graph.replaceChildren(drawn(drawing));
      fitted(parts.graph.firstElementChild);
    }
    this.shape = shape;
    for (const { number } of steps) this.known.add(number);
  }

  #drawSteps() {
    const rows = this.run.steps.map((step) => {
      const now = JSON.stringify(step);
      const old = this.rows?.get(step.number);
      return [step.number, old?.now === now ? old : { now, row: this.#row(step) }];
    });
    this.rows = new Map(rows);
    const wanted = [...this.rows.values()].map(({ row }) => row);
    wanted.forEach((row, i) => {
      if (this.parts.steps.children[i] !== row) this.parts.steps.insertBefore(row, this.parts.steps.children[i] ?? null);
    });
    while (this.parts.steps.children.length > wanted.length) this.parts.steps.lastElementChild.remove();
  }

  #row({ number, call, tool, state, output, error, fix, seconds: took }) {
    const known = this.service.tools.get(tool);
    const facts = [known && `${known.app} · ${known.effect}`, took > 0 && seconds(took)].filter(Boolean).join(' · ');
    return h('li', { class: state.replace(' ', '-'), 'data-step': number },
      h('div', { class: 'step-head' }, h('span', { class: 'number' }, number), h('code', { dir: 'auto' }, call)),
      h('p', { class: 'step-facts' }, h('span', { class: 'state' }, STATES[state]), facts && h('span', { class: 'faint' }, facts)),
      output && h('p', { class: 'output', dir: 'auto' }, output),
      error && h('p', { class: 'bad' }, error, fix && h('span', { class: 'faint' }, ` ${fix}`)));
  }
}

function waiting(run) {
  if (run.ahead) return `In the queue: ${run.ahead} before this one.`;
  return run.selection ? 'The model writes the plan…' : 'Tools are being selected…';
}

function answer(run) {
  const look = { done: 'good', part: 'asks', undone: 'bad' }[run.phase];
  return h('section', { class: `answer ${look}`, 'aria-labelledby': 'answer-title' },
    h('h3', { id: 'answer-title' }, 'Answer'),
    h('p', { class: 'text', dir: 'auto' }, run.answer.text || 'Done.'));
}

function broken({ type, message, fix }) {
  return h('section', { class: `answer ${type === 'cancelled' ? 'still' : 'bad'}`, 'aria-labelledby': 'answer-title' },
    h('h3', { id: 'answer-title' }, type === 'cancelled' ? 'Stopped' : 'This did not work'),
    h('p', { class: 'text', dir: 'auto' }, message),
    fix && h('p', { class: 'faint' }, fix));
}
