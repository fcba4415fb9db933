// Formulas, carried out in numbers and in reverse: the page's reading of what equations.py has parsed.
//
// Slots hold the inputs, the state before the step, the parameters, the constants, and what each
// instruction yields.  All but parameters and constants are there for some words at once, a row
// for each: (B, n) in one array, rows one after another.  A parameter, a matrix in rows or a
// vector, and a constant are there once, for all rows.  No cell is named here, nor anywhere else
// in the page.

/**
 * Operations: what each does to all rows, and beside it its vector-Jacobian product, which adds
 * to the gradients of the operands what `g`, the gradient of `out`, pulls back to them.
 *
 * An operand k is an array `v[k]`, and `s[k]` numbers further begins that of the next row: as many
 * as it is wide, or 0 where it is there once.  `d[k]` is its gradient, null where nobody asks.
 * Each is loops of its own, over arrays of one kind: one loop for all that is handed what to do with
 * a number calls it for each, since engines put a function into a loop only where it is always the same.
 */
const OPERATIONS = {
  matmul: {
    forward({ out, n, v: [v, W], s: [m] }) {
      out.fill(0);
      for (let o = 0, at = 0; o < out.length; o += n, at += m)
        for (let i = 0; i < m; i++) {
          const value = v[at + i], row = i * n;
          if (value) for (let j = 0; j < n; j++) out[o + j] += value * W[row + j];
        }
    },
    backward(g, { n, v: [v, W], s: [m] }, [dv, dW]) {
      for (let o = 0, at = 0; o < g.length; o += n, at += m)
        for (let i = 0; i < m; i++) {
          const value = v[at + i], row = i * n;
          if (dv) {
            let sum = 0;
            for (let j = 0; j < n; j++) sum += g[o + j] * W[row + j];
            dv[at + i] += sum;
          }
          if (value) for (let j = 0; j < n; j++) dW[row + j] += value * g[o + j];
        }
    },
  },
  add: {
    forward({ out, n, v: [a, b], s: [sa, sb] }) {
      for (let o = 0, i = 0, k = 0; o < out.length; o += n, i += sa, k += sb)
        for (let j = 0; j < n; j++) out[o + j] = a[i + j] + b[k + j];
    },
    backward(g, { n, s: [sa, sb] }, [da, db]) {
      if (da) addTo(da, sa, g, n);
      if (db) addTo(db, sb, g, n);
    },
  },
  subtract: {
    forward({ out, n, v: [a, b], s: [sa, sb] }) {
      for (let o = 0, i = 0, k = 0; o < out.length; o += n, i += sa, k += sb)
        for (let j = 0; j < n; j++) out[o + j] = a[i + j] - b[k + j];
    },
    backward(g, { n, s: [sa, sb] }, [da, db]) {
      if (da) addTo(da, sa, g, n);
      if (db) addTo(db, sb, g, n, -1);
    },
  },
  multiply: {
    forward({ out, n, v: [a, b], s: [sa, sb] }) {
      for (let o = 0, i = 0, k = 0; o < out.length; o += n, i += sa, k += sb)
        for (let j = 0; j < n; j++) out[o + j] = a[i + j] * b[k + j];
    },
    backward(g, { n, v: [a, b], s: [sa, sb] }, [da, db]) {
      if (da) addProductTo(da, sa, g, n, b, sb);
      if (db) addProductTo(db, sb, g, n, a, sa);
    },
  },
  // (1 - z) a + z b
  mix: {
    forward({ out, n, v: [z, a, b], s: [sz, sa, sb] }) {
      for (let o = 0, h = 0, i = 0, k = 0; o < out.length; o += n, h += sz, i += sa, k += sb)
        for (let j = 0; j < n; j++) out[o + j] = (1 - z[h + j]) * a[i + j] + z[h + j] * b[k + j];
    },
    backward(g, { n, v: [z, a, b], s: [sz, sa, sb] }, [dz, da, db]) {
      if (dz) {
        addProductTo(dz, sz, g, n, b, sb);
        addProductTo(dz, sz, g, n, a, sa, -1);
      }
      if (da) {
        addTo(da, sa, g, n);
        addProductTo(da, sa, g, n, z, sz, -1);
      }
      if (db) addProductTo(db, sb, g, n, z, sz);
    },
  },
  sigmoid: {
    forward({ out, n, v: [a], s: [sa] }) {
      for (let o = 0, i = 0; o < out.length; o += n, i += sa)
        for (let j = 0; j < n; j++) out[o + j] = 1 / (1 + Math.exp(-a[i + j]));
    },
    backward(g, { out, n, s: [sa] }, [da]) {
      if (da)
        for (let o = 0, i = 0; o < g.length; o += n, i += sa)
          for (let j = 0; j < n; j++) da[i + j] += g[o + j] * out[o + j] * (1 - out[o + j]);
    },
  },
  tanh: {
    forward({ out, n, v: [a], s: [sa] }) {
      for (let o = 0, i = 0; o < out.length; o += n, i += sa)
        for (let j = 0; j < n; j++) out[o + j] = Math.tanh(a[i + j]);
    },
    backward(g, { out, n, s: [sa] }, [da]) {
      if (da)
        for (let o = 0, i = 0; o < g.length; o += n, i += sa)
          for (let j = 0; j < n; j++) da[i + j] += g[o + j] * (1 - out[o + j] * out[o + j]);
    },
  },
  relu: {
    forward({ out, n, v: [a], s: [sa] }) {
      for (let o = 0, i = 0; o < out.length; o += n, i += sa)
        for (let j = 0; j < n; j++) out[o + j] = Math.max(a[i + j], 0);
    },
    backward(g, { out, n, s: [sa] }, [da]) {
      if (da)
        for (let o = 0, i = 0; o < g.length; o += n, i += sa)
          for (let j = 0; j < n; j++) if (out[o + j] > 0) da[i + j] += g[o + j];
    },
  },
};

