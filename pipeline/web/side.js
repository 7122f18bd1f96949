// What stands beside a plan: the tools that were selected, with scores and route, and what the selection saves.

import { count, h, seconds } from './dom.js';

/** Return the selected tools. `catalogue` has all tools by name. */
export function selected(selection, catalogue) {
  const lookups = new Set(selection.prerequisites);
  const by = (a, b) => (selection.scores[b] ?? -1) - (selection.scores[a] ?? -1) || a.localeCompare(b);
  const chosen = selection.tools.filter((name) => !lookups.has(name)).sort(by);
  const others = Object.keys(selection.scores).filter((name) => !selection.tools.includes(name)).sort(by);
  const most = Math.max(1, ...Object.values(selection.scores));
  const row = (name) => bar(name, selection.scores[name], { most, threshold: selection.threshold, chosen: selection.tools.includes(name) });
  return h('section', { class: 'panel', 'aria-labelledby': 'tools-title' },
    h('h3', { id: 'tools-title' }, 'Tools', h('span', { class: 'route' }, `${selection.route} · ${seconds(selection.milliseconds / 1000)}`)),
    h('p', { class: 'faint' }, why(selection, chosen.length)),
    chosen.length > 0 && h('ul', { class: 'bars' }, chosen.map(row)),
    lookups.size > 0 && h('p', { class: 'faint' }, 'To look things up: ',
      [...lookups].sort().flatMap((name, i) => [i ? ', ' : '', h('code', { title: catalogue.get(name)?.description }, name)])),
    others.length > 0 && h('details', {}, h('summary', {}, `${count(others.length, 'other tool')}`), h('ul', { class: 'bars' }, others.map(row))));
}

function why({ route, miss_rate: missRate, scores }, chosen) {
  if (route === 'classifier') {
    if (!chosen) return 'The classifier is sure that none of the tools serves this.';
    return missRate ? `The classifier is sure of them: at most ${+(missRate * 100).toFixed(1)} % of such requests lack a tool.` : 'The classifier is sure of them.';
  }
  if (route === 'index') return 'Their descriptions and examples are like the request.';
  return Object.keys(scores).length ? 'All are offered: none is clearly like the request.' : 'All are offered.';
}

function bar(name, score, { most, threshold, chosen }) {
  const track = h('span', { class: 'track', 'aria-hidden': 'true' });
  if (score !== undefined) {
    const fill = h('span', { class: 'fill' });
    fill.style.width = `${Math.max(0, Math.min(1, score / most)) * 100}%`;
    track.append(fill);
    if (threshold) {
      const tick = h('span', { class: 'tick' });
      tick.style.left = `${Math.min(1, threshold / most) * 100}%`;
      track.append(tick);
    }
  }
  return h('li', { class: chosen ? 'chosen' : '' }, h('span', { class: 'name' }, name),
    h('span', { class: 'score' }, score === undefined ? '' : score.toFixed(2)), track);
}

/** Return what the selection saves: `answer` has the tokens of both prompts; `measure` plans with all tools, and gives that plan. */
export function saved(answer, { offered, total, measure }) {
  const { prompt_tokens: tokens, full_prompt_tokens: all, plan_ms: planned } = answer;
  const percent = all ? Math.round((1 - tokens / all) * 100) : 0;
  const pair = h('ul', { class: 'bars compare' });
  const showPair = (list, rows) => {
    const most = Math.max(...rows.map(([, value]) => value));
    list.replaceChildren(...rows.map(([label, value, text], i) => {
      const fill = h('span', { class: 'fill' });
      fill.style.width = `${(value / most) * 100}%`;
      return h('li', { class: i ? '' : 'chosen' }, h('span', { class: 'name' }, label), h('span', { class: 'score' }, text),
        h('span', { class: 'track', 'aria-hidden': 'true' }, fill));
    }));
  };
  const mine = offered ? `with ${count(offered, 'tool')}` : 'without a tool';
  const theirs = total ? `with all ${total}` : 'with all';
  showPair(pair, [[mine, tokens, `${tokens} tokens`], [theirs, all, `${all} tokens`]]);
  const times = h('ul', { class: 'bars compare' });
  showPair(times, [[mine, planned, seconds(planned / 1000)]]);
  const note = h('p', { class: 'faint', role: 'status' });
  const button = h('button', { class: 'quiet', type: 'button', onclick: async () => {
    button.disabled = true;
    note.textContent = 'Planning with all tools…';
    try {
      const { plan_ms: full } = await measure();
      showPair(times, [[mine, planned, seconds(planned / 1000)], [theirs, full, seconds(full / 1000)]]);
      note.textContent = 'Each as it came. The model keeps the beginning of its last prompts, so what it has planned before is quicker.';
      button.remove();
    } catch (error) {
      note.textContent = [error.message, error.fix].filter(Boolean).join(' ');
      button.disabled = false;
    }
  } }, 'Measure with all tools');
  return h('section', { class: 'panel', 'aria-labelledby': 'saved-title' },
    h('h3', { id: 'saved-title' }, 'Prompt', percent > 0 && h('span', { class: 'route' }, `${percent} % fewer tokens`)),
    pair, h('h4', {}, 'Time to the plan'), times, note, button);
}
