// Equations as a certificate has them, read anew: the page's other formulas come parsed from Python.
//
//     z = sigmoid(x @ Wxz + h @ Whz + bz)
//
// Whatever is not written in the one way that certificates have is refused.

import { require } from "./refused.mjs";

const FUNCTIONS = { sigmoid: 1, tanh: 1, relu: 1, mix: 3 };
const NAMES = { "+": "add", "-": "subtract", "*": "multiply" };
const TOKEN = /\s*(?:([A-Za-z_]\w*)|(\d+(?:\.\d*)?(?:e[+-]?\d+)?)|([-+*@(),]))/y;

/**
 * Instructions over slots, in this order: inputs, state, parameters (matrices first), and what each
 * instruction yields; constants come last.
 * @param {string} result what a readout sets; a cell sets its state
 */
export function parse(text, inputs, result) {
  const lines = text.split("\n"), same = new Map(), parameters = new Map(), done = [], within = new Set();
  const state = result ? [] : ["h"];
  if (!result && lines[0].startsWith("state = ")) state.splice(0, 1, ...lines.shift().slice(8).split(", "));
  const values = new Map([...inputs, ...state].map((name) => [name, name]));
  const sides = lines.map((line) => /^([a-z]\w*) = (.+)$/.exec(line));
  require(state.every((name) => /^[a-z]\w*$/.test(name)) && sides.every(Boolean), "equations");
  require(new Set(state).size === state.length, "equations");

  // How wide values are: which widths are the same, by names that the digest of weights knows.
  const width = (key) => {
    if (typeof key === "number") return `value ${key}`;
    if (parameters.has(key)) return parameters.get(key)[0];
    if (inputs.includes(key)) return key.toUpperCase();
    return key === state[0] ? "H" : `of ${key}`;
  };
  const root = (name) => (same.has(name) ? root(same.get(name)) : name);
  const given = (name) => ["X", "H", "Y"].includes(name);
  const join = (one, other) => {
    let [a, b] = [root(one), root(other)];
    if (a === b) return;
    require(!(given(a) && given(b)), "equations");
    if (given(a)) [a, b] = [b, a];
    same.set(a, b);
  };

  // a parameter's name is a key, too: only a vector's, since matrices stand right of an @ alone
  const isNumber = (key) => typeof key === "object", isWeight = (key) => parameters.has(key);
  const put = (operation, ...operands) => {
    require(!operands.every((key) => isNumber(key) || isWeight(key)), "equations");
    return done.push({ operation, operands }) - 1;
  };
  const apply = (operation, ...operands) => {
    require(operation !== "mix" || within.has(operands[0]), "equations");
    const key = put(operation, ...operands);
    for (const operand of operands) if (!isNumber(operand)) join(width(key), width(operand));
    if (operation === "sigmoid") within.add(key);
    return key;
  };
  const product = (value, name) => {
    require(/^[A-Z]/.test(name ?? ""), "equations");
    if (!parameters.has(name)) parameters.set(name, [`rows of ${name}`, `columns of ${name}`]);
    const key = put("matmul", value, name), [rows, columns] = parameters.get(name);
    join(width(value), rows);
    join(width(key), columns);
    return key;
  };
  const named = (name) => {
    if (values.has(name)) return values.get(name);
    require(/^[bw]/.test(name) && !(name in FUNCTIONS), "equations");
    if (!parameters.has(name)) parameters.set(name, [`of ${name}`]);
    return name;
  };

  for (const [, name, expression] of sides) {
    require(!parameters.has(name) && !inputs.includes(name) && name !== "state" && !(name in FUNCTIONS), "equations");
    const key = read(expression, { apply, product, named });
    require(typeof key === "number", "equations");
    values.set(name, key);
  }
  const results = (result ? [result] : state).map((name) => {
    const key = values.get(name);
    require(typeof key === "number", "equations");
    join(width(key), result ? "Y" : width(name));
    return key;
  });

  const ordered = [...parameters.keys()].sort((a, b) => parameters.get(b).length - parameters.get(a).length);
  const first = [...inputs, ...state, ...ordered], constants = [];
  const slot = (key) => {
    if (isNumber(key)) return first.length + done.length + constants.push(key.number) - 1;
    return typeof key === "number" ? first.length + key : first.indexOf(key);
  };
  const label = (name) => {
    const found = root(name);
    return given(found) ? found : [...values].find(([, key]) => root(width(key)) === found)?.[0] ?? found;
  };
  const placed = ({ operation, operands }, i) => ({ operation, operands: operands.map(slot), out: first.length + i });
  const instructions = done.map(placed);
  return {
    text, inputs, state, parameters: ordered, constants, instructions,
    results: results.map(slot),
    dims: new Map(ordered.map((name) => [name, parameters.get(name).map(label)])),
    stateDims: state.map((name) => label(width(name))),
    constantsAt: first.length + done.length,
  };
}

