// Training in the page: mini-batches, cross-entropy, backpropagation through time, Adam.

import { Adjoint, Formula, Tape } from "./formula.mjs";
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
  /** @param settings {formulas, hidden, step, seed, batch, digits}; the formulas for so many hidden units */
  constructor(task, { formulas, hidden, step, seed, batch = 32, digits = 8 }) {
    Object.assign(this, { task, step, batch, digits, updates: 0 });
    this.next = random(seed);
    const cell = new Formula(formulas.cell), readout = new Formula(formulas.readout);
    const width = formulas.activation === "sigmoid" ? 1 : 1 / Math.sqrt(hidden);
    this.weights = { ...this.initial(cell, width), ...this.initial(readout, width) };
    this.learned = formulas.learned_start ? cell.state.map((part) => `${part}_start`) : [];
    this.learned.forEach((name, i) => (this.weights[name] = new Float64Array(cell.widths[i])));
    const zeros = () => Object.fromEntries(Object.entries(this.weights).map(([name, w]) => [name, new Float64Array(w.length)]));
    Object.assign(this, { gradient: zeros(), mean: zeros(), square: zeros() });
    this.tapes = Array.from({ length: digits + task.headroom }, () => ({ cell: new Tape(cell, this.weights), readout: new Tape(readout, this.weights) }));
    this.start = cell.state.map((part, i) => this.weights[`${part}_start`] ?? new Float64Array(cell.widths[i]));
    this.dlogits = this.tapes.map(() => new Float64Array(task.neurons));
    this.adjoint = { cell: new Adjoint(this.tapes[0].cell, this.gradient), readout: new Adjoint(this.tapes[0].readout, this.gradient) };
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
    for (const gradient of Object.values(this.gradient)) gradient.fill(0);
    let error = 0, right = 0;
    for (let b = 0; b < this.batch; b++) {
      const word = this.tapes.map((_, t) =>
        t < this.digits ? Math.floor(this.next() * this.task.symbols.length) : 0);
      const found = this.forward(word);
      error += found.error / this.batch;
      right += found.right / this.batch;
      this.backward();
    }
    this.adam();
    return { error, right };
  }

  forward(word) {
    const expected = this.task.run(word).outputs;
    let error = 0, right = 1, state = this.start;
    word.forEach((symbol, t) => {
      const { cell, readout } = this.tapes[t], d = this.dlogits[t];
      cell.slots[0].set(this.task.vectorOf(symbol));
      state.forEach((part, i) => cell.state[i].set(part));
      cell.run(cell.all);
      state = cell.results;
      readout.slots[0].set(state[0]);
      readout.run(readout.all);
      const [logits] = readout.results;
      const largest = Math.max(...logits), single = logits.length === 1;
      let total = 0;
      for (let y = 0; y < d.length; y++) total += d[y] = Math.exp(logits[y] - largest);
      for (let y = 0; y < d.length; y++) {
        const p = single ? 1 / (1 + Math.exp(-logits[0])) : d[y] / total;
        d[y] = expected[t] === null ? 0 : p - (single ? expected[t] : +(y === expected[t])); // dL/dlogit of cross-entropy
        error += Math.abs(d[y]);
      }
      if (!isRight(logits, expected[t])) right = 0;
    });
    return { error, right };
  }

  /** Backpropagation through time; gradients are added to what is there. */
  backward() {
    const { cell, readout } = this.adjoint;
    cell.clear();
    for (let t = this.tapes.length - 1; t >= 0; t--) {
      const carried = cell.state.map((part) => part.slice()); // dL/d state, from the steps after
      cell.clear();
      readout.clear();
      add(readout.results[0], this.dlogits[t]);
      readout.pull(this.tapes[t].readout);
      add(cell.results[0], readout.inputs[0]);
      carried.forEach((part, i) => add(cell.results[i], part));
      cell.pull(this.tapes[t].cell);
    }
    this.learned.forEach((name, i) => add(this.gradient[name], cell.state[i]));
  }

  adam() {
    const t = ++this.updates, rate = (this.step * Math.sqrt(1 - 0.999 ** t)) / (1 - 0.9 ** t);
    for (const key in this.weights) {
      const w = this.weights[key], g = this.gradient[key], m = this.mean[key], v = this.square[key];
      for (let i = 0; i < w.length; i++) {
        const d = g[i] / this.batch;
        m[i] += 0.1 * (d - m[i]);
        v[i] += 0.001 * (d * d - v[i]);
        w[i] -= (rate * m[i]) / (Math.sqrt(v[i]) + 1e-8);
      }
    }
  }
}

function add(sum, values) {
  for (let i = 0; i < sum.length; i++) sum[i] += values[i];
}
