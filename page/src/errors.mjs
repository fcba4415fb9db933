// Every problem of some length at once: a tree of prefixes, each followed once.

import { Steps, isRight, marginOf } from "./network.mjs";

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
  const { task } = network, { base, operands, headroom } = task, T = digits + headroom;
  const size = operands === 1 ? base ** (digits / 2) : base ** digits;
  const wrong = new Uint8Array(size * size), steps = Array.from({ length: T }, () => new Steps(network));
  const rest = base ** Math.max(0, operands - 2);
  const symbols = Array.from({ length: base ** Math.min(operands, 2) }, (_, i) => i * rest);
  const states = steps.map(() => new Float64Array(network.start.length)); // after each symbol
  const missed = new Set();
  let margin = Infinity;

  function follow(t, state, errors, x, y, power) {
    if (t === T) {
      wrong[y * size + x] = errors;
      return;
    }
    const from = steps[t].from(t ? states[t - 1] : network.start);
    for (const symbol of t < digits ? symbols : [0]) {
      const logits = network.logits(from.to(symbol, states[t])), expected = task.output[state][symbol];
      const found = marginOf(logits, expected);
      if (!(found >= margin)) margin = found;
      const right = isRight(logits, expected);
      if (!right) missed.add(state * task.symbols.length + symbol);
      const digit = task.digitsOf(symbol), upper = operands === 1 && t >= digits / 2;
      const place = upper ? power / size : power;
      follow(
        t + 1, task.delta[state][symbol], errors + !right,
        upper ? x : x + place * digit[0],
        operands === 1 ? (upper ? y + place * digit[0] : y) : y + place * digit[1],
        power * base,
      );
    }
  }

  follow(0, 0, 0, 0, 0, 1);
  let right = 0;
  for (const count of wrong) right += count === 0;
  return { size, wrong, right, margin, missed: [...missed] };
}

/** The operands that a place of the picture stands for. */
export function operandsAt(task, size, x, y) {
  const first = task.operands === 1 ? x + y * size : x, { base } = task;
  const numbers = task.operands === 1 ? [first] : [x, y, ...Array(task.operands - 2).fill(0)];
  const digit = (number, t) => Math.floor(number / base ** t) % base;
  return task.problem(Array.from({ length: digitsOfMap(task) }, (_, t) =>
    numbers.reduce((symbol, number) => symbol * base + digit(number, t), 0)));
}
