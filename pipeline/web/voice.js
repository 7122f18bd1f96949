// Hold to talk: records while the button is held, or from one short press to the next, and has the service write down what was said.

import { set } from './dom.js';
import { askJson } from './session.js';

const SHORT_MS = 400; // a press that is shorter begins a recording instead of being one
const LONGEST_MS = 60_000;

/** Whether this browser can record here: a page that did not come from this machine, or not encrypted, may not. */
export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);

/** Make a button record. `heard` gets the text, `told` what there is to say otherwise. */
export function talkWith(button, { heard, told }) {
  const label = button.textContent;
  let recorder = null;
  let pressed = 0; // when, while it is
  let began = false; // whether this press began the recording
  let lastPress = -Infinity;

  const show = (state, text) => {
    button.dataset.state = state;
    button.setAttribute('aria-pressed', String(state === 'recording'));
    set(button, text);
  };

  async function begin() {
    show('waiting', 'Microphone…');
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      show('', label);
      told(error.name === 'NotAllowedError' ? 'The browser does not let this page use the microphone.' : 'There is no microphone.');
      return;
    }
    const pieces = [];
    recorder = new MediaRecorder(stream);
    const limit = setTimeout(stop, LONGEST_MS);
    recorder.addEventListener('dataavailable', ({ data }) => pieces.push(data));
    recorder.addEventListener('stop', () => {
      clearTimeout(limit);
      stream.getTracks().forEach((track) => track.stop());
      const recording = new Blob(pieces, { type: recorder.mimeType });
      recorder = null;
      if (recording.size) write(recording);
      else {
        show('', label);
        told('Nothing was heard.');
      }
    });
    recorder.start();
    show('recording', 'Listening…');
    told('Listening. Release, or press again, to end.');
  }

  function stop() {
    if (recorder?.state === 'recording') recorder.stop();
  }

  async function write(recording) {
    show('waiting', 'Writing down…');
    button.disabled = true;
    try {
      const { text } = await askJson('/v1/transcribe', { method: 'POST', body: recording, headers: { 'Content-Type': recording.type.split(';')[0] } });
      if (text) heard(text);
      else told('Nothing was heard.');
    } catch (error) {
      told([error.message, error.fix].filter(Boolean).join(' '));
    } finally {
      button.disabled = false;
      show('', label);
    }
  }

  const press = () => {
    lastPress = performance.now();
    began = !recorder;
    if (recorder) stop();
    else if (button.dataset.state !== 'waiting') {
      pressed = lastPress;
      begin();
    }
  };
  const release = () => {
    if (began && performance.now() - pressed > SHORT_MS) stop();
    began = false;
  };

  button.addEventListener('pointerdown', (event) => { if (event.button === 0) press(); });
  for (const name of ['pointerup', 'pointercancel', 'pointerleave']) button.addEventListener(name, release);
  button.addEventListener('keydown', (event) => {
    if (event.key !== ' ' && event.key !== 'Enter') return;
    event.preventDefault();
    if (!event.repeat) press();
  });
  button.addEventListener('keyup', release);
  // A screen reader's click comes without a pointer and without a key.
  button.addEventListener('click', () => { if (performance.now() - lastPress > 1000) press(); });
}
