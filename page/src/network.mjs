// A network, followed symbol by symbol: its cell from state to state, its readout to logits.
// In double precision, with the run's own weights; see network.py.

import { Formula, Tape } from "./formula.mjs";

export class Network {
  /**
   * @param {object} formulas `cell` and `readout` as a page's model has them
   * @param {object} weights by name, each in rows, one after another
   */
  constructor(task, formulas, weights) {
    Object.assign(this, { task, formulas, weights });
    this.cell = new Formula(formulas.cell);
    this.hidden = this.cell.widths[0];
    /** The state before the first symbol: all its parts, side by side. */
    this.start = joined(this.cell.state.map((part, i) => weights[`${part}_start`] ?? new Float64Array(this.cell.widths[i])));
    const tape = new Tape(this.cell, weights), { drives } = this.cell;
    this.drives = task.symbols.map((_, symbol) => {
      tape.slots[0].set(task.vectorOf(symbol));
      tape.run(tape.ofInput);
      return drives.map((slot) => tape.slots[slot].slice());
    });
    this.steps = new Steps(this);
    this.reading = new Tape(new Formula(formulas.readout), weights);
  }

  /** The parts of a state by name: the first is what the readout reads. */
  parts(state) {
    let end = 0;
    return this.cell.widths.map((width, i) => ({ name: this.cell.state[i], values: state.subarray(end, (end += width)) }));
  }

  step(state, symbol) {
    return this.steps.from(state).to(symbol);
  }

  /** The gates of a step, from 0 to 1: values that an equation calls by a name. */
  gates(state, symbol) {
    this.step(state, symbol);
    return Object.entries(this.cell.gates).map(([name, slot]) => ({ name, values: this.steps.tape.slots[slot].slice() }));
  }

  logits(state) {
    const { reading } = this, [h] = reading.slots;
    for (let i = 0; i < h.length; i++) h[i] = state[i];
    reading.run(reading.all);
    return reading.results[0].slice();
  }

  /** Follow a word from the start, beside the task's machine. */
  work(word) {
    let state = this.start;
    const machine = this.task.run(word), steps = [];
    word.forEach((symbol, t) => {
      const before = state;
      state = this.step(before, symbol);
      const logits = this.logits(state), expected = machine.outputs[t];
      const output = answer(logits), margin = marginOf(logits, expected);
      const h = state.subarray(0, this.hidden);
      steps.push({ symbol, before, state, h, logits, output, expected, margin, right: isRight(logits, expected) });
    });
    return { word, steps, states: machine.states, expected: machine.outputs };
  }
}

/** Steps of a network from one state at a time: what needs the state only is done once for all symbols. */
class Steps {
  constructor(network) {
    this.network = network;
    this.tape = new Tape(network.cell, network.weights);
    this.drives = network.cell.drives.map((slot) => this.tape.slots[slot]);
  }

  from(state) {
    const { tape } = this;
    let at = 0;
    for (const part of tape.state) for (let i = 0; i < part.length; i++) part[i] = state[at++];
    tape.run(tape.ofState);
    return this;
  }

  /** The state after a symbol, written into `next`. */
  to(symbol, next = new Float64Array(this.network.start.length)) {
    const { tape, drives, network } = this, shares = network.drives[symbol];
    for (let i = 0; i < drives.length; i++) drives[i].set(shares[i]);
    tape.run(tape.ofBoth);
    let at = 0;
    for (const part of tape.results) for (let i = 0; i < part.length; i++) next[at++] = part[i];
    return next;
  }
}

const joined = (parts) => Float64Array.from(parts.flatMap((part) => [...part]));

/** The output that Y logits from `at` on stand for: rounded where there is one, else the largest. */
export function answer(logits, at = 0, Y = logits.length) {
  if (Y === 1) return logits[at] > 0 ? 1 : 0;
  let best = 0;
  for (let y = 1; y < Y; y++) if (logits[at + y] > logits[at + best]) best = y;
  return best;
}

/** How far the logits are on the right side; negative where they are wrong. */
export function marginOf(logits, expected, at = 0, Y = logits.length) {
  if (expected === null) return Infinity; // nothing is asked
  if (Y === 1) return expected ? logits[at] : -logits[at];
  let rival = -Infinity;
  for (let y = 0; y < Y; y++) if (y !== expected) rival = Math.max(rival, logits[at + y]);
  return logits[at + expected] - rival;
}

/** Whether the output is right, and the logits are numbers. */
export function isRight(logits, expected, at = 0, Y = logits.length) {
  if (expected === null) return true;
  for (let y = at; y < at + Y; y++) if (!Number.isFinite(logits[y])) return false;
  return answer(logits, at, Y) === expected;
}
