// Formulas, carried out in numbers and in reverse: the page's reading of what formula.py has parsed.
//
// Slots hold vectors, and of weights matrices, in rows, one after another: the inputs, the state
// before the step, the parameters, the constants, and what each instruction yields.  No cell is
// named here, nor anywhere else in the page.

/**
 * Operations: `forward(out, ...operands)`, and beside it `backward(g, out, operands, gradients)`,
 * which adds the gradients of the operands to what is there; null is one that nobody asks for.
 */
const OPERATIONS = {
  matmul: {
    forward(out, v, W) {
      const n = out.length;
      out.fill(0);
      for (let i = 0; i < v.length; i++) {
        const value = v[i];
        if (value) for (let j = 0, at = i * n; j < n; j++) out[j] += value * W[at + j];
      }
    },
    backward(g, out, [v, W], [dv, dW]) {
      const n = g.length;
      for (let i = 0; i < v.length; i++) {
        const value = v[i], at = i * n;
        if (dv) {
          let sum = 0;
          for (let j = 0; j < n; j++) sum += g[j] * W[at + j];
          dv[i] += sum;
        }
        if (value) for (let j = 0; j < n; j++) dW[at + j] += value * g[j];
      }
    },
  },
  // after each function its slopes in the operands, from (value, ...operands)
  add: elementwise((a, b) => a + b, () => 1, () => 1),
  subtract: elementwise((a, b) => a - b, () => 1, () => -1),
  multiply: elementwise((a, b) => a * b, (y, a, b) => b, (y, a) => a),
  mix: elementwise((z, n, h) => (1 - z) * n + z * h, (y, z, n, h) => h - n, (y, z) => 1 - z, (y, z) => z),
  sigmoid: elementwise((z) => 1 / (1 + Math.exp(-z)), (y) => y * (1 - y)),
  tanh: elementwise(Math.tanh, (y) => 1 - y * y),
  relu: elementwise((z) => Math.max(z, 0), (y) => +(y > 0)),
};

function elementwise(f, ...slopes) {
  const forward = [
    (out, a) => { for (let i = 0; i < out.length; i++) out[i] = f(a[i]); },
    (out, a, b) => { for (let i = 0; i < out.length; i++) out[i] = f(a[i], b[i]); },
    (out, a, b, c) => { for (let i = 0; i < out.length; i++) out[i] = f(a[i], b[i], c[i]); },
  ][slopes.length - 1];
  const backward = (g, out, [a, b = a, c = a], gradients) => slopes.forEach((slope, k) => {
    const d = gradients[k];
    if (d) for (let i = 0; i < g.length; i++) d[i] += g[i] * slope(out[i], a[i], b[i], c[i]);
  });
  return { forward, backward };
}

export class Formula {
  /** @param {object} facts what page.py writes of a formula: its instructions, and its sizes */
  constructor(facts) {
    Object.assign(this, facts);
    const { inputs, state, parameters, constants } = facts;
    // the first slots of parameters, of constants and of what instructions yield
    const weights = inputs.length + state.length, numbers = weights + parameters.length, own = numbers + constants.length;
    const end = (this.size = own + facts.instructions.length);
    this.fills = []; // a constant has a slot wherever it stands, as wide as what it meets there
    const instructions = facts.instructions.map(([operation, operands, out]) => ({
      operation, out,
      operands: operands.map((slot) => {
        if (slot < numbers || slot >= own) return slot;
        this.fills.push({ slot: this.size, number: constants[slot - numbers], out });
        return this.size++;
      }),
    }));
    // what needs the input only is done once for a symbol, what needs the state only for a state
    const fixed = (slot) => (slot >= weights && slot < own) || slot >= end;
    const needing = (from, count) => {
      const known = new Set(Array.from({ length: count }, (_, i) => from + i));
      return instructions.filter(({ operands, out }) => operands.every((slot) => fixed(slot) || known.has(slot)) && known.add(out));
    };
    this.ofInput = needing(0, inputs.length);
    this.ofState = needing(inputs.length, state.length);
    const alone = new Set([...this.ofInput, ...this.ofState]);
    this.ofBoth = instructions.filter((each) => !alone.has(each));
    Object.assign(this, { fixed, instructions });
    const read = new Set([...this.ofBoth.flatMap(({ operands }) => operands), ...this.results, ...Object.values(this.gates)]);
    /** The slots by which a step meets its input. */
    this.drives = [...inputs.keys(), ...this.ofInput.map(({ out }) => out)].filter((slot) => read.has(slot));
  }