/** d += sign g, where rows of d begin s numbers apart. */
function addTo(d, s, g, n, sign = 1) {
  for (let o = 0, i = 0; o < g.length; o += n, i += s)
    for (let j = 0; j < n; j++) d[i + j] += sign * g[o + j];
}

/** d += sign g v, where rows of d and of v begin s and sv numbers apart. */
function addProductTo(d, s, g, n, v, sv, sign = 1) {
  for (let o = 0, i = 0, k = 0; o < g.length; o += n, i += s, k += sv)
    for (let j = 0; j < n; j++) d[i + j] += sign * g[o + j] * v[k + j];
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

/** A buffer for each slot of a formula, for so many rows, and its instructions ready to fill them. */
export class Tape {
  constructor(formula, weights, rows = 1) {
    const { inputs, state, parameters, sizes } = formula, slots = (this.slots = new Array(formula.size)), widths = new Array(formula.size);
    this.formula = formula;
    const put = (slot, width, count) => (slots[slot] = new Float64Array((widths[slot] = width) * count));
    inputs.forEach((name, i) => put(i, sizes[name.toUpperCase()], rows));
    formula.widths.forEach((width, i) => put(inputs.length + i, width, rows));
    for (const name of parameters) {
      const slot = formula.slotOf(name);
      slots[slot] = weights[name];
      widths[slot] = formula.shape(name).at(-1);
    }
    for (const { operation, operands, out } of formula.instructions) {
      const known = operands.map((slot) => widths[slot]); // those of constants not yet
      put(out, operation === "matmul" ? known[1] : known.find((width) => width !== undefined), rows);
    }
    for (const { slot, number, out } of formula.fills) put(slot, widths[out], 1).fill(number);
    const bind = ({ operation, operands, out }) => ({
      ...OPERATIONS[operation], out: slots[out], n: widths[out],
      v: operands.map((slot) => slots[slot]), s: operands.map((slot) => (formula.fixed(slot) ? 0 : widths[slot])),
    });
    for (const part of ["ofInput", "ofState", "ofBoth"]) this[part] = formula[part].map(bind);
    this.all = [...this.ofInput, ...this.ofState, ...this.ofBoth];
    this.state = slots.slice(inputs.length, inputs.length + state.length);
    this.results = formula.results.map((slot) => slots[slot]);
  }

  run(instructions) {
    for (const each of instructions) each.forward(each);
  }
}

/** Put the same numbers into every row. */
export function fillRows(rows, numbers) {
  for (let at = 0; at < rows.length; at += numbers.length)
    for (let i = 0; i < numbers.length; i++) rows[at + i] = numbers[i];
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
    this.backwards = [...ofInput, ...ofState, ...ofBoth].map(({ operands, out }) => ({ g: all[out], d: operands.map((slot) => all[slot]) }));
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
      const each = tape.all[i], { g, d } = this.backwards[i];
      each.backward(g, each, d);
    }
  }
}

/** Formulas for a task and so many hidden units: what is neither an input nor an output is as wide. */
export function sized({ cell, readout, ...rest }, task, hidden) {
  const sizeOf = (dim) => ({ X: task.inputs, Y: task.neurons })[dim] ?? hidden;
  const resize = (facts) => ({ ...facts, sizes: Object.fromEntries([..."XHY", ...facts.state_dims, ...Object.values(facts.dims).flat()].map((dim) => [dim, sizeOf(dim)])) });
  return { ...rest, cell: resize(cell), readout: resize(readout) };
}
