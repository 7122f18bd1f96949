// The page: lets a person in, takes requests, follows the runs that it began, and shows one of them.

import { $, count, h, say, set } from './dom.js';
import { showPast } from './past.js';
import { told } from './questions.js';
import { Run, STATES } from './run.js';
import { ask, askJson, codeIn, enter, isOpen, leave, onShut, Refused, takeCode } from './session.js';
import { follow } from './stream.js';
import { RunView } from './view.js';
import { canRecord, talkWith } from './voice.js';

const PAST = 30; // runs that are listed
const READY_MS = 1500; // between looks at whether the models are loaded
const PLAY_MS = 450; // between the events of a run that is played back

const IDEAS = [
  'Text Priya that I’m ten minutes late',
  'Put lunch with Omar on Friday at noon into my calendar',
  'Remind me tomorrow at 6 to call the landlord',
  'Summarize the lease PDF and email it to Lena',
];

const tools = new Map(); // all, by name
const followed = new Map(); // runs that this page follows or followed, by id: {run, events, stop}
let records = []; // what the journal has of the last runs
let shown = null; // {entry, view}

// ── in and out ──────────────────────────────────────────────────────────────────────────────────────

async function begin() {
  const code = takeCode();
  if (code) await letIn(code);
  else if (isOpen()) await openRoom();
  else showDoor();
}

async function letIn(code) {
  try {
    await enter(code);
  } catch (error) {
    return showDoor(inWords(error));
  }
  return openRoom();
}

function showDoor(why = '') {
  $('room').hidden = true;
  $('leave').hidden = true;
  $('door').hidden = false;
  set($('shut'), why);
  $('code').focus();
}

async function openRoom() {
  try {
    await catalogue();
  } catch (error) {
    return showDoor(inWords(error));
  }
  $('door').hidden = true;
  $('room').hidden = false;
  $('leave').hidden = false;
  await listPast();
  await route();
  if (!shown) $('request').focus();
  watchReadiness();
  return undefined;
}

async function catalogue() {
  const [{ tools: all }, { paths }] = await Promise.all([askJson('/v1/tools'), askJson('/openapi.json')]);
  for (const tool of all) tools.set(tool.name, tool);
  if ('/v1/transcribe' in paths && canRecord() && $('talk').hidden) {
    $('talk').hidden = false;
    talkWith($('talk'), { heard, told: (text) => { set($('ask-hint'), text); say(text); } });
  }
}

async function watchReadiness() {
  const words = { loading: 'Loading the models…', failed: 'The models cannot be loaded; the log tells why', closing: 'The service is closing' };
  for (;;) {
    let status;
    try {
      ({ status } = await (await fetch('/readyz', { credentials: 'omit', cache: 'no-store' })).json());
    } catch {
      status = 'gone';
    }
    set($('ready'), status === 'ready' ? '' : words[status] ?? 'The service cannot be reached');
    if (status === 'ready') return;
    await new Promise((resolve) => { setTimeout(resolve, READY_MS); });
  }
}

// ── runs ────────────────────────────────────────────────────────────────────────────────────────────

/** Follow a run to its end: a new one, or one that is there already. */
async function track(run) {
  const fresh = run.id === null;
  const entry = { run, events: [], quiet: !fresh }; // what happened before is not said again
  if (!fresh) followed.set(run.id, entry);
  const changed = (lost) => {
    run.lost = lost;
    refresh(entry);
  };
  const onEvent = (event) => {
    entry.events.push(event);
    run.apply(event);
    if (!followed.has(run.id)) {
      followed.set(run.id, entry);
      if (shown?.entry === entry) history.pushState(null, '', `#/runs/${run.id}`);
      listPast();
    }
    if (!entry.quiet) announce(entry, event);
    changed(false);
    if (run.ended) listPast();
  };
  const done = follow({ request: run.request, id: run.id, onEvent, onLost: () => changed(true), onBack: () => changed(false) }).catch((error) => {
    run.on_error({ type: error.kind || 'unreachable', message: error.message, fix: error.fix });
    if (fresh && run.id === null && shown?.entry === entry && $('request').value === '') $('request').value = run.request;
    changed(false);
  });
  return { entry, done };
}

function refresh(entry) {
  if (shown?.entry === entry) shown.view.update();
  showPast(records, phases(), shown?.entry.run.id);
  const asked = [...followed.values()].some(({ run }) => run.questions.size > 0);
  document.title = asked ? 'Waits for you – TinyAgent' : 'TinyAgent';
}

const phases = () => new Map([...followed].map(([id, { run }]) => [id, run.phase]));

async function listPast() {
  try {
    ({ runs: records } = await askJson(`/v1/runs?limit=${PAST}`));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
  }
  showPast(records, phases(), shown?.entry.run.id);
}

