// A network, followed symbol by symbol: h' = f(x Wxh + h Whh + bh), logits = h' Why + by.
// In double precision, with the run's own weights; see network.py.

const ACTIVATIONS = {
  sigmoid: (z) => 1 / (1 + Math.exp(-z)),
  tanh: Math.tanh,
  relu: (z) => Math.max(z, 0),
};

export class Network {
  /** @param weights Wxh (X, H), Whh (H, H), bh (H), Why (H, Y), by (Y), each in rows, one after another */
  constructor(task, activation, weights) {
    this.task = task;
    this.activation = activation;
    this.weights = weights;
    this.f = ACTIVATIONS[activation];
    this.hidden = weights.bh.length;
    const H = this.hidden;
    this.drives = task.symbols.map((_, symbol) => {
      const x = task.vectorOf(symbol), drive = Float64Array.from(weights.bh);
      for (let i = 0; i < x.length; i++) {
        if (x[i]) for (let j = 0; j < H; j++) drive[j] += x[i] * weights.Wxh[i * H + j];
      }
      return drive;
    });
  }

  /** The range of a hidden unit, for drawing; of ReLU none is known. */
  get range() {
    return { sigmoid: [0, 1], tanh: [-1, 1], relu: [0, 2] }[this.activation];
  }

  /** h Whh, into `z`. */
  recur(h, z) {
    const H = this.hidden, W = this.weights.Whh;
    z.fill(0);
    for (let i = 0; i < H; i++) {
      const value = h[i];
      if (value) for (let j = 0, at = i * H; j < H; j++) z[j] += value * W[at + j];
    }
    return z;
  }

  step(h, symbol) {
    const next = this.recur(h, new Float64Array(this.hidden)), drive = this.drives[symbol];
    for (let j = 0; j < next.length; j++) next[j] = this.f(next[j] + drive[j]);
    return next;
  }

  logits(h) {
    const { Why, by } = this.weights, Y = by.length, logits = Float64Array.from(by);
    for (let i = 0; i < h.length; i++) for (let y = 0; y < Y; y++) logits[y] += h[i] * Why[i * Y + y];
    return logits;
  }

  /** Follow a word from the start, beside the task's machine. */
  work(word) {
    let h = new Float64Array(this.hidden);
    const machine = this.task.run(word), steps = [];
    word.forEach((symbol, t) => {
      h = this.step(h, symbol);
      const logits = this.logits(h), expected = machine.outputs[t];
      const output = answer(logits), margin = marginOf(logits, expected);
      steps.push({ symbol, h, logits, output, expected, margin, right: isRight(logits, expected) });
    });
    return { word, steps, states: machine.states, expected: machine.outputs };
  }
}

/** The output that logits stand for: rounded where there is one, else the largest. */
export function answer(logits) {
  if (logits.length === 1) return logits[0] > 0 ? 1 : 0;
  let best = 0;
  for (let y = 1; y < logits.length; y++) if (logits[y] > logits[best]) best = y;
  return best;
}

/** How far the logits are on the right side; negative where they are wrong. */
export function marginOf(logits, expected) {
  if (expected === null) return Infinity; // nothing is asked
  if (logits.length === 1) return expected ? logits[0] : -logits[0];
  let rival = -Infinity;
  for (let y = 0; y < logits.length; y++) if (y !== expected) rival = Math.max(rival, logits[y]);
  return logits[expected] - rival;
}

/** Whether the output is right, and the logits are numbers. */
export function isRight(logits, expected) {
  return expected === null || logits.every(Number.isFinite) && answer(logits) === expected;
}
