// What equations can come to in the arithmetic of a type: intervals, rounded outward.
//
// A value is a vector: `lo` and `hi` hold what it is in exact arithmetic, `size` the sums of the
// sizes of what was added up, and `n` how many roundings are on any way through it.  What is
// computed differs from that by at most g(n) size + 2 n eta, with g(n) = n eps / (1 - n eps), in
// whatever order it is added (docs/proof.md says by whom).  It is widened by that as soon as
// something else than a sum reads it.
//
// A matrix is an array of rows, and exact.

import { down, power, sigmoid, tanh, up } from "./reals.mjs";
import { require } from "./refused.mjs";

const TYPES = { float32: { eps: -24, eta: -126, largest: 127 }, float64: { eps: -53, eta: -1022, largest: 1023 } };

/** How far a type's numbers are from real ones. */
export class Rounding {
  constructor(dtype) {
    const { eps, eta, largest } = TYPES[dtype];
    Object.assign(this, { dtype, eps: power(eps), eta: power(eta), largest: power(largest) });
  }

  /** The most that a sum is off by, of terms with sizes of such a sum, rounded so often. */
  of(n, size) {
    require(2 * size < this.largest, "overflow", this);
    // of one whole eps, as of 24 sums doubled, g(n) is no bound
    require(n * this.eps < 2 ** -10, "terms", this);
    const share = up(up(n * this.eps) / down(1 - up(n * this.eps)));
    return up(up(share * size) + up(2 * n * this.eta));
  }
}

export const exact = (lo, hi = lo) => ({ lo, hi, size: null, n: 0 });

/** The arithmetic of a type or, where `rounding` is null, of real numbers. */
export class Arithmetic {
  constructor(rounding) {
    this.rounding = rounding;
    this.activated = rounding ? 8 * rounding.eps : 0;
  }

  run(instructions, slots) {
    for (const { operation, operands, out } of instructions)
      slots[out] = this[operation](...operands.map((slot) => slots[slot]));
  }

  /** What sums can be off by. */
  errors({ size, n }) {
    return size.map((each) => (this.rounding ? this.rounding.of(n, each) : 0));
  }

  /** What is computed, in whatever order sums are made: intervals with nothing to add to them. */
  settled(value) {
    if (!value.n || !this.rounding) return value;
    const by = this.errors(value);
    return exact(value.lo.map((x, i) => down(x - by[i])), value.hi.map((x, i) => up(x + by[i])));
  }

  matmul(vector, W) {
    const v = this.settled(vector), most = sizes(v), columns = W[0].length;
    const lo = new Float64Array(columns), hi = new Float64Array(columns), size = new Float64Array(columns);
    W.forEach((row, i) => {
      for (let j = 0; j < columns; j++) {
        const w = row[j];
        if (w === 0) continue;
        lo[j] = down(lo[j] + down(w * (w > 0 ? v.lo[i] : v.hi[i])));
        hi[j] = up(hi[j] + up(w * (w > 0 ? v.hi[i] : v.lo[i])));
        size[j] = up(size[j] + up(Math.abs(w) * most[i]));
      }
    });
    return { lo, hi, size, n: W.length };
  }

  add(a, b) {
    return this.sum(...matched(a, b));
  }

  subtract(a, b) {
    const [p, q] = matched(a, b);
    return this.sum(p, { ...q, lo: q.hi.map((x) => -x), hi: q.lo.map((x) => -x) });
  }

  sum(a, b) {
    const p = sizes(a), q = sizes(b);
    const lo = a.lo.map((x, i) => down(x + b.lo[i])), hi = a.hi.map((x, i) => up(x + b.hi[i]));
    return { lo, hi, size: p.map((x, i) => up(x + q[i])), n: a.n + b.n + 1 };
  }

  multiply(a, b) {
    const [p, q] = matched(a, b).map((value) => this.settled(value)), width = p.lo.length;
    const product = exact(new Float64Array(width), new Float64Array(width));
    for (let i = 0; i < width; i++)
      [product.lo[i], product.hi[i]] = times([p.lo[i], p.hi[i]], [q.lo[i], q.hi[i]]);
    return { ...product, size: sizes(product), n: 1 };
  }

  /** (1 - z) a + z b, or a + z (b - a): its extremes are where z is at an end. */
  mix(...values) {
    const [z, a, b] = matched(...values).map((value) => this.settled(value)), [mz, ma, mb] = [z, a, b].map(sizes);
    const [lo, hi, size] = [z, a, b].map(({ lo }) => new Float64Array(lo.length));
    for (let i = 0; i < lo.length; i++) {
      const at = (end) => {
        const [p, q] = times([down(1 - end), up(1 - end)], [a.lo[i], a.hi[i]]);
        const [r, s] = times([end, end], [b.lo[i], b.hi[i]]);
        return [down(p + r), up(q + s)];
      };
      const one = at(z.lo[i]), other = at(z.hi[i]);
      lo[i] = Math.min(one[0], other[0]);
      hi[i] = Math.max(one[1], other[1]);
      size[i] = up(ma[i] + up(up(1 + mz[i]) * up(ma[i] + mb[i])));
    }
    return { lo, hi, size, n: 4 };
  }

  sigmoid(value) {
    return this.activate(value, sigmoid);
  }

  tanh(value) {
    return this.activate(value, tanh);
  }

  activate(value, f) {
    const z = this.settled(value), by = this.activated, lo = z.lo.map((x) => f(x)[0]), hi = z.hi.map((x) => f(x)[1]);
    return by ? exact(lo.map((x) => down(x - by)), hi.map((x) => up(x + by))) : exact(lo, hi);
  }

  relu(value) {
    const z = this.settled(value);
    return exact(z.lo.map((x) => Math.max(x, 0)), z.hi.map((x) => Math.max(x, 0)));
  }

  /** A number that stands in an equation; one that the type has not is rounded to one. */
  constant(number, held) {
    const by = this.rounding && !held ? up(up(Math.abs(number) * this.rounding.eps) + this.rounding.eta) : 0;
    return { lo: by ? down(number - by) : number, hi: by ? up(number + by) : number, everywhere: true };
  }
}

/** The largest size in each interval. */
export const sizes = ({ lo, hi, size, n }) => (n ? size : lo.map((x, i) => Math.max(Math.abs(x), Math.abs(hi[i]))));

/** The least and the greatest product. */
function times([a, b], [c, d]) {
  const products = [a * c, a * d, b * c, b * d];
  return [down(Math.min(...products)), up(Math.max(...products))];
}

/** The same values, numbers as vectors that are as wide as the others. */
function matched(...values) {
  const { length } = values.find((value) => !value.everywhere).lo;
  const filled = (number) => new Float64Array(length).fill(number);
  return values.map((value) => (value.everywhere ? exact(filled(value.lo), filled(value.hi)) : value));
}
