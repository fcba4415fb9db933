// The page of a sweep: what became of its networks, and what that depends on.
//
//     mount(element, model, { language, theme })
//
// `model` is what sweep_page.py writes.

import { Cube, percent } from "./cube.mjs";
import { h } from "./dom.mjs";
import { frame } from "./frame.mjs";
import { groups } from "./groups.mjs";
import { phase } from "./phase.mjs";
import { lengths, margins } from "./spread.mjs";
import style from "./style.css";
import STRINGS from "./sweep-strings.json";
import { suite } from "./suite.mjs";
import more from "./sweep.css";

const SECTIONS = { summary, suite, phase, margins, lengths, groups, failed, plan };

/**
 * Show a sweep in an element.
 * @param {Element} element
 * @param {object} model what `carrynet.report.sweep_page.model` returns
 * @param {{language?: "en" | "zh", theme?: "light" | "dark"}} [options] else as the browser has it
 */
export function mount(element, model, options = {}) {
  const cube = new Cube(model), page = { name: model.name, style: style + more, strings: STRINGS, skip: "choose-outcome" };
  frame(element, page, options, (say, signal) => [
    h("p", { class: "tagline" }, say("tagline")),
    Object.entries(SECTIONS).map(([name, make]) => {
      const content = make(cube, say, signal);
      if (!content.length) return null;
      const titled = name === "summary" ? { "aria-label": say("summary") } : { "aria-labelledby": `title-${name}` };
      return h("section", { id: name, class: name, ...titled }, name === "summary" ? null : h("h2", { id: `title-${name}` }, say(name)), content);
    }),
  ]);
  return cube;
}

function summary(cube, say) {
  const { model, outcomes } = cube, start = cube.keys.length, networks = model.networks;
  const counts = outcomes.map((_, i) => model.groups.reduce((sum, group) => sum + group[start + 1 + i], 0));
  const rates = outcomes.map((outcome, i) => ({ outcome, ...cube.rate({ networks, counts, examples: [] }, outcome), n: counts[i] }));
  const heads = rates.filter(({ outcome }) => ["right", "proved"].includes(outcome)).map(({ outcome, n }) => say(`head.${outcome}`, { n }));
  const told = heads.length ? say("colon") + heads.join(say("and")) : "";
  const facts = rates.filter(({ outcome, n }) => outcome !== "diverged" || n).map(({ outcome, count, rate, low, high }) =>
    h("li", {}, h("b", {}, percent(rate)), h("span", {}, say(`outcome.${outcome}`), h("br"), `${say("count", { count, networks })} (${percent(low)}–${percent(high)})`)));
  return [
    h("h1", {}, say("head", { networks }), told, say("stop")),
    networks < model.cells ? h("p", { class: "notice", role: "status" }, say("summary.partial", { networks, cells: model.cells, done: model.blocks_done, blocks: model.blocks })) : null,
    h("ul", { class: "facts" }, facts),
    h("p", { class: "hint" }, say(model.digits ? "summary.text" : "summary.untested", { digits: model.digits })),
  ];
}

function failed(cube, say) {
  const { failures, failed } = cube.model;
  if (!failed) return [];
  return [
    h("p", { class: "prose" }, say("failed.text", { n: failed })),
    h("ul", { class: "tried" }, failures.map(({ block, cells, reason }) => h("li", {}, say("failed.block", { block, first: cells[0], last: cells[1] }), say("colon"), h("span", { lang: "en" }, reason)))),
    failed > failures.length ? h("p", { class: "hint" }, say("failed.more", { n: failed - failures.length })) : null,
  ];
}

function plan(cube, say) {
  const { cells, carrynet, plan } = cube.model;
  return [h("p", { class: "prose" }, say("plan.text", { cells })), h("pre", {}, plan), h("p", { class: "hint" }, say("plan.version", { version: carrynet }))];
}

const given = globalThis.document?.getElementById("carrynet-model");
if (given) globalThis.carrynet = { mount, cube: mount(document.getElementById("carrynet"), JSON.parse(given.textContent), { alone: true }) };
