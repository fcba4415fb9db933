// Every problem of some length at once: a tree of prefixes, each followed once.

import { isRight, marginOf } from "./network.mjs";

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
 * @returns {{size, wrong: Uint8Array, right, margin}} wrong[y * size + x]
 */
export function errorMap(network, digits) {
  const { task, hidden: H } = network, { base, operands, headroom } = task, T = digits + headroom;
  const size = operands === 1 ? base ** (digits / 2) : base ** digits;
  const wrong = new Uint8Array(size * size), states = Array.from({ length: T + 1 }, () => new Float64Array(H));
  const received = Array.from({ length: T }, () => new Float64Array(H));
  const rest = base ** Math.max(0, operands - 2);
  const symbols = Array.from({ length: base ** Math.min(operands, 2) }, (_, i) => i * rest);
  let margin = Infinity;

  function follow(t, state, errors, x, y, power) {
    if (t === T) {
      wrong[y * size + x] = errors;
      return;
    }
    const z = network.recur(states[t], received[t]), next = states[t + 1];
    for (const symbol of t < digits ? symbols : [0]) {
      const drive = network.drives[symbol];
      for (let j = 0; j < H; j++) next[j] = network.f(z[j] + drive[j]);
      const logits = network.logits(next), expected = task.output[state][symbol];
      const found = marginOf(logits, expected);
      if (!(found >= margin)) margin = found;
      const digit = task.digitsOf(symbol), upper = operands === 1 && t >= digits / 2;
      const place = upper ? power / size : power;
      follow(
        t + 1, task.delta[state][symbol], errors + !isRight(logits, expected),
        upper ? x : x + place * digit[0],
        operands === 1 ? (upper ? y + place * digit[0] : y) : y + place * digit[1],
        power * base,
      );
    }
  }

  follow(0, 0, 0, 0, 0, 1);
  let right = 0;
  for (const count of wrong) right += count === 0;
  return { size, wrong, right, margin };
}

/** The operands that a place of the picture stands for. */
export function operandsAt(task, size, x, y) {
  const first = task.operands === 1 ? x + y * size : x, { base } = task;
  const numbers = task.operands === 1 ? [first] : [x, y, ...Array(task.operands - 2).fill(0)];
  const digit = (number, t) => Math.floor(number / base ** t) % base;
  return task.problem(Array.from({ length: digitsOfMap(task) }, (_, t) =>
    numbers.reduce((symbol, number) => symbol * base + digit(number, t), 0)));
}
