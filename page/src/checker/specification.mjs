// What is asked: a machine by its tables, which must be complete, and what a network is fed for each symbol.

import { hasKeys, isList, isNumber, isText, sha256, toJson } from "./documents.mjs";
import { require } from "./refused.mjs";

const KEYS = ["name", "symbols", "outputs", "memory", "encoding", "transitions"];
const OPEN = "-";

/**
 * @param {string} text what the task is called, with the beginning of its digest if it is one of one's own
 * @param {Map} table its machine, as a certificate has it
 */
export function specification(text, table) {
  require(table instanceof Map && hasKeys(table, [...KEYS, ...(table.has("numbers") ? ["numbers"] : [])]), "machine");
  const { name, symbols, outputs, memory, encoding, numbers, transitions } = Object.fromEntries(table);
  require(isText(name) && isText(memory) && transitions instanceof Map && transitions.size > 0, "machine");
  require(areNames(symbols) && areNames(outputs) && outputs.length > 1 && !outputs.includes(OPEN), "machine");
  const states = [...transitions.keys()], delta = [], output = [];
  for (const row of transitions.values()) {
    require(hasKeys(row, symbols), "machine");
    const moves = symbols.map((symbol) => row.get(symbol));
    for (const move of moves) {
      require(isList(move, isText) && states.includes(move[0]), "machine");
      require(move.length === 1 || (move.length === 2 && outputs.includes(move[1])), "machine");
    }
    delta.push(moves.map(([there]) => states.indexOf(there)));
    output.push(moves.map(([, out]) => (out === undefined ? null : outputs.indexOf(out))));
  }
  const codec = coded(memory, numbers, symbols.length), vectors = fed(encoding, symbols, codec);
  const whole = (rows) => rows.map((row) => row.map((entry) => (entry === null ? null : BigInt(entry))));
  const machine = sha256(toJson([states, symbols, outputs, whole(delta), whole(output)]));
  const how = isText(encoding) ? [encoding, []] : ["table", vectors];
  const digest = sha256(toJson([name, machine, numbers ? "Digits" : "Letters", codec.how, how]));
  require(text === name || text === `${name}@${digest.slice(0, 12)}`, "machine");
  return {
    name, states, symbols, outputs, delta, output, vectors, machine, digest,
    encoding: sha256(toJson(how)),
    neurons: outputs.length === 2 ? 1 : outputs.length,
  };
}

const areNames = (names) => isList(names, isText) && names.length > 0 && new Set(names).size === names.length;

/** How symbols are digits: the base, how many, and all that is said of them, by name. */
function coded(memory, numbers, count) {
  if (!numbers) return { base: count, operands: 1, how: [["memory", memory]] };
  require(numbers instanceof Map && isText(numbers.get("equation")), "machine");
  const usual = { base: 2n, operands: 1n, headroom: 0n, first: "least", answer: "number", equation: "" };
  const said = { ...usual, ...Object.fromEntries(numbers), memory };
  const [base, operands] = [said.base, said.operands].map(Number);
  require(Object.keys(said).length === Object.keys(usual).length + 1, "machine");
  require(base >= 2 && base <= 16 && operands >= 1 && operands <= 4, "machine");
  require(Array.from({ length: operands }).reduce((size) => size * base, 1) === count, "machine");
  return { base, operands, how: Object.entries(said).sort(([a], [b]) => (a < b ? -1 : 1)) };
}

/** What is fed for each symbol. */
function fed(encoding, symbols, { base, operands }) {
  if (encoding instanceof Map) {
    require(hasKeys(encoding, symbols), "machine");
    const rows = symbols.map((symbol) => encoding.get(symbol));
    require(rows.every((row) => isList(row, isNumber) && row.length > 0 && row.length === rows[0].length), "machine");
    return rows.map((row) => row.map(Number));
  }
  const digits = (symbol) => {
    const found = [];
    for (let rest = symbol; found.length < operands; rest = Math.floor(rest / base)) found.unshift(rest % base);
    return found;
  };
  const one = (place, size) => Array.from({ length: size }, (_, i) => Number(i === place));
  const { length } = (symbols.length - 1).toString(2); // of 1 symbol 1, as of 2
  const bits = (symbol) => [...symbol.toString(2).padStart(length, "0")].map(Number);
  const ways = {
    bits,
    "plus-minus-one": (symbol) => bits(symbol).map((bit) => 2 * bit - 1),
    number: digits,
    digits: (symbol) => digits(symbol).flatMap((digit) => one(digit, base)),
    "one-hot": (symbol) => one(symbol, symbols.length),
  };
  require(isText(encoding) && Object.hasOwn(ways, encoding), "machine");
  return symbols.map((_, symbol) => ways[encoding](symbol));
}
