// A certificate of boxes, from its text, and what it claims.

import { float, fromJson, hasKeys, isList, isNumber, isText, isWhole, sha256 } from "./documents.mjs";
import { below } from "./reals.mjs";
import { Refused, require } from "./refused.mjs";
import { specification } from "./specification.mjs";

const HEAD = ["format", "version", "claim", "method"];
const ABOUT = ["task", "machine", "cell", "readout", "start", "weights_sha256"];
const REGION = ["name", "state", "lower", "upper", "next"];
/** The kinds of certificates that there are; of these only boxes are checked here. */
const METHODS = ["boxes", "trees", "states"];
const MOST_BITS = 64n;
const MOST_INCLUSIONS = 70_000_000; // regions times symbols times units: what the first checker takes on

/** What a text says; whether that is what it claims is not looked at yet. */
export function read(text) {
  const document = fromJson(text);
  require(document instanceof Map && document.get("format") === "carrynet-certificate", "form");
  require(document.get("version") === 2n && METHODS.includes(document.get("method")), "form");
  if (document.get("method") !== "boxes") throw new Refused("kind", { method: document.get("method") });
  require(hasKeys(document, [...HEAD, ...ABOUT, "bits", "slack", "regions"]), "form");
  const { claim, task, machine, cell, readout, start, weights_sha256: weights, bits, slack, regions } =
    Object.fromEntries(document);
  require([claim, task, cell, readout, weights].every(isText) && isList(start, isNumber), "form");
  require(isWhole(bits) && bits >= 0n && bits <= MOST_BITS && isWhole(slack), "form");
  require(isList(regions, isRegion), "form");
  const inclusions = regions.map((each) => each.get("next").length * each.get("lower").length);
  require(inclusions.reduce((sum, count) => sum + count, 0) <= MOST_INCLUSIONS, "large");
  return {
    claim, task, machine, cell, readout, start: start.map(Number), weights, slack, bits: Number(bits),
    regions: regions.map((each) => ({
      lower: each.get("lower"), upper: each.get("upper"),
      state: Number(each.get("state")), next: each.get("next").map(Number),
    })),
  };
}

function isRegion(each) {
  if (!hasKeys(each, REGION) || !isText(each.get("name")) || !isWhole(each.get("state"))) return false;
  return ["lower", "upper", "next"].every((key) => isList(each.get(key), isWhole));
}

/** That it claims what its numbers say. */
export function requireClaim({ claim, task, machine, cell, readout, weights, slack, bits }) {
  const asked = specification(task, machine), tolerance = float(below(slack, bits));
  const said = [
    `For the task ${asked.name}, of the machine ${asked.machine} and the encoding ${asked.encoding}, the network of`,
    `the cell ${sha256(cell)} and the readout ${sha256(readout)}, with the weights ${weights}, begun at its start,`,
    "answers every word of symbols of every length as the machine does: in exact arithmetic, in that of the weights'",
    `own type, and in any other whose error in each hidden unit at each step is at most ${tolerance} and whose`,
    "readout is exact.  Machine, encoding, equations and weights are named by their SHA-256.",
  ];
  require(claim === said.join(" "), "claim");
}
