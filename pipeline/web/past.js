// The list of past runs, those under way among them.

import { $, h, set } from './dom.js';

const LOOKS = { done: ['✓', 'done', 'good'], 'in part': ['◐', 'done in part', 'asks'], 'in doubt': ['?', 'in doubt', 'asks'], running: ['…', 'under way', 'busy'], interrupted: ['■', 'stopped', 'still'],
  'taken back': ['↶', 'taken back', 'still'], 'not done': ['✕', 'not done', 'bad'] };
const PHASES = { asking: ['?', 'waits for you', 'asks'], stopped: LOOKS.interrupted, failed: LOOKS['not done'], undone: LOOKS['not done'], part: LOOKS['in part'],
  done: LOOKS.done };

/** Show the runs. `phases` has how those stand that this page follows, by id; `current` is the id of the one that is shown. */
export function showPast(records, phases, current) {
  $('past-none').hidden = records.length > 0;
  const rows = records.map((record) => {
    const phase = phases.get(record.run);
    const [sign, words, look] = phase ? PHASES[phase] ?? LOOKS.running : LOOKS[record.status] ?? ['·', record.status, 'still'];
    const now = JSON.stringify([record.request, words, record.run === current, when(record.begun)]);
    const known = [...$('past').children].find((row) => row.dataset.run === record.run);
    if (known?.now === now) return known;
    const row = known ?? h('li', { 'data-run': record.run }, h('a', { href: `#/runs/${record.run}` },
      h('span', { class: 'sign', 'aria-hidden': 'true' }), h('span', { class: 'title', dir: 'auto' }, record.request), h('span', { class: 'faint' })));
    row.now = now;
    const [link] = row.children;
    if (record.run === current) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
    link.className = look;
    set(link.children[0], sign);
    set(link.children[2], `${words}, ${when(record.begun)}`);
    return row;
  });
  rows.forEach((row, i) => { if ($('past').children[i] !== row) $('past').insertBefore(row, $('past').children[i] ?? null); });
  while ($('past').children.length > rows.length) $('past').lastElementChild.remove();
}

function when(begun) {
  const time = new Date(begun);
  const clock = time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  if (time.toDateString() === new Date().toDateString()) return clock;
  return `${time.toLocaleDateString([], { day: 'numeric', month: 'short' })}, ${clock}`;
}