  /** How many units each part of the state has. */
  get widths() {
    return this.state_dims.map((dim) => this.sizes[dim]);
  }

  /** The shape of a parameter: [rows, columns], or [length]. */
  shape(name) {
    return this.dims[name].map((dim) => this.sizes[dim]);
  }

  slotOf(name) {
    return this.inputs.length + this.state.length + this.parameters.indexOf(name);
  }
}

/** A buffer for each slot of a formula, and its instructions ready to fill them. */
export class Tape {
  constructor(formula, weights) {
    const { inputs, state, parameters, sizes } = formula, slots = (this.slots = new Array(formula.size));
    this.formula = formula;
    inputs.forEach((name, i) => (slots[i] = new Float64Array(sizes[name.toUpperCase()])));
    formula.widths.forEach((width, i) => (slots[inputs.length + i] = new Float64Array(width)));
    for (const name of parameters) slots[formula.slotOf(name)] = weights[name];
    for (const { operation, operands, out } of formula.instructions) {
      const widths = operands.map((slot) => slots[slot]?.length); // those of constants not yet
      slots[out] = new Float64Array(operation === "matmul" ? widths[1] / widths[0] : widths.find((width) => width !== undefined));
    }
    for (const { slot, number, out } of formula.fills) slots[slot] = new Float64Array(slots[out].length).fill(number);
    const bind = (instructions) => instructions.map(({ operation, operands, out }) => ({ ...OPERATIONS[operation], operands: operands.map((slot) => slots[slot]), out: slots[out] }));
    for (const part of ["ofInput", "ofState", "ofBoth"]) this[part] = bind(formula[part]);
    this.all = [...this.ofInput, ...this.ofState, ...this.ofBoth];
    this.state = slots.slice(inputs.length, inputs.length + state.length);
    this.results = formula.results.map((slot) => slots[slot]);
  }

  run(instructions) {
    for (const { forward, out, operands } of instructions) forward(out, operands[0], operands[1], operands[2]);
  }
}

/** The gradients of the slots of tapes of one formula, one tape after another. */
export class Adjoint {
  /** @param gradients of the weights, by name: to them those that are met are added */
  constructor(tape, gradients) {
    const { formula, slots } = tape, { inputs, state, parameters, ofInput, ofState, ofBoth } = formula;
    const known = (slot) => formula.fixed(slot) || (state.length > 0 && slot < inputs.length); // a cell's input is given
    this.own = slots.map((values, slot) => (known(slot) ? null : new Float64Array(values.length)));
    const all = [...this.own];
    for (const name of parameters) all[formula.slotOf(name)] = gradients[name];
    this.backwards = [...ofInput, ...ofState, ...ofBoth].map(({ operands, out }) => ({ out: all[out], operands: operands.map((slot) => all[slot]) }));
    this.inputs = all.slice(0, inputs.length);
    this.state = all.slice(inputs.length, inputs.length + state.length);
    this.results = formula.results.map((slot) => all[slot]);
  }

  /** Forget all gradients but those of weights. */
  clear() {
    for (const each of this.own) each?.fill(0);
  }

  /** Pull gradients back from the results, where they have been put. */
  pull(tape) {
    for (let i = this.backwards.length - 1; i >= 0; i--) {
      const { backward, out, operands } = tape.all[i], gradients = this.backwards[i];
      backward(gradients.out, out, operands, gradients.operands);
    }
  }
}

/** Formulas for so many hidden units: what is neither an input nor an output is as wide. */
export function sized({ cell, readout, ...rest }, hidden) {
  const resize = ({ sizes, ...facts }) => ({ ...facts, sizes: Object.fromEntries(Object.entries(sizes).map(([dim, size]) => [dim, dim === "X" || dim === "Y" ? size : hidden])) });
  return { ...rest, cell: resize(cell), readout: resize(readout) };
}
