// Real numbers between doubles, and e^x by whole numbers.
//
// ECMAScript's + - * / are those of IEEE 754, rounded to the nearest double: so the true result
// lies between the doubles below and above.  Math.exp, Math.tanh and ** may be off by as much as an
// engine likes; nothing here uses them.

const number = new Float64Array(1), words = new Uint32Array(number.buffer);
number[0] = 1;
const HIGH = words[1] ? 1 : 0, LOW = 1 - HIGH; // which word comes first is the machine's affair

export const LEAST = 5e-324, MOST = Number.MAX_VALUE;

/** The next double above; of no number, and of infinity, itself. */
export function up(x) {
  if (x === 0) return LEAST;
  if (!(x < Infinity)) return x;
  number[0] = x;
  if (x > 0) {
    words[LOW]++;
    if (words[LOW] === 0) words[HIGH]++;
  } else {
    if (words[LOW] === 0) words[HIGH]--;
    words[LOW]--;
  }
  return number[0];
}

/** The next double below. */
export const down = (x) => -up(-x);

/** 2^e, where that is a double. */
export function power(e) {
  if (e < -1022) return power(e + 60) * power(-60); // of such products none is rounded
  words[HIGH] = (e + 1023) << 20;
  words[LOW] = 0;
  return number[0];
}

/** A finite double that is not negative, as m 2^e. */
function parts(x) {
  number[0] = x;
  const exponent = words[HIGH] >>> 20, m = (BigInt(words[HIGH] & 0xfffff) << 32n) | BigInt(words[LOW]);
  return exponent ? { m: m | (1n << 52n), e: exponent - 1075 } : { m, e: -1074 };
}

/** Whether a double is a number of float32: of 24 binary digits, from 2^-149 on. */
export function isSingle(x) {
  if (x === 0) return true;
  const { m, e } = parts(Math.abs(x)), { length } = m.toString(2), dropped = Math.max(length - 24, -149 - e);
  return length + e <= 128 && (dropped <= 0 || (dropped < length && BigInt.asUintN(dropped, m) === 0n));
}

/** The largest double that is at most n 2^-bits, of a whole number n. */
export function below(n, bits) {
  if (n < 0n) return -above(-n, bits);
  const { length } = n.toString(2), over = Math.max(length - 53, 0);
  if (length - bits > 1023) return MOST;
  return Number(n >> BigInt(over)) * power(over - bits);
}

/** The smallest double that is at least n 2^-bits. */
export function above(n, bits) {
  if (n < 0n) return -below(-n, bits);
  const { length } = n.toString(2), over = Math.max(length - 53, 0);
  if (length - bits > 1023) return Infinity;
  const kept = n >> BigInt(over);
  return Number(kept << BigInt(over) === n ? kept : kept + 1n) * power(over - bits);
}

// e^-x -----------------------------------------------------------------------------------
//
// In whole numbers: u = 2^-96, v = 2^-102.  Let X u be x rounded down, L u ln 2 rounded down, by
// less than u and 2u; k = floor(X / L) and R = (k + 1) L - X, so that 0 < R <= L, and
//
//     e^-x = 2^-(k + 1) e^r,    r = (k + 1) ln 2 - x,    |r - R u| < 2 (k + 1) u < 2^12 u
//
// as x <= 700.  y = R v is r / 64, at most 0.011.  Of its series each term is rounded down twice, so
// that it is off by at most 2.1 v; 14 of them and what is left out, which is less than v, make at
// most 31 v.  Then it is squared six times.  What is s <= 2 and off by d v becomes off by at most
// 2 s d + d^2 v + 1 < 4 d + 2: 126, 506, 2026, 8106, 32426, and at last less than 2^17.  The error of
// R makes at most 2 (2^12 u) (1 + 2^-80) < 2^20 v more, either way.  So S v is off by less than 2^21 v.

const U = 96n, V = 102n, OFF = 1n << 21n;
const LN2 = (() => {
  let sum = 0n;
  for (let n = 1n; n < 160n; n++) sum += (1n << (U + 40n - n)) / n; // of 1 / (n 2^n); the rest is < 2^-150
  return sum >> 40n;
})();
const FAR = 700;

/** Doubles below and above e^-x, for x >= 0. */
function decay(x) {
  if (x > FAR) return [0, decay(FAR)[1]];
  const { m, e } = parts(x), shift = BigInt(e) + U, X = shift < 0n ? m >> -shift : m << shift;
  const k = X / LN2, R = (k + 1n) * LN2 - X;
  let term = 1n << V, S = term;
  for (let n = 1n; n <= 14n; n++) S += term = ((term * R) >> V) / n;
  for (let i = 0; i < 6; i++) S = (S * S) >> V;
  const bits = Number(V + k) + 1;
  return [below(S - OFF, bits), above(S + OFF, bits)];
}

/** A double that is at most 1 / (1 + e^-x), and one that is at least that. */
export function sigmoid(x) {
  if (x !== x) return [x, x];
  const [low, high] = decay(Math.abs(x));
  if (x < 0) return [Math.max(0, down(low / up(1 + high))), Math.min(1, up(high / down(1 + low)))];
  return [Math.max(0, down(1 / up(1 + high))), Math.min(1, up(1 / down(1 + low)))];
}

/** The same of tanh(x) = (1 - e^-2x) / (1 + e^-2x). */
export function tanh(x) {
  if (x === 0 || x !== x) return [x, x];
  if (x < 0) return tanh(-x).map((end) => -end).reverse();
  const [low, high] = decay(2 * x);
  return [Math.max(0, down(down(1 - high) / up(1 + high))), Math.min(1, up(up(1 - low) / down(1 + low)))];
}
