// Every problem of some length at once: a tree of prefixes, each followed once, and many of them side by side.

import { Tape, fillRows } from "./formula.mjs";
import { isRight, marginOf } from "./network.mjs";

const MOST_NUMBERS = 8192; // of one kind, such as hidden units, that are worked out at once

/** The digits for which all problems fit in a picture of at most 256 by 256. */
export function digitsOfMap(task) {
  const most = task.operands === 1 ? 65536 : 256, pace = task.operands === 1 ? 2 : 1;
  let digits = pace;
  while (task.base ** (digits + pace) <= most) digits += pace;
  return digits;
}

/**
 * How many outputs are wrong for each problem with operands of up to `digits` digits.
 *
 * The first operand runs along x and the second along y; where there are more, they are 0;
 * where there is one, its lower half of digits runs along x and its upper half along y.
 * @returns {{size, wrong: Uint8Array, right, margin, missed}} wrong[y * size + x]; in `missed` are
 *   the transitions of the machine that were ever answered wrongly, state * symbols + symbol
 */
export function errorMap(network, digits) {
  const { task, cell } = network, { base, operands, headroom } = task, T = digits + headroom;
  const size = operands === 1 ? base ** (digits / 2) : base ** digits;
  const wrong = new Uint8Array(size * size), rest = base ** Math.max(0, operands - 2);
  const symbols = Array.from({ length: base ** Math.min(operands, 2) }, (_, i) => i * rest);
  const all = symbols.length, most = MOST_NUMBERS / Math.max(...cell.widths);
  const prefixes = []; // for each length, as many as are followed side by side
  for (let t = 0, count = 1; t <= T; t++) {
    prefixes.push(new Prefixes(network, count));
    if (t < digits && count * all <= most) count *= all;
  }
  const missed = new Set();
  let margin = Infinity;

  function follow(t, power) {
    const now = prefixes[t], next = prefixes[t + 1], { count, tape } = now;
    if (t === T) {
      for (let row = 0; row < count; row++) wrong[now.places[row]] = now.errors[row];
      return;
    }
    tape.run(tape.ofState);
    const some = t < digits ? symbols : [0], together = next.count === count * some.length;
    some.forEach((symbol, k) => {
      const from = together ? k * count : 0, [x, y] = task.digitsOf(symbol);
      const further = power * (operands === 1 ? x : x + size * y), logits = now.read(symbol), Y = logits.length / count;
      for (let row = 0, to = from; row < count; row++, to++) {
        const state = now.states[row], expected = task.output[state][symbol], at = row * Y;
        const right = isRight(logits, expected, at, Y);
        margin = Math.min(margin, marginOf(logits, expected, at, Y));
        if (!right) missed.add(state * task.symbols.length + symbol);
        next.states[to] = task.delta[state][symbol];
        next.errors[to] = now.errors[row] + !right;
        next.places[to] = now.places[row] + further;
      }
      tape.results.forEach((part, i) => next.tape.state[i].set(part, (from * part.length) / count));
      if (!together) follow(t + 1, power * base);
    });
    if (together) follow(t + 1, power * base);
  }

  follow(0, 1);
  let right = 0;
  for (const count of wrong) right += count === 0;
  return { size, wrong, right, margin, missed: [...missed] };
}

/** Beginnings of words, each a row: the network after it, and of each the machine's state, how many outputs were wrong, and its place in the picture. */
class Prefixes {
  constructor(network, count) {
    Object.assign(this, { network, count, tape: new Tape(network.cell, network.weights, count) });
    this.reading = new Tape(network.reading.formula, network.weights, count);
    Object.assign(this, { states: new Int32Array(count), errors: new Uint8Array(count), places: new Int32Array(count) });
    for (const [i, part] of network.parts(network.start).entries()) this.tape.state[i].set(part.values); // of the first, the empty word
  }

  /** Let each go on with a symbol: the logits, row after row. */
  read(symbol) {
    const { network, tape, reading } = this, shares = network.drives[symbol];
    network.cell.drives.forEach((slot, i) => fillRows(tape.slots[slot], shares[i]));
    tape.run(tape.ofBoth);
    reading.slots[0].set(tape.results[0]);
    reading.run(reading.all);
    return reading.results[0];
  }
}

/** The operands that a place of the picture stands for. */
export function operandsAt(task, size, x, y) {
  const first = task.operands === 1 ? x + y * size : x, { base } = task;
  const numbers = task.operands === 1 ? [first] : [x, y, ...Array(task.operands - 2).fill(0)];
  const digit = (number, t) => Math.floor(number / base ** t) % base;
  return task.problem(Array.from({ length: digitsOfMap(task) }, (_, t) =>
    numbers.reduce((symbol, number) => symbol * base + digit(number, t), 0)));
}
