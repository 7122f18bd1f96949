// What is known of a run: its events, one after another, become a selection, plans with their steps, questions and an end. Shows nothing.

/** How a step stands: the service's own words once it has ended. */
export const STATES = {
  planned: 'planned',
  asking: 'waits for you',
  running: 'running',
  done: 'done',
  failed: 'failed',
  skipped: 'not started',
  declined: 'declined',
  'in doubt': 'in doubt',
  begun: 'in doubt',
  'not begun': 'not started',
};

export class Run {
  constructor({ request, id = null }) {
    Object.assign(this, { request, id, ahead: 0, selection: null, questions: new Map(), answer: null, error: null, lost: false });
    this.attempts = []; // plans, the last one at the end; another follows where one cannot be carried out
    this.stopping = false;
  }

  /** Return what the journal knows of a run whose events are not on record, such as one of the command line. */
  static ofRecord(record) {
    const run = new Run({ request: record.request, id: record.run });
    run.attempts = record.plans.map((plan) => ({
      whole: true,
      steps: plan.steps.map((step) => ({ ...step, state: step.status in STATES ? step.status : 'not begun' })),
    }));
    return run;
  }

  get plan() {
    return this.attempts.at(-1) ?? null;
  }

  get steps() {
    return this.plan?.steps ?? [];
  }

  get ended() {
    return Boolean(this.answer || this.error);
  }

  /** Where the run stands, in a word. */
  get phase() {
    if (this.error) return this.error.type === 'cancelled' ? 'stopped' : 'failed';
    if (this.answer) return this.answer.complete ? 'done' : this.steps.some((step) => step.state === 'done') ? 'part' : 'undone';
    if (this.stopping) return 'stopping';
    if (this.questions.size) return 'asking';
    if (this.plan?.whole) return 'running';
    return this.selection ? 'planning' : 'selecting';
  }

  /** Take the next event in. */
  apply({ kind, data }) {
    this.id = data.run ?? this.id;
    this[`on_${kind}`]?.(data);
    return this;
  }

  on_queued({ ahead }) {
    this.ahead = ahead;
  }

  on_selected(selection) {
    this.selection = selection;
    this.ahead = 0;
    if (!this.plan || this.plan.whole || this.plan.why) this.#begin();
  }

  on_step_planned(step) {
    if (!this.plan || this.plan.whole) this.#begin();
    const steps = this.plan.steps.filter((known) => known.number !== step.step);
    this.plan.steps = [...steps, fresh(step)].sort((a, b) => a.number - b.number);
  }

  on_planned({ steps }) {
    if (!this.plan || this.plan.whole) this.#begin();
    Object.assign(this.plan, { whole: true, steps: steps.map(fresh) });
  }

  on_replanning({ reason }) {
    if (!this.plan) this.#begin();
    this.plan.why = reason; // it was given up
  }

  on_approval_needed(question) {
    this.questions.set(`step ${question.step}`, { kind: 'approval', ...question });
    this.#step(question.step, { state: 'asking' });
  }

  on_choice_needed(question) {
    this.questions.set(`choice ${question.question}`, { kind: 'choice', ...question });
  }

  on_started({ step }) {
    this.questions.delete(`step ${step}`);
    this.#step(step, { state: 'running' });
  }

  on_finished({ step, status, ...rest }) {
    this.questions.delete(`step ${step}`);
    this.#step(step, { state: status, ...rest });
  }

  on_answer(answer) {
    this.answer = answer;
    this.questions.clear();
  }

  on_error(error) {
    this.error = error;
    this.questions.clear();
    for (const step of this.steps) if (['running', 'asking', 'planned'].includes(step.state)) step.state = 'not begun';
  }

  #begin() {
    // A draft that came to nothing is no plan that anybody would want to see.
    this.attempts = this.attempts.filter((attempt) => attempt.whole);
    this.attempts.push({ whole: false, steps: [], why: '' });
  }

  #step(number, change) {
    const step = this.steps.find((known) => known.number === number);
    if (step) Object.assign(step, change);
  }
}

function fresh({ step, tool, call, needs }) {
  return { number: step, tool, call, needs, state: 'planned', output: null, error: null, fix: null, seconds: 0 };
}