/** One expression; products bind more than sums, a sign more than both. */
function read(text, { apply, product, named }) {
  const tokens = [];
  for (TOKEN.lastIndex = 0; TOKEN.lastIndex < text.length; ) {
    const found = TOKEN.exec(text);
    require(found, "equations");
    tokens.push({ name: found[1], number: found[2], sign: found[3] });
  }
  let at = 0;
  const next = (...signs) => signs.includes(tokens[at]?.sign) && tokens[at++].sign;
  const sum = () => {
    let left = term(), sign;
    while ((sign = next("+", "-"))) left = apply(NAMES[sign], left, term());
    return left;
  };
  const term = () => {
    let left = factor(), sign;
    while ((sign = next("*", "@"))) {
      left = sign === "@" ? product(left, tokens[at++]?.name) : apply("multiply", left, factor());
    }
    return left;
  };
  const factor = () => {
    if (next("-")) {
      if (tokens[at]?.number) return { number: -Number(tokens[at++].number) };
      const minus = { number: -1 };
      return apply("multiply", minus, factor());
    }
    const { name, number } = tokens[at] ?? {};
    if (name || number) at++;
    if (number) return { number: Number(number) };
    if (name && next("(")) {
      require(Object.hasOwn(FUNCTIONS, name), "equations");
      const operands = [sum()];
      while (next(",")) operands.push(sum());
      require(next(")") && operands.length === FUNCTIONS[name], "equations");
      return apply(name, ...operands);
    }
    if (name) return named(name);
    require(next("("), "equations");
    const inner = sum();
    require(next(")"), "equations");
    return inner;
  };
  const key = sum();
  require(at === tokens.length, "equations");
  return key;
}

/** How wide each kind of width is, by shapes of parameters; where two contradict each other, refused. */
export function widths(formula, shapes) {
  const found = new Map();
  for (const name of formula.parameters) {
    const dims = formula.dims.get(name), shape = shapes[name];
    require(shape.length === dims.length, "shapes");
    dims.forEach((dim, i) => {
      if (!found.has(dim)) found.set(dim, shape[i]);
      require(found.get(dim) === shape[i], "shapes");
    });
  }
  require(formula.stateDims.every((dim) => found.has(dim)) && [...found.values()].every((size) => size > 0), "shapes");
  return found;
}

/** The instructions that need the input only, the state only, and both. */
export function parted({ inputs, state, parameters, constantsAt, instructions }) {
  const needs = new Map();
  inputs.forEach((_, i) => needs.set(i, "input"));
  state.forEach((_, i) => needs.set(inputs.length + i, "state"));
  const parts = { input: [], state: [], both: [] };
  for (const each of instructions) {
    const kinds = new Set(each.operands.map((slot) => needs.get(slot)).filter(Boolean));
    const kind = kinds.size > 1 ? "both" : [...kinds][0];
    needs.set(each.out, kind);
    parts[kind].push(each);
  }
  return parts;
}
