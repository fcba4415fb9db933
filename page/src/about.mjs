// How the network came to be, and everything to take along.

import { bytesOf } from "./model.mjs";
import { download, h } from "./dom.mjs";

export function about(scene, say) {
  const { subject, network, task } = scene;
  if (subject.kind === "here") {
    const { settings, updates } = subject;
    return [h("p", { class: "prose" }, say("about.here", { ...settings, step: String(settings.step), updates }))];
  }
  const { kind, activation, cell, readout } = network.formulas;
  const { page, trained } = subject, made = page.about, { source = null } = page, rows = [
    ["about.task", task.text],
    ["about.cell", say(kind === "own" ? "about.own" : "about.units", { hidden: network.hidden, kind })],
    ...(activation ? [] : [["about.equations", `${cell.text}\n${readout.text}`]]),
    ...(trained ? [
      ["about.recipe", made.recipe],
      ["about.seed", String(made.seed)],
      ["about.origin", made.origin || say("about.random")],
      ["about.problems", say.number(made.problems)],
      ...(made.edges ? [["about.edges", say.number(made.edges)]] : []),
      ["about.seconds", made.seconds.toPrecision(2)],
      ["about.engine", made.engine],
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
  const command = h("pre", {}, made.command), begun = made.origin ? "begun" : null;
  const how = `about.${begun ?? "command"}`;
  const files = [
    ["model.safetensors", () => bytesOf(page.model)],
    page.snapshots && ["snapshots.safetensors", () => bytesOf(page.snapshots)],
    ["recipe.toml", () => page.recipe],
    page.certificate && ["certificate.json", () => inflated(page.certificate)],
  ].filter(Boolean);
  return [
    h("dl", { class: "made" }, rows.map(([key, value]) => [h("dt", {}, say(key)), h("dd", {}, value)])),
    made.command ? [h("p", { class: "prose" }, say(how)), command, h("div", { class: "actions" }, copy)] : h("p", {}, say("about.imported")),
    h("h3", { style: "margin-top:28px" }, say("about.downloads")),
    h("div", { class: "actions" }, files.map(([name, content]) => h("button", { onclick: async () => download(name, await content()) }, name))),
    page.claim && !page.certificate ? h("p", { class: "hint" }, say("about.none")) : null,
  ];
}

const listed = (texts, say) => (texts.length ? h("ul", {}, texts.map((text) => h("li", {}, text))) : say("about.nothing"));

async function inflated(base64) {
  const stream = new Blob([bytesOf(base64)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}
