// What a page is given, decoded: the run's own files, beside facts in JSON.

import { Network } from "./network.mjs";
import { Task } from "./task.mjs";

/** Everything that the views show of a finished run; null where a page has none behind it. */
export function decode(page) {
  if (page.format !== "carrynet-page" || page.version !== 2) throw new Error("not a page of carrynet's");
  if (!page.model) return null;
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

/** What a file of compressed text says. */
export async function inflated(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

/** The tensors of a safetensors file, in rows, one after another. */
const tensorsOf = (bytes) => Object.fromEntries(Object.entries(contents(bytes).tensors).map(([name, { values }]) => [name, values]));

/** What a safetensors file of ours holds: facts in JSON, and tensors with their types and shapes. */
export function contents(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset), length = Number(view.getBigUint64(0, true));
  const { __metadata__: { carrynet: facts }, ...entries } = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries)) {
    const [start, end] = data_offsets.map((offset) => 8 + length + offset);
    const size = dtype === "F64" ? 8 : 4;
    const values = Float64Array.from({ length: (end - start) / size }, (_, i) =>
      size === 8 ? view.getFloat64(start + 8 * i, true) : view.getFloat32(start + 4 * i, true),
    );
    tensors[name] = { dtype, shape, values };
  }
  return { facts, tensors };
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
