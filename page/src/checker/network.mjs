// A network as its equations and plain numbers, from the texts that a model's file has.

import { fromJson, isText, sha256 } from "./documents.mjs";
import { parse, widths } from "./equations.mjs";
import { isSingle } from "./reals.mjs";
import { require } from "./refused.mjs";
import { specification } from "./specification.mjs";

export const isMatrix = (name) => /^[A-Z]/.test(name);

/**
 * A network whose parts fit together.
 * @param {string} facts the JSON that a model's file begins with
 * @param {string} dtype in which it is evaluated
 * @param {object} weights by name, matrices as rows
 */
export function network({ facts, dtype, weights }) {
  const said = fromJson(facts);
  require(said instanceof Map && ["task", "cell", "readout"].every((key) => isText(said.get(key))), "form");
  const about = Object.fromEntries(["task", "machine", "cell", "readout"].map((key) => [key, said.get(key)]));
  const asked = specification(about.task, about.machine);
  const cell = parse(about.cell, ["x"], null), readout = parse(about.readout, ["h"], "logits");
  const names = namesOf(cell, readout, weights), { ofCell, ofReadout } = sizesOf(cell, readout, weights, asked);
  const units = cell.stateDims.map((dim) => ofCell.get(dim));
  const start = cell.state.flatMap((part, i) => {
    const values = weights[`${part}_start`] ?? new Array(units[i]).fill(0);
    require(values.length === units[i], "begins");
    return [...values];
  });
  requireLinear(readout);
  requireNumbers([...asked.vectors, ...names.flatMap((name) => rowsOf(name, weights))], dtype);
  // what neither the task nor the number of units decides is a part of what the weights are
  const free = [ofCell, ofReadout].flatMap((sizes) =>
    [...sizes.keys()].filter((dim) => !["X", "H", "Y"].includes(dim)).sort().map((dim) => sizes.get(dim)),
  );
  const identity = `${asked.name}@${asked.digest} ${about.cell} ${about.readout} ${names.join(" ")}`;
  const head = `${identity} ${dtype} ${[units[0], ...free].join(" ")}`;
  const digest = sha256(packed(head, names.flatMap((name) => rowsOf(name, weights)), dtype));
  return { about, asked, cell, readout, units, start, weights, dtype, digest };
}

const rowsOf = (name, weights) => (isMatrix(name) ? weights[name] : [weights[name]]);

/** The names of all weights, in the order of the equations; parts of the start, where learned, are the last. */
function namesOf(cell, readout, weights) {
  const names = [...cell.parameters, ...readout.parameters], starts = cell.state.map((part) => `${part}_start`);
  require(new Set(names).size === names.length, "shared");
  const given = Object.keys(weights), wanted = given.length > names.length ? [...names, ...starts] : names;
  require(given.length === wanted.length && wanted.every((name) => Object.hasOwn(weights, name)), "weights");
  return wanted;
}

/** How wide everything is. */
function sizesOf(cell, readout, weights, { vectors, neurons }) {
  const shapes = {};
  for (const name of [...cell.parameters, ...readout.parameters]) {
    const rows = rowsOf(name, weights);
    require(new Set(rows.map((row) => row.length)).size === 1, "shapes");
    shapes[name] = isMatrix(name) ? [rows.length, rows[0].length] : [rows[0].length];
  }
  const ofCell = widths(cell, shapes), ofReadout = widths(readout, shapes), X = vectors[0].length;
  require((ofReadout.get("H") ?? ofCell.get("H")) === ofCell.get("H"), "shapes");
  require((ofCell.get("X") ?? X) === X && ofReadout.get("Y") === neurons, "fit");
  return { ofCell, ofReadout };
}

/** That a readout ends in v W + b, both of them weights. */
function requireLinear({ inputs, parameters, instructions }) {
  const [product, sum] = instructions.slice(-2), first = inputs.length;
  const weighed = (slot) => slot >= first && slot < first + parameters.length;
  require(product?.operation === "matmul" && sum?.operation === "add", "linear");
  require(sum.operands[0] === product.out && weighed(sum.operands[1]), "linear");
}

function requireNumbers(rows, dtype) {
  require(["float32", "float64"].includes(dtype), "type");
  const all = (holds) => rows.every((row) => row.every(holds));
  require(all(Number.isFinite), "finite");
  require(dtype === "float64" || all(isSingle), "single", { dtype });
}

/** A text, and rows of numbers as a type has them, the lowest byte first. */
function packed(head, rows, dtype) {
  const text = new TextEncoder().encode(head), size = dtype === "float32" ? 4 : 8;
  const bytes = new Uint8Array(text.length + size * rows.reduce((sum, row) => sum + row.length, 0));
  const view = new DataView(bytes.buffer);
  bytes.set(text);
  let at = text.length;
  for (const row of rows)
    for (const x of row) {
      if (size === 4) view.setFloat32(at, x, true);
      else view.setFloat64(at, x, true);
      at += size;
    }
  return bytes;
}
