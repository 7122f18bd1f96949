// Who asks: changes the one-time code of a link for a session, keeps that for this tab, and asks the service with it.
//
// The session is in `sessionStorage`: of this tab, this origin and this port alone, sent by no browser of its own accord. The code stands in the
// fragment of the link, which is never sent and is taken out of the address, and so out of the history, before anything else is done.

const KEY = 'session';
const CLIENT = 'client';

/** The service refused, or could not be reached. `status` is HTTP's, 0 if there was no answer. */
export class Refused extends Error {
  constructor(status, message, fix = null, kind = '') {
    super(message);
    Object.assign(this, { status, fix, kind });
  }
}

let whenShut = () => {};

/** Have `then` called when the service does not know the session any more. */
export const onShut = (then) => { whenShut = then; };

export const isOpen = () => sessionStorage.getItem(KEY) !== null;

/** Take a code out of a text, such as a link or this page's address; null if there is none. */
export function codeIn(text) {
  return /(?:#|^)code=([\w-]+=*)/.exec(text)?.[1] ?? null;
}

/** Take the code out of this page's address, and out of the history. */
export function takeCode() {
  const code = codeIn(location.hash);
  if (code) history.replaceState(null, '', '/');
  return code;
}

/** Change a code for a session. */
export async function enter(code) {
  const { session } = await (await call('/v1/session', { method: 'POST', json: { code } })).json();
  sessionStorage.setItem(KEY, session);
}

/** Close the session, here and there. */
export async function leave() {
  try {
    await ask('/v1/session', { method: 'DELETE' });
  } finally {
    sessionStorage.removeItem(KEY);
  }
}

/** Ask the service; return its answer if it is a good one. Throws `Refused`. */
export async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY)}`, 'X-Client-Id': client(), ...options.headers };
  try {
    return await call(path, { ...options, headers });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      sessionStorage.removeItem(KEY);
      whenShut();
    }
    throw error;
  }
}

export const askJson = async (path, options) => (await ask(path, options)).json();

async function call(path, { json, headers, ...options }) {
  const sent = { ...headers };
  if (json !== undefined) {
    sent['Content-Type'] = 'application/json';
    options.body = JSON.stringify(json);
  }
  let answer;
  try {
    answer = await fetch(path, { ...options, headers: sent, credentials: 'omit', cache: 'no-store', redirect: 'error' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'The service cannot be reached.', "Is 'tinyagent serve' running?");
  }
  if (answer.ok) return answer;
  let problem = {};
  try {
    problem = (await answer.json()).error;
  } catch { /* not one of the service's own answers */ }
  throw new Refused(answer.status, problem.message ?? `The service answers ${answer.status}.`, problem.fix, problem.type);
}

/** By what the service tells this tab from others, for its turns at the model. */
function client() {
  let id = sessionStorage.getItem(CLIENT);
  if (!id) {
    id = `page-${[...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, '0')).join('')}`;
    sessionStorage.setItem(CLIENT, id);
  }
  return id;
}
