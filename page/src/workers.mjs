// Workers, made from the text that the bundle holds of them.

import source from "./worker.mjs";

/** Begin a worker. Throws where there are none. */
export function begin() {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  URL.revokeObjectURL(url);
  return worker;
}

/** What a worker needs of a network, or of a task: plain values only. */
export function plain(task) {
  const { text, family, base, operands, headroom, readout, symbols, states, outputs, delta, output } = task;
  return { text, family, base, operands, headroom, readout, symbols, states, outputs, delta, output };
}

let worker = null, next = 0;
const waiting = new Map();

/** The error map of a network, from a worker; null if it is no longer wanted. */
export function compute(network, digits, signal) {
  if (signal.aborted) return Promise.resolve(null);
  if (!worker) {
    worker = begin();
    worker.onmessage = ({ data }) => {
      waiting.get(data.id)?.(data.map);
      waiting.delete(data.id);
    };
  }
  const id = next++;
  return new Promise((resolve) => {
    waiting.set(id, resolve);
    signal.addEventListener("abort", () => resolve(null));
    const { task, activation, weights } = network;
    worker.postMessage({ kind: "map", id, task: plain(task), activation, weights, digits });
  });
}
