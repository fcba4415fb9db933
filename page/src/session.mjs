// A training in the page: its settings, its worker, and all that is known of it so far.  It outlives
// what is drawn of it, so that neither another language nor a look inside loses it.

import { digitsOfMap } from "./errors.mjs";
import { Network } from "./network.mjs";
import { START } from "./offer.mjs";
import { firstProblem } from "./scene.mjs";
import { Trainer } from "./trainer.mjs";
import { askMap, begin, plain } from "./workers.mjs";

const MOST_POINTS = 600, MOST_SNAPSHOTS = 24;

export class Session extends EventTarget {
  /** @param {Offer} offer what can be trained here */
  constructor(offer) {
    super();
    this.offer = offer;
    this.settings = offer.read(location.hash);
    this.training = null; // what comes late of an earlier one is dropped
    this.guess = null;
    this.isLooked = false; // nothing is worked out for a picture that nobody sees
    this.untrained = null;
    addEventListener("hashchange", () => {
      if (location.hash.startsWith(START)) this.change(this.offer.read(location.hash));
    });
  }

  get task() {
    return this.offer.tasks.get(this.settings.task);
  }

  /** A problem whose answer is shown all the time: of a sum of two, the tutorial's. */
  get probe() {
    const { task } = this;
    return task.family === "add" && task.operands === 2 ? [118n, 8n] : firstProblem(task);
  }

  /** What there are pictures of: the training or, until it has come to anything, what it will begin with. */
  get shown() {
    if (this.training?.network) return this.training;
    return this.isLooked ? (this.untrained ??= new Untrained(this)) : null;
  }

  /** Somebody looks at the pictures. */
  look() {
    if (this.isLooked) return;
    this.isLooked = true;
    this.tell("state");
  }

  /** How many problems the picture of all shows. */
  get pairs() {
    return this.task.base ** (digitsOfMap(this.task) * Math.min(2, this.task.operands));
  }

  /** Other settings; all but another pace begin afresh. */
  change(changes) {
    const before = this.settings, next = (this.settings = this.offer.changed(before, changes));
    const others = Object.keys(next).filter((key) => next[key] !== before[key]);
    this.remember();
    if (others.some((key) => key !== "pace")) this.drop();
    else if (others.length) this.training?.keepPace();
    this.tell("settings"); // first, since of another task all is drawn anew
    this.tell("state");
  }

  /** Keep the settings in the address, so that it can be handed on. */
  remember() {
    try {
      history.replaceState(null, "", this.offer.write(this.settings));
    } catch {
      // a page within another may have no address to change
    }
  }

  /** Go on, from the beginning where nothing has begun. Throws where there are no workers. */
  start() {
    this.remember();
    this.training ??= new Training(this);
    this.training.ask("run");
    this.tell("state");
  }

  /** Resolves when it stands still. */
  pause() {
    const answered = this.training.ask("pause");
    this.tell("state");
    return answered;
  }

  reset() {
    this.drop();
    this.tell("state");
  }

  drop() {
    this.training?.worker.terminate();
    this.training = this.guess = this.untrained = null;
  }

  predict(guess) {
    this.guess = guess;
    this.tell("guess");
  }

  tell(what) {
    this.dispatchEvent(new Event(what));
  }

  /** Call now, and whenever any of some things change. */
  follow(whats, draw, signal) {
    for (const what of whats) this.addEventListener(what, draw, { signal });
    draw();
  }
}

/** The network that a training begins with. */
class Untrained {
  constructor(session) {
    const { task, settings } = session.offer.prepared(session.settings);
    this.network = new Network(task, settings.formulas, new Trainer(task, settings).weights);
    Object.assign(this, { map: null, mapped: 0 });
    askMap(this.network, digitsOfMap(task)).then((map) => {
      this.map = map;
      session.tell("map");
    });
  }
}

class Training {
  constructor(session) {
    const { task, settings } = session.offer.prepared(session.settings), digits = digitsOfMap(task);
    Object.assign(this, { session, task, digits, batch: settings.batch, formulas: settings.formulas, settings: session.settings });
    this.until = session.offer.recipes[session.settings.recipe].problems / settings.batch;
    this.metrics = { problem: [], error: [], right: [], stage: [] };
    this.snapshots = [];
    this.updates = 0;
    /** Of the network that is shown: its updates, errors, weights; and itself. */
    Object.assign(this, { latest: null, network: null, running: false, failed: null });
    /** The latest picture, after how many problems it was, and after how many one was first all right. */
    Object.assign(this, { map: null, mapped: 0, done: null, mapping: false });
    /** How often the worker was told to run or to pause, and what is done when it has answered. */
    Object.assign(this, { asked: 0, answered: () => {} });
    this.worker = begin();
    this.worker.onmessage = ({ data }) => this.isSeen && this.hear(data);
    this.worker.onerror = (event) => {
      event.preventDefault(); // it is said in the page
      this.fail(event.message);
    };
    this.worker.postMessage({ kind: "begin", task: plain(task), settings, until: this.until });
  }

