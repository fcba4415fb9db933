// The second checker: whether a certificate of boxes proves its claim.  docs/proof.md has the theorem.
//
// It shares no code with the first, which is Python's, nor with the page's own arithmetic: it reads
// the texts of model and certificate by itself, equations included, and redoes every step with its
// own intervals.  What the first refuses it is to refuse as well; the tests try that on everything
// that theirs put to the first.

import { read, requireClaim } from "./certificate.mjs";
import { toJson } from "./documents.mjs";
import { Arithmetic, Rounding, exact, sizes } from "./enclosures.mjs";
import { parted } from "./equations.mjs";
import { isMatrix, network } from "./network.mjs";
import { above, below, down, isSingle, up } from "./reals.mjs";
import { Refused, require } from "./refused.mjs";

// Elman's cell has rules of its own for rounding, since they ask for less: it is bounded once for
// all regions, as a part of the slack, and of the margin.
// The numbers are the steepest slopes of the activations.
const ELMAN = {
  "h = sigmoid(x @ Wxh + bh + h @ Whh)": 0.25,
  "h = tanh(x @ Wxh + bh + h @ Whh)": 1,
  "h = relu(x @ Wxh + bh + h @ Whh)": 1,
};
const LINEAR = "logits = h @ Why + by";
const TABLES = ["states", "symbols", "outputs", "delta", "output", "vectors"];

/**
 * Check a certificate, a region at a time: after each, yields which one it was and how many there are.
 * @param {{facts: string, dtype: string, weights: object}} model the JSON that its file begins with,
 *   and weights by name, matrices as rows
 * @param {string} text the certificate, in JSON
 * @param {object} [shown] what people are shown: tables, vectors and equations, which are to be the same
 * @returns {{regions: number, symbols: number, margin: number}} at last
 * @throws {Refused} with the first thing that does not hold
 */
export function* check(model, text, shown) {
  const its = network(model), { about, asked, start } = its, certificate = read(text);
  const told = (tables, { cell, readout }) => JSON.stringify([...TABLES.map((key) => tables[key]), cell, readout]);
  require(!shown || told(shown, shown) === told(asked, about), "shown");
  for (const key in about) require(toJson(certificate[key]) === toJson(about[key]), `about.${key}`);
  require(certificate.weights === its.digest, "about.weights");
  require(toJson(certificate.start.map((x) => x + 0)) === toJson(start.map((x) => x + 0)), "about.start");
  requireRegions(certificate, its);
  requireClaim(certificate);

  const { regions, bits, slack } = certificate, rounding = new Rounding(its.dtype), slope = slopeOfElman(its);
  require(slope || slack >= 0n, "negative");
  const arithmetic = new Arithmetic(slope ? null : rounding), steps = new Steps(its, arithmetic);
  const box = (ends, lower, upper) => exact(Float64Array.from(ends.lower, lower), Float64Array.from(ends.upper, upper));
  const boxes = regions.map((each) => box(each, (n) => below(n, bits), (n) => above(n, bits)));
  // an image, moved by the slack, is within a box where it is within one that is smaller by that
  const inner = regions.map((each) => box(each, (n) => above(n + slack, bits), (n) => below(n - slack, bits)));
  const first = box(regions[0], (n) => above(n, bits), (n) => below(n, bits));
  require(start.every((x, i) => first.lo[i] <= x && x <= first.hi[i]), "outside");

  const needed = regions.map(() => new Set()); // of each region, the outputs that are asked of it
  for (const [region, { state, next }] of regions.entries()) {
    steps.from(boxes[region]);
    for (const [symbol, j] of next.entries()) {
      const where = { region, symbol: asked.symbols[symbol], next: j }, output = asked.output[state][symbol];
      require(regions[j].state === asked.delta[state][symbol], "state", where);
      const image = steps.to(symbol), { lo, hi } = inner[j];
      const unit = image.lo.findIndex((x, i) => !(lo[i] <= x && image.hi[i] <= hi[i]));
      require(unit < 0, "leaves", { ...where, unit });
      if (output !== null) needed[j].add(output); // where it is open, the machine asks nothing
    }
    yield { region, regions: regions.length };
  }

  let margin = Infinity;
  for (const [region, outputs] of needed.entries())
    for (const output of outputs) {
      const found = marginOf(its, arithmetic, boxes[region], output);
      require(found > 0, "output", { region, output: asked.outputs[output] });
      margin = Math.min(margin, found);
    }
  if (slope) requireRoundingOfElman(its, rounding, slope, boxes, below(slack, bits), margin);
  return { regions: regions.length, symbols: asked.symbols.length, margin };
}

/** Why something is refused, as plain values; what cannot even be read is no certificate. */
export function reason(error) {
  return error instanceof Refused ? { key: error.key, values: error.values } : { key: "form", values: {} };
}

/** The steepest slope of its activation, of a network of Elman's cell begun at zero; of others nothing. */
function slopeOfElman({ cell, readout, weights }) {
  return readout.text === LINEAR && !Object.hasOwn(weights, "h_start") ? ELMAN[cell.text] : undefined;
}

