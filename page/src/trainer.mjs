// Training in the page: backpropagation through time, by the page's recipe or by the tutorial's.
// The words of a batch go side by side: what is known of each of them is a row.

import { Adjoint, Formula, Tape, fillRows } from "./formula.mjs";
import { isRight } from "./network.mjs";

/** Numbers in [0, 1), decided by a seed: sfc32. */
export function random(seed) {
  let a = 0x9e3779b9, b = 0x243f6a88, c = seed >>> 0, d = 1;
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

export class Trainer {
  /**
   * @param settings {formulas, hidden, step, seed, digits} and a recipe; the formulas for so many
   *   hidden units; of the recipe {batch, loss, optimiser, biases}, whether biases leave zero
   */
  constructor(task, { formulas, hidden, step, seed, digits = 8, batch = 32, loss = "cross-entropy", optimiser = "adam", biases = true }) {
    Object.assign(this, { task, step, batch, digits, loss: LOSSES[loss], optimiser, updates: 0 });
    this.next = random(seed);
    const cell = new Formula(formulas.cell), readout = new Formula(formulas.readout);
    const width = formulas.activation === "sigmoid" ? 1 : 1 / Math.sqrt(hidden);
    this.weights = { ...this.initial(cell, width), ...this.initial(readout, width) };
    this.learned = formulas.learned_start ? cell.state.map((part) => `${part}_start`) : [];
    this.learned.forEach((name, i) => (this.weights[name] = new Float64Array(cell.widths[i])));
    const zeros = () => Object.fromEntries(Object.entries(this.weights).map(([name, w]) => [name, new Float64Array(w.length)]));
    Object.assign(this, { gradient: zeros(), mean: zeros(), square: zeros() });
    const still = biases ? [] : [...cell.biases, ...readout.biases];
    this.moving = Object.keys(this.weights).filter((name) => !still.includes(name));
    this.vectors = task.symbols.map((_, symbol) => task.vectorOf(symbol));
    this.tapes = Array.from({ length: digits + task.headroom }, () => ({ cell: new Tape(cell, this.weights, batch), readout: new Tape(readout, this.weights, batch) }));
    this.start = cell.state.map((part, i) => this.weights[`${part}_start`] ?? new Float64Array(cell.widths[i]));
    this.dlogits = this.tapes.map(() => new Float64Array(batch * task.neurons));
    this.adjoint = { cell: new Adjoint(this.tapes[0].cell, this.gradient), readout: new Adjoint(this.tapes[0].readout, this.gradient) };
    this.carried = this.adjoint.cell.state.map((part) => new Float64Array(part.length));
  }

  /** Matrices, and vectors that multiply, at random, those of inputs the widest; biases zero. */
  initial(formula, width) {
    return Object.fromEntries(formula.parameters.map((name) => {
      const w = formula.dims[name][0] === "X" ? 1 : width, size = formula.shape(name).reduce((a, b) => a * b);
      const draw = formula.biases.includes(name) ? () => 0 : () => w * (2 * this.next() - 1);
      return [name, Float64Array.from({ length: size }, draw)];
    }));
  }

  /** One update; the mean error of a problem, as the tutorial measures it, and the part right. */
  update() {
    const { symbols } = this.task, { batch, digits } = this;
    const words = Array.from({ length: batch }, () =>
      this.tapes.map((_, t) => (t < digits ? Math.floor(this.next() * symbols.length) : 0)));
    for (const gradient of Object.values(this.gradient)) gradient.fill(0);
    const { error, right } = this.forward(words);
    this.backward();
    this.updates++;
    this[this.optimiser]();
    return { error: error / batch, right: right / batch };
  }

  /** Follow words, as many as a batch has, side by side: their errors, summed, and how many are right. */
  forward(words) {
    const expected = words.map((word) => this.task.run(word).outputs), hits = words.map(() => true);
    let error = 0;
    this.tapes.forEach(({ cell, readout }, t) => {
      const x = cell.slots[0], width = x.length / words.length;
      words.forEach((word, b) => x.set(this.vectors[word[t]], b * width));
      cell.state.forEach((part, i) => (t ? part.set(this.tapes[t - 1].cell.results[i]) : fillRows(part, this.start[i])));
      cell.run(cell.all);
      readout.slots[0].set(cell.results[0]);
      readout.run(readout.all);
      const [logits] = readout.results, Y = logits.length / words.length;
      words.forEach((_, b) => {
        error += this.loss(this.dlogits[t], logits, b * Y, Y, expected[b][t]);
        hits[b] &&= isRight(logits, expected[b][t], b * Y, Y);
      });
    });
    return { error, right: hits.filter(Boolean).length };
  }

  /** Backpropagation through time; gradients are added to what is there. */
  backward() {
    const { carried, adjoint: { cell, readout } } = this; // dL/d state, from the steps after
    for (const part of carried) part.fill(0);
    for (let t = this.tapes.length - 1; t >= 0; t--) {
      cell.clear();
      readout.clear();
      add(readout.results[0], this.dlogits[t]);
      readout.pull(this.tapes[t].readout);
      add(cell.results[0], readout.inputs[0]);
      carried.forEach((part, i) => add(cell.results[i], part));
      cell.pull(this.tapes[t].cell);
      carried.forEach((part, i) => part.set(cell.state[i]));
    }
    this.learned.forEach((name, i) => {
      const sum = this.gradient[name];
      for (let at = 0; at < carried[i].length; at++) sum[at % sum.length] += carried[i][at];
    });
  }

  adam() {
    const t = this.updates, rate = (this.step * Math.sqrt(1 - 0.999 ** t)) / (1 - 0.9 ** t);
    for (const key of this.moving) {
      const w = this.weights[key], g = this.gradient[key], m = this.mean[key], v = this.square[key];
      for (let i = 0; i < w.length; i++) {
        const d = g[i] / this.batch;
        m[i] += 0.1 * (d - m[i]);
        v[i] += 0.001 * (d * d - v[i]);
        w[i] -= (rate * m[i]) / (Math.sqrt(v[i]) + 1e-8);
      }
    }
  }

  /** Stochastic gradient descent: a step against the gradient. */
  sgd() {
    for (const key of this.moving) {
      const w = this.weights[key], g = this.gradient[key];
      for (let i = 0; i < w.length; i++) w[i] -= (this.step * g[i]) / this.batch;
    }
  }
}

/** Each writes dL/dlogits of Y logits from `at` on, and returns the sum of |y - target|: see losses.py. */
const LOSSES = {
  "cross-entropy": (d, logits, at, Y, expected) => {
    const end = at + Y;
    if (expected === null || Y === 1) return each(d, logits, at, Y, expected, (y, target) => y - target);
    let largest = -Infinity, total = 0, error = 0;
    for (let y = at; y < end; y++) largest = Math.max(largest, logits[y]);
    for (let y = at; y < end; y++) total += d[y] = Math.exp(logits[y] - largest);
    for (let y = at; y < end; y++) error += Math.abs((d[y] = d[y] / total - +(y - at === expected)));
    return error;
  },
  squared: (...given) => each(...given, (y, target) => (y - target) * slope(y)),
  // the tutorial's line: the slope was taken at the error, e (1 - e), and not at the output, so
  // that the step, e e (1 - e), never is negative: every output goes up, whatever its target
  mistaken: (...given) => each(...given, (y, target) => (y - target) * slope(target - y)),
};

/** The derivative of the sigmoid, from its value. */
const slope = (y) => y * (1 - y);

/** Losses of each output by itself, which is sigmoid(logit). */
function each(d, logits, at, Y, expected, gradient) {
  if (expected === null) {
    d.fill(0, at, at + Y); // nothing is asked
    return 0;
  }
  let error = 0;
  for (let i = 0; i < Y; i++) {
    const y = 1 / (1 + Math.exp(-logits[at + i])), target = Y === 1 ? expected : +(i === expected);
    d[at + i] = gradient(y, target);
    error += Math.abs(y - target);
  }
  return error;
}

function add(sum, values) {
  for (let i = 0; i < sum.length; i++) sum[i] += values[i];
}