  /** Tell the worker to run or to pause; it answers with what it has come to, which then is what is shown. */
  ask(kind) {
    this.running = kind === "run";
    this.worker.postMessage({ kind, asked: ++this.asked, pace: this.session.settings.pace });
    return new Promise((resolve) => (this.answered = resolve));
  }

  keepPace() {
    this.worker.postMessage({ kind: "pace", pace: this.session.settings.pace });
  }

  /** It cannot go on. */
  fail(reason) {
    if (!this.isSeen) return;
    this.worker.terminate();
    this.running = false;
    this.failed = { reason };
    this.answered();
    this.session.tell("state");
  }

  get isSeen() {
    return this.session.training === this;
  }

  get problems() {
    return this.updates * this.batch;
  }

  /** What the network answers to the probe. */
  get answer() {
    const { task, session: { probe } } = this, { steps, expected } = this.network.work(task.encode(probe));
    const outputs = steps.map((step) => step.output), answer = task.decode(outputs), right = task.rightAnswer(expected, outputs);
    const isRight = steps.every((step) => step.right);
    return { text: task.write(probe, answer), answer: task.writeAnswer(answer), right: task.writeAnswer(right), isRight };
  }

  /** What its worker has come to; whether that runs is known once it has heard all that it was told. */
  hear(data) {
    const answers = data.asked === this.asked, changed = answers && data.running !== this.running;
    this.until = data.until;
    if (answers) this.running = data.running;
    if (!this.latest || data.updates > this.updates) this.take(data);
    this.session.tell(data.answers || changed ? "state" : "progress");
    if (answers) this.answered();
    this.draw().catch((error) => this.fail(error.message));
  }

  take(data) {
    this.latest = data;
    this.updates = data.updates;
    this.network = new Network(this.task, this.formulas, data.weights);
    const { metrics, snapshots, problems } = this, before = snapshots.at(-1)?.problem ?? 0;
    const next = data.updates === 0 ? 0 : Math.max(10 * this.batch, 1.5 * before);
    if (problems >= next && snapshots.length < MOST_SNAPSHOTS) snapshots.push({ problem: problems, network: this.network });
    if (Number.isFinite(data.error)) { // at first there is none, and where it went too far none that can be drawn
      metrics.problem.push(problems);
      metrics.error.push(data.error);
      metrics.right.push(data.right);
      metrics.stage.push(this.batch === 1 ? "SGD" : "Adam");
      const half = (values) => values.filter((_, i) => (values.length - i) % 2); // the last stays
      if (metrics.problem.length > MOST_POINTS) for (const key in metrics) metrics[key] = half(metrics[key]);
    }
  }

  /** The errors of the latest network, and again if there is a later one by then. */
  async draw() {
    if (this.mapping) return;
    this.mapping = true;
    for (let now = null; now !== this.latest; ) {
      now = this.latest;
      const map = await askMap(this.network, this.digits);
      if (!this.isSeen) return;
      this.map = map;
      this.mapped = now.updates * this.batch;
      if (this.done === null && map.right === map.size ** 2) {
        this.done = this.mapped; // by now it may have had some more
        if (this.running) this.session.pause();
        else this.session.tell("state");
      }
      this.session.tell("map");
    }
    this.mapping = false;
  }

  /** The network as the views take it, once its picture is drawn. */
  async found() {
    const { task, network, digits, problems, updates } = this;
    const snapshots = [...this.snapshots.filter((each) => each.problem < problems), { problem: problems, network }];
    const metrics = Object.fromEntries(Object.entries(this.metrics).map(([key, values]) => [key, [...values]]));
    const map = await askMap(network, digits);
    // of three numbers and more the picture shows some of the problems, and not all up to a length
    const picture = { pairs: map.size ** 2, right: map.right, missed: map.missed }, whole = task.operands <= 2;
    return {
      kind: "here", task, network, metrics, picture, snapshots,
      evaluation: whole ? { exhaustive: { pairs: picture.pairs, right: map.right, digits, margin: map.margin }, sampled: [] } : null,
      proof: null, learned: null, plane: null, regions: null, settings: this.settings, updates,
    };
  }
}
