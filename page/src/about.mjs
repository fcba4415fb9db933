// How the network came to be, and everything to take along.

import { bytesOf, inflated } from "./model.mjs";
import { download, h } from "./dom.mjs";

/** What was found with other networks, as studies/smallest and studies/compiled tell it. */
const FOUND = { smallest: { examples: 30, proved: 20, networks: 20 }, compiled: { fooled: 12, networks: 15 } };

export function about(scene, say) {
  const { subject, network, task } = scene;
  if (subject.kind === "here") {
    const { settings, updates } = subject, { kind, activation } = network.formulas;
    const values = { ...settings, step: String(settings.step), seed: String(settings.seed), updates, cell: activation || say.or(`train.cell.${kind}`, kind), recipe: say(`train.recipe.${settings.recipe}`) };
    return [h("p", { class: "prose" }, say.all(["about.here", settings.mistake && "about.mistake"], values))];
  }
  const { kind, activation, cell, readout } = network.formulas;
  const { page, trained } = subject, made = page.about, { source = null } = page, mechanism = page.mechanism ? JSON.parse(page.mechanism) : null, rows = [
    ["about.task", task.text],
    ["about.cell", say(kind === "own" ? "about.own" : "about.units", { hidden: network.hidden, kind })],
    ...(activation ? [] : [["about.equations", `${cell.text}\n${readout.text}`]]),
    ...(trained ? [
      ["about.recipe", made.recipe],
      ["about.seed", String(made.seed)],
      ["about.origin", made.origin || say(`about.${made.init}`)],
      ["about.problems", made.specified ? say("about.specified") : say.number(made.problems)],
      ...(made.edges ? [["about.edges", say.number(made.edges)]] : []),
      ...(made.joined ? [["about.joined", say.number(made.joined)]] : []),
      ["about.seconds", made.seconds.toPrecision(2)],
      ["about.engine", made.engine],
    ] : []),
    ...(mechanism ? [
      ...["scale", "copies", "spare", "noise"].map((key) => [`about.built.${key}`, String(mechanism.construction[key])]),
      ...["shuffle", "flip"].filter((key) => mechanism.construction[key]).map((key) => [`about.built.${key}`, say("about.yes")]),
      ["about.seed", String(mechanism.construction.seed)],
    ] : []),
    ...(source ? [
      ["about.file", source.file],
      ["about.sha256", source.sha256],
      ["about.mapping", source.mapping],
      ["about.left_out", listed(source.left_out, say)],
      ["about.assumed", listed(source.assumed, say)],
    ] : []),
    ["about.dtype", made.dtype],
    ["about.weights", made.weights_sha256],
    ["about.versions", `carrynet ${made.carrynet}, NumPy ${made.numpy}`],
  ];
  const copy = h("button", { onclick: async () => {
    try {
      await navigator.clipboard.writeText(made.command);
      copy.textContent = say("about.copied");
    } catch {
      getSelection().selectAllChildren(command); // where a page may not write there
    }
  } }, say("about.copy"));
  const command = h("pre", {}, made.command);
  const how = mechanism ? "about.compiled" : made.origin ? "about.begun" : "about.command";
  const files = [
    ["model.safetensors", () => bytesOf(page.model)],
    page.snapshots && ["snapshots.safetensors", () => bytesOf(page.snapshots)],
    ["recipe.toml", () => page.recipe],
    mechanism && ["mechanism.json", () => page.mechanism],
    page.certificate && ["certificate.json", () => inflated(page.certificate)],
  ].filter(Boolean);
  return [
    h("dl", { class: "made" }, rows.map(([key, value]) => [h("dt", {}, say(key)), h("dd", {}, value)])),
    made.command ? [h("p", { class: "prose" }, say(how)), command, h("div", { class: "actions" }, copy)] : h("p", {}, say("about.imported")),
    h("h3", { style: "margin-top:28px" }, say("about.downloads")),
    h("div", { class: "actions" }, files.map(([name, content]) => h("button", { onclick: async () => download(name, await content()) }, name))),
    mechanism ? units(mechanism, say) : null,
    page.claim && !page.certificate ? h("p", { class: "hint" }, say("about.none")) : null,
    h("h3", { style: "margin-top:28px" }, say("about.found")),
    h("ul", { class: "tried" }, Object.entries(FOUND).map(([study, values]) => h("li", {}, say(`about.found.${study}`, values)))),
  ];
}

/** What each unit of a network by construction means. */
function units(mechanism, say) {
  const role = (unit) => (unit.role === "pair" ? `${unit.state}, ${unit.symbol} → ${unit.next} / ${unit.output}` : say(`about.unit.${unit.role}`));
  const name = (unit) => (mechanism.units.at(-1).layer > 1 ? `${unit.layer}.${unit.unit}` : String(unit.unit));
  const rows = mechanism.units.map((unit) => [h("dt", {}, name(unit)), h("dd", {}, unit.on !== null && unit.on < unit.off ? say("about.unit.low", { role: role(unit) }) : role(unit))]);
  return h("details", {}, h("summary", {}, say("about.mechanism")), h("p", { class: "hint" }, say("about.mechanism.text")), h("dl", { class: "made" }, rows));
}

const listed = (texts, say) => (texts.length ? h("ul", {}, texts.map((text) => h("li", {}, text))) : say("about.nothing"));