/** Say what happens to those who do not see it. */
function announce(entry, { kind, data }) {
  const asks = { approval_needed: () => told({ kind: 'approval', ...data }), choice_needed: () => told({ kind: 'choice', ...data }) };
  if (shown?.entry !== entry) {
    if (asks[kind]) say(`Another run waits for you: ${entry.run.request}. ${asks[kind]()}`, { urgent: true });
    return;
  }
  const words = {
    selected: () => `${count(data.tools.length - data.prerequisites.length, 'tool')} selected.`,
    planned: () => `The plan has ${count(data.steps.length, 'step')}.`,
    replanning: () => 'Another plan is made.',
    finished: () => `Step ${data.step}, ${data.tool}: ${STATES[data.status]}.`,
    answer: () => `Answer: ${data.text}`,
    error: () => data.message,
  };
  if (words[kind]) say(words[kind]());
}

function show(entry) {
  shown?.view.close();
  $('ideas').hidden = true;
  shown = { entry, view: new RunView($('run'), entry.run, serving(entry)) };
  refresh(entry);
}

function showNone() {
  shown?.view.close();
  shown = null;
  $('run').hidden = true;
  $('run').replaceChildren();
  $('ideas').hidden = false;
  showPast(records, phases(), undefined);
}

/** What a shown run may ask of the service. */
function serving(entry) {
  const { run } = entry;
  return {
    tools,
    answer: async (key, question, value, again) => {
      const [place, json] = question.kind === 'approval'
        ? ['approvals', { step: question.step, digest: question.digest, approved: value }]
        : ['choices', { question: question.question, choice: value }];
      try {
        await ask(`/v1/runs/${run.id}/${place}`, { method: 'POST', json });
      } catch (error) {
        say(inWords(error), { urgent: true });
        if (error.status !== 409) return again(inWords(error));
      }
      run.questions.delete(key);
      refresh(entry);
      return undefined;
    },
    stop: async () => {
      run.stopping = true;
      refresh(entry);
      try {
        await ask(`/v1/runs/${run.id}`, { method: 'DELETE' });
      } catch (error) {
        run.stopping = false;
        say(inWords(error), { urgent: true });
        refresh(entry);
      }
    },
    measure: (request) => askJson('/v1/plan', { method: 'POST', json: { request, offered: 'all' } }),
    replay: entry.events.length > 2 || !run.ended ? () => playBack(entry) : null,
  };
}

/** Show a run that has ended once more, as it came about. */
async function playBack(entry) {
  const copy = { run: new Run({ request: entry.run.request, id: entry.run.id }), events: entry.events };
  show(copy);
  for (const event of entry.events.filter(({ kind }) => kind !== 'approval_needed' && kind !== 'choice_needed')) {
    await new Promise((resolve) => { setTimeout(resolve, PLAY_MS); });
    if (shown?.entry !== copy) return;
    copy.run.apply(event);
    announce(copy, event);
    shown.view.update();
  }
  show(entry);
}

async function open(id) {
  let entry = followed.get(id);
  if (!entry) {
    let record;
    try {
      record = await askJson(`/v1/runs/${id}`);
    } catch (error) {
      say(inWords(error), { urgent: true });
      return showNone();
    }
    const run = new Run({ request: record.request, id });
    const tracked = await track(run);
    ({ entry } = tracked);
    if (record.status !== 'running') {
      await tracked.done;
      if (!run.plan) run.attempts = Run.ofRecord(record).attempts;
    }
  }
  show(entry);
  entry.quiet = false;
  $('run-title').focus({ preventScroll: true });
  return undefined;
}

// ── what a person does ──────────────────────────────────────────────────────────────────────────────

async function route() {
  if (codeIn(location.hash)) return begin();
  if (!isOpen()) return showDoor();
  const id = /^#\/runs\/([\w-]+)$/.exec(location.hash)?.[1];
  if (id && shown?.entry.run.id === id) return undefined;
  return id ? open(id) : showNone();
}

async function submit(event) {
  event.preventDefault();
  const request = $('request').value.trim();
  if (!request) return $('request').focus();
  $('request').value = '';
  const { entry } = await track(new Run({ request }));
  show(entry);
  return undefined;
}

function heard(text) {
  $('request').value = text;
  $('request').focus();
  say(`Heard: ${text}`);
}

const inWords = (error) => [error.message, error.fix].filter(Boolean).join(' ');

$('ask').addEventListener('submit', submit);
$('request').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) submit(event);
});
$('enter').addEventListener('submit', (event) => {
  event.preventDefault();
  const code = codeIn($('code').value.trim()) ?? $('code').value.trim();
  $('code').value = '';
  letIn(code);
});
$('leave').addEventListener('click', async () => {
  try {
    await leave();
  } finally {
    location.assign('/');
  }
});
$('ideas').append(...IDEAS.map((idea) => h('li', {}, h('button', { type: 'button', class: 'plain', onclick: () => {
  $('request').value = idea;
  $('request').focus();
} }, idea))));
const wide = matchMedia('(min-width: 960px)');
$('past-box').open = wide.matches;
wide.addEventListener('change', () => { $('past-box').open = wide.matches; });
onShut(() => showDoor('You were signed out.'));
window.addEventListener('hashchange', route);
begin();
