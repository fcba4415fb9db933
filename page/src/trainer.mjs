// Training in the page: mini-batches, cross-entropy, backpropagation through time, Adam.
// Shapes: B batch, T time, H hidden, Y output.

import { Network, isRight } from "./network.mjs";

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

const SHAPES = ["Wxh", "Whh", "bh", "Why", "by"];

export class Trainer {
  /** @param settings {activation, hidden, step, seed, batch, digits} */
  constructor(task, { activation, hidden, step, seed, batch = 32, digits = 8 }) {
    Object.assign(this, { task, activation, step, batch, digits, updates: 0 });
    this.H = hidden;
    this.T = digits + task.headroom;
    this.next = random(seed);
    const Y = task.neurons, width = activation === "sigmoid" ? 1 : 1 / Math.sqrt(hidden);
    const uniform = (n, w) => Float64Array.from({ length: n }, () => w * (2 * this.next() - 1));
    this.weights = {
      Wxh: uniform(task.inputs * hidden, 1), Whh: uniform(hidden * hidden, width),
      bh: new Float64Array(hidden), Why: uniform(hidden * Y, width), by: new Float64Array(Y),
    };
    const zeros = () => Object.fromEntries(SHAPES.map((k) => [k, new Float64Array(this.weights[k].length)]));
    Object.assign(this, { gradient: zeros(), mean: zeros(), square: zeros() });
    this.h = Array.from({ length: this.T + 1 }, () => new Float64Array(hidden));
    this.dlogits = Array.from({ length: this.T }, () => new Float64Array(Y));
  }

  network() {
    const copy = Object.fromEntries(SHAPES.map((k) => [k, this.weights[k].slice()]));
    return new Network(this.task, this.activation, copy);
  }

  /** One update; the mean error of a problem, as the tutorial measures it, and the part right. */
  update() {
    for (const key of SHAPES) this.gradient[key].fill(0);
    const network = new Network(this.task, this.activation, this.weights);
    let error = 0, right = 0;
    for (let b = 0; b < this.batch; b++) {
      const word = Array.from({ length: this.T }, (_, t) =>
        t < this.digits ? Math.floor(this.next() * this.task.symbols.length) : 0);
      const found = this.forward(network, word);
      error += found.error / this.batch;
      right += found.right / this.batch;
      this.backward(word);
    }
    this.adam();
    return { error, right };
  }

  forward(network, word) {
    const expected = this.task.run(word).outputs;
    let error = 0, right = 1;
    word.forEach((symbol, t) => {
      const h = network.recur(this.h[t], this.h[t + 1]), drive = network.drives[symbol];
      for (let j = 0; j < this.H; j++) h[j] = network.f(h[j] + drive[j]);
      const logits = network.logits(h), d = this.dlogits[t];
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
  backward(word) {
    const { H, task, weights: W, gradient: g } = this, Y = task.neurons;
    let dz = new Float64Array(H), dh = new Float64Array(H);
    for (let t = this.T - 1; t >= 0; t--) {
      const h = this.h[t + 1], before = this.h[t], d = this.dlogits[t], x = task.vectorOf(word[t]);
      // dL/dh_t = dL/dlogits Why^T + dL/dz_{t+1} Whh^T
      for (let i = 0; i < H; i++) {
        let sum = 0;
        for (let y = 0; y < Y; y++) {
          sum += d[y] * W.Why[i * Y + y];
          g.Why[i * Y + y] += h[i] * d[y];
        }
        for (let j = 0, at = i * H; j < H; j++) sum += dz[j] * W.Whh[at + j];
        dh[i] = sum;
      }
      for (let y = 0; y < Y; y++) g.by[y] += d[y];
      const after = dz;
      dz = dh;
      dh = after;
      for (let i = 0; i < H; i++) dz[i] *= slope(this.activation, h[i]);
      for (let i = 0; i < H; i++) {
        g.bh[i] += dz[i];
        const value = before[i];
        if (value) for (let j = 0, at = i * H; j < H; j++) g.Whh[at + j] += value * dz[j];
      }
      for (let i = 0; i < x.length; i++) if (x[i]) for (let j = 0; j < H; j++) g.Wxh[i * H + j] += x[i] * dz[j];
    }
  }

  adam() {
    const t = ++this.updates, rate = (this.step * Math.sqrt(1 - 0.999 ** t)) / (1 - 0.9 ** t);
    for (const key of SHAPES) {
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

/** f'(z) from h = f(z). */
function slope(activation, h) {
  if (activation === "sigmoid") return h * (1 - h);
  return activation === "tanh" ? 1 - h * h : +(h > 0);
}
