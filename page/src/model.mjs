// What a page is given, decoded: the run's own files, beside facts in JSON.

import { Network } from "./network.mjs";
import { Task } from "./task.mjs";

/** Everything that the views show of a finished run. */
export function decode(page) {
  if (page.format !== "carrynet-page" || page.version !== 2) throw new Error("not a page of carrynet's");
  const task = new Task(page.task);
  const network = (tensors) => new Network(task, page.formulas, tensors);
  const final = network(tensorsOf(bytesOf(page.model)));
  const groups = new Map();
  for (const [name, tensor] of Object.entries(page.snapshots ? tensorsOf(bytesOf(page.snapshots)) : {})) {
    const [problem, key] = name.split(".");
    groups.set(+problem, { ...groups.get(+problem), [key]: tensor });
  }
  // of a network that was not trained here no moment of a training is known
  const trained = page.about.stages.length > 0, again = Boolean(page.about.origin);
  const snapshots = [...(trained ? groups : [])].sort(([a], [b]) => a - b).map(([problem, tensors]) => ({ problem, again, edges: edgesAmong(problem, page.about.stages), network: network(tensors) }));
  return {
    kind: "run", task, network: final, page, trained,
    snapshots: snapshots.length ? snapshots : [{ problem: null, network: final }],
    metrics: page.metrics, evaluation: page.evaluation, proof: page.proof,
    learned: page.learned, plane: page.plane, regions: page.regions,
  };
}

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** The tensors of a safetensors file, in rows, one after another. */
function tensorsOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset), length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensors = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [start, end] = entry.data_offsets.map((offset) => 8 + length + offset);
    const size = entry.dtype === "F64" ? 8 : 4;
    tensors[name] = Float64Array.from({ length: (end - start) / size }, (_, i) =>
      size === 8 ? view.getFloat64(start + 8 * i, true) : view.getFloat32(start + 4 * i, true),
    );
  }
  return tensors;
}

/** Of so many problems and edges that were shown, how many are edges. */
function edgesAmong(shown, stages) {
  let left = shown, edges = 0;
  for (const [, count, over] of stages) {
    const here = Math.min(left, count);
    if (over === "edges") edges += here;
    left -= here;
  }
  return edges;
}
