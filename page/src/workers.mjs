// Workers, made from the text that the bundle holds of them; what takes long is done there.

import { check, reason } from "./checker/check.mjs";
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
    return mapHere(network, digits);
  }
  const id = next++, { task, formulas, weights } = network;
  worker.postMessage({ kind: "map", id, task: plain(task), formulas, weights, digits });
  return new Promise((resolve) => waiting.set(id, { resolve, here: () => mapHere(network, digits) }));
}

function listening(made) {
  made.onmessage = ({ data }) => {
    waiting.get(data.id).resolve(data.found);
    waiting.delete(data.id);
  };
  made.onerror = (event) => {
    event.preventDefault(); // what it was to do is done here
    made.terminate();
    worker = null;
    for (const { resolve, here } of waiting.values()) resolve(here());
    waiting.clear();
  };
  return made;
}

async function mapHere(network, digits) {
  await new Promise((resolve) => setTimeout(resolve));
  return errorMap(network, digits);
}

/**
 * Check a certificate, beside the page or, where there are no workers, a region at a time.
 * @param {(at: object) => void} tell what is told after each region
 * @returns {Promise<{found?: object, refused?: object}>}
 */
export function askCheck(model, certificate, shown, tell) {
  let worker;
  try {
    worker = begin();
  } catch {
    return checkHere(check(model, certificate, shown), tell);
  }
  return new Promise((resolve) => {
    const end = (outcome) => {
      worker.terminate();
      resolve(outcome);
    };
    worker.onmessage = ({ data }) => (data.at ? tell(data.at) : end(data));
    worker.onerror = () => end({ refused: reason() });
    worker.postMessage({ kind: "check", model, certificate, shown });
  });
}

async function checkHere(steps, tell) {
  try {
    for (;;) {
      const { done, value } = steps.next();
      if (done) return { found: value };
      tell(value);
      await new Promise((resolve) => setTimeout(resolve));
    }
  } catch (error) {
    return { refused: reason(error) };
  }
}
