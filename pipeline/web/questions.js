// What a run asks a person: whether a call is to be made, with the arguments as the tool will get them, and which of several is meant.

import { h, visible } from './dom.js';

const ARMED_MS = 500; // a click or key that was meant for what stood here before does not answer

const ASKS = { write: 'Write this?', send: 'Send this?', open: 'Open this?', read: 'Look this up?' };

/**
 * Return the card of a question. `answer(value, again)` gets what the person says: true or false, a candidate or null; `again(why)` is for it to
 * call if that could not be passed on.
 */
export function card(question, answer) {
  const armed = performance.now() + ARMED_MS;
  let answered = false;
  const buttons = [];
  const problem = h('p', { class: 'bad' });
  const button = (name, label, value) => {
    const made = h('button', { type: 'button', class: name, onclick: async () => {
      if (answered || performance.now() < armed) return;
      answered = true;
      buttons.forEach((other) => other.setAttribute('aria-disabled', 'true'));
      await answer(value, (why) => {
        answered = false;
        problem.textContent = visible(why);
        buttons.forEach((other) => other.removeAttribute('aria-disabled'));
      });
    } }, label);
    buttons.push(made);
    return made;
  };
  const made = question.kind === 'approval' ? approval(question, button) : choice(question, button);
  made.append(problem);
  return made;
}

/** Say a question in a few words, for those who do not see it. */
export function told(question) {
  if (question.kind === 'choice') return `Question: ${question.text}`;
  const warned = question.warnings.length ? ` Mind: ${question.warnings.join('. ')}.` : '';
  return `Approval needed: ${question.tool}.${warned}`;
}

function approval(question, button) {
  const given = Object.entries(question.arguments);
  const empty = given.filter(([, value]) => isEmpty(value)).map(([name]) => name);
  const id = `question-${question.step}`;
  return h('section', { class: 'question', tabindex: '-1', role: 'group', 'aria-labelledby': `${id}-title`, 'aria-describedby': `${id}-what` },
    h('h3', { id: `${id}-title` }, ASKS[question.effect] ?? 'Do this?', ' ',
      h('code', {}, question.tool), ' ', h('span', { class: 'faint' }, `step ${question.step} · ${question.app}`)),
    question.warnings.length > 0 && h('ul', { class: 'warnings' }, question.warnings.map((text) =>
      h('li', {}, h('strong', {}, 'Mind: '), text))),
    h('dl', { id: `${id}-what`, class: 'what' },
      given.filter(([, value]) => !isEmpty(value)).map(([name, value]) => pair(name, value, question.said)),
      Object.entries(question.preview).map(([name, value]) => pair(name, value, {}))),
    empty.length > 0 && h('p', { class: 'faint' }, `Left empty: ${empty.join(', ')}`),
    h('div', { class: 'line' },
      h('p', { class: 'faint' }, until(question.expires)),
      button('plain', 'Decline', false),
      button('primary', 'Accept', true)));
}

function choice(question, button) {
  const id = `choice-${question.question}-title`;
  return h('section', { class: 'question', tabindex: '-1', role: 'group', 'aria-labelledby': id },
    h('h3', { id }, question.text),
    h('ul', { class: 'candidates' }, question.candidates.map((name) => h('li', {}, button('plain', name, name)))),
    h('div', { class: 'line' }, h('p', { class: 'faint' }, until(question.expires)), button('quiet', 'None of them', null)));
}

function pair(name, value, said) {
  const items = Array.isArray(value) ? value : [value];
  const shown = items.map((item) => {
    const words = typeof item === 'string' ? said[item] : undefined;
    const text = typeof item === 'string' ? item : JSON.stringify(item);
    return h('span', { class: 'value', dir: 'auto' }, text, words !== undefined && words !== item && h('span', { class: 'faint' }, ` for “${words}”`));
  });
  return [h('dt', {}, name.replaceAll('_', ' ')), h('dd', {}, shown)];
}

const isEmpty = (value) => value === '' || value === null || (Array.isArray(value) && value.length === 0);

function until(expires) {
  const time = new Date(expires).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  return `Answer by ${time}, or it is not done.`;
}
