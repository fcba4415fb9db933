// Workers, made from the text that the bundle holds of them; what takes long is done there.

import { errorMap } from "./errors.mjs";
import source from "./worker.mjs";

/** Begin a worker. Throws where there are none. */
export function begin() {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  URL.revokeObjectURL(url);
  return worker;
}

/** What a worker needs of a task: plain values only. */
export function plain(task) {
  const { text, family, base, operands, headroom, readout, symbols, states, outputs, delta, output } = task;
  const { numeric, first, answer, vectors } = task;
  return { text, family, base, operands, headroom, readout, symbols, states, outputs, delta, output, numeric, first, answer, vectors };
}

const waiting = new Map();
let worker = null, next = 0;

/** The error map of a network. Maps are made in turn, by a worker of their own. */
export function askMap(network, digits) {
  try {
    worker ??= listening(begin());
  } catch {
    return new Promise((resolve) => setTimeout(() => resolve(errorMap(network, digits))));
  }
  const id = next++, { task, formulas, weights } = network;
  worker.postMessage({ kind: "map", id, task: plain(task), formulas, weights, digits });
  return new Promise((resolve) => waiting.set(id, resolve));
}

function listening(worker) {
  worker.onmessage = ({ data }) => {
    waiting.get(data.id)(data.found);
    waiting.delete(data.id);
  };
  return worker;
}
