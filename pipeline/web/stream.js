// A run's events, over fetch: EventSource cannot bear a token. Reads server-sent events (WHATWG HTML, 9.2) as far as the service writes them, and when
// the connection is lost asks for the rest by the number of the last event.

import { ask, Refused } from './session.js';

const ENDS = new Set(['answer', 'error']);
const WAITS_MS = [250, 500, 1000, 2000, 4000, 4000, 4000];
const SILENCE_MS = 40_000; // more than twice the time after which the service gives a sign of life

/** Takes pieces of a stream and gives the events that are whole: `{id, kind, data}`. */
export class Parser {
  #rest = '';
  #decoder = new TextDecoder();

  *feed(bytes) {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    const blocks = this.#rest.split('\n\n');
    this.#rest = blocks.pop();
    for (const block of blocks) {
      const event = { id: null, kind: 'message', data: '' };
      for (const line of block.split('\n')) {
        const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
        if (field === 'id') event.id = Number(value);
        else if (field === 'event') event.kind = value;
        else if (field === 'data') event.data += value;
      }
      if (event.data) yield { ...event, data: JSON.parse(event.data) };
    }
  }
}

/**
 * Begin a run and give its events, or, where `id` is given, give those of a run that is there already.
 * `onEvent` gets each once, in order; `onLost` and `onBack` are told of the connection. Returns after the last event.
 * Throws `Refused` where the service will not, and AbortError by `signal`.
 */
export async function follow({ request, id, onEvent, onLost = () => {}, onBack = () => {}, signal }) {
  let last = 0;
  let tries = 0;
  for (;;) {
    try {
      const answer = id
        ? await ask(`/v1/runs/${id}/events`, { headers: { 'Last-Event-ID': String(last) }, signal })
        : await ask('/v1/runs', { method: 'POST', json: { request }, signal });
      id ??= answer.headers.get('Location').split('/').pop();
      if (tries) onBack();
      for await (const event of events(answer.body)) {
        tries = 0;
        if (event.id <= last) continue;
        last = event.id;
        queueMicrotask(() => onEvent(event)); // what goes wrong in there is no fault of the connection
        if (ENDS.has(event.kind)) return;
      }
    } catch (error) {
      const cannotMend = error instanceof Refused ? error.status !== 0 || !id : error.name === 'AbortError';
      if (cannotMend || tries >= WAITS_MS.length) throw error;
    }
    if (tries >= WAITS_MS.length) throw new Refused(0, 'The connection was lost.', 'Load the page anew.');
    if (tries === 0) onLost();
    await pause(WAITS_MS[tries], signal);
    tries += 1;
  }
}

async function* events(body) {
  const parser = new Parser();
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await inTime(reader.read(), SILENCE_MS);
      if (done) return;
      yield* parser.feed(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function inTime(promise, ms) {
  let timer;
  const silence = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Refused(0, 'The service is silent.')), ms);
  });
  return Promise.race([promise, silence]).finally(() => clearTimeout(timer));
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new DOMException('aborted', 'AbortError'));
    if (signal?.aborted) gone();
    signal?.addEventListener('abort', gone, { once: true });
    setTimeout(resolve, ms);
  });
}