/** That regions are boxes of as many units as the state has, and lead to regions. */
function requireRegions({ regions }, { start, asked }) {
  const units = start.length, symbols = asked.symbols.length;
  require(regions.length > 0, "none");
  for (const [region, { state, lower, upper, next }] of regions.entries()) {
    require(lower.length === units && upper.length === units, "units", { region, units });
    require(lower.every((low, i) => low <= upper[i]), "empty", { region });
    require(state >= 0 && state < asked.states.length, "unknown", { region });
    require(next.length === symbols, "successors", { region, symbols });
    require(next.every((j) => j >= 0 && j < regions.length), "nowhere", { region });
  }
  require(regions[0].state === 0, "begin");
}

/** A formula's slots with its weights and constants in. */
function slotsOf(formula, { weights, dtype }, arithmetic) {
  const slots = [], first = formula.inputs.length + formula.state.length;
  for (const [i, name] of formula.parameters.entries())
    slots[first + i] = isMatrix(name) ? weights[name] : exact(Float64Array.from(weights[name]));
  for (const [i, number] of formula.constants.entries())
    slots[formula.constantsAt + i] = arithmetic.constant(number, dtype === "float64" || isSingle(number));
  return slots;
}

/** The cell from all states of a box at once: what needs the input only is done once for a symbol. */
class Steps {
  constructor(its, arithmetic) {
    Object.assign(this, { its, arithmetic, parts: parted(its.cell) });
    this.bySymbol = its.asked.vectors.map((vector) => {
      const slots = slotsOf(its.cell, its, arithmetic);
      slots[0] = exact(Float64Array.from(vector));
      arithmetic.run(this.parts.input, slots);
      return slots;
    });
  }

  from({ lo, hi }) {
    let end = 0;
    this.shared = new Map();
    const slots = slotsOf(this.its.cell, this.its, this.arithmetic);
    this.its.units.forEach((width, i) => {
      const start = end;
      end += width;
      slots[1 + i] = exact(lo.subarray(start, end), hi.subarray(start, end));
      this.shared.set(1 + i, slots[1 + i]);
    });
    this.arithmetic.run(this.parts.state, slots);
    for (const { out } of this.parts.state) this.shared.set(out, slots[out]);
  }

  /** All states after a symbol. */
  to(symbol) {
    const slots = [...this.bySymbol[symbol]];
    for (const [slot, value] of this.shared) slots[slot] = value;
    this.arithmetic.run(this.parts.both, slots);
    const values = this.its.cell.results.map((slot) => this.arithmetic.settled(slots[slot]));
    return { lo: values.flatMap(({ lo }) => [...lo]), hi: values.flatMap(({ hi }) => [...hi]) };
  }
}

/** At least how far logits are on the right side, all over a box. */
function marginOf(its, arithmetic, { lo, hi }, wanted) {
  const { readout, units, asked } = its, slots = slotsOf(readout, its, arithmetic);
  const layers = readout.instructions.slice(0, -2), [product, sum] = readout.instructions.slice(-2);
  slots[0] = exact(lo.subarray(0, units[0]), hi.subarray(0, units[0]));
  arithmetic.run(layers, slots);
  const [v, W] = product.operands.map((slot) => slots[slot]), b = slots[sum.operands[1]];
  const logits = arithmetic.add(arithmetic.matmul(v, W), b), off = arithmetic.errors(logits);
  if (asked.neurons === 1) return down((wanted === 1 ? logits.lo[0] : -logits.hi[0]) - 2 * off[0]);
  // of the difference of two logits the terms are added up one by one, each weight less the other's
  const { lo: least, hi: most } = arithmetic.settled(v);
  const lead = (y) => {
    let sum = down(b.lo[wanted] - b.lo[y]);
    for (const [i, row] of W.entries()) {
      const low = down(row[wanted] - row[y]), high = up(row[wanted] - row[y]);
      sum = down(sum + down(Math.min(low * least[i], low * most[i], high * least[i], high * most[i])));
    }
    return down(down(sum - off[wanted]) - off[y]);
  };
  return asked.outputs.reduce((most, _, y) => (y === wanted ? most : Math.min(most, lead(y))), Infinity);
}

/** That slack and margin cover the rounding of a step, and of two logits; the docstring of check.py says how. */
function requireRoundingOfElman({ weights, asked, dtype }, rounding, slope, boxes, slack, margin) {
  const { Wxh, Whh, bh, Why, by } = weights, H = bh.length, X = Wxh.length, reach = new Float64Array(H);
  for (const box of boxes) for (const [i, size] of sizes(box).entries()) reach[i] = Math.max(reach[i], size);
  const fed = Wxh.map((_, i) => asked.vectors.reduce((most, vector) => Math.max(most, Math.abs(vector[i])), 0));
  /** |by| |W| of a column, added to `sum`. */
  const through = (sum, by, W, j) => W.reduce((total, row, i) => up(total + up(by[i] * Math.abs(row[j]))), sum);
  for (const [j, b] of bh.entries()) {
    const size = through(through(Math.abs(b), reach, Whh, j), fed, Wxh, j);
    const error = up(up(rounding.of(H + X + 4, size) * slope) + up(8 * rounding.eps * Math.max(reach[j], 1)));
    require(slack >= error, "slack", { dtype });
  }
  for (const [y, b] of by.entries())
    require(margin >= 2 * rounding.of(H + 4, through(Math.abs(b), reach, Why, y)), "margin", { dtype });
}
