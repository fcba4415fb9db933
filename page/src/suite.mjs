// A suite of tasks as one table: task by cell, and what became of the networks of each.

import { percent, whole } from "./cube.mjs";
import { h } from "./dom.mjs";
import { select, written } from "./phase.mjs";

export function suite(cube, say) {
  const { keys } = cube;
  if (!keys.includes("task")) return [];
  const across = ["cell", "recipe"].find((key) => keys.includes(key)), groups = across ? written(cube.valuesOf(across), say) : [null];
  const tested = ["sampled", "right"].find((name) => cube.outcomes.includes(name));
  const outcomes = [tested, "proved", "refuted", "undecided"].filter((name) => cube.outcomes.includes(name));
  const others = keys.filter((key) => key !== "task" && key !== across), at = {};
  if (others.includes("recipe")) at.recipe = 0; // of two trainings counted together nothing is told
  const controls = h("div", { class: "choices" }), body = h("tbody");
  const first = (outcome) => (outcome === outcomes[0] ? " first" : "");

  function entry(sum, outcome) {
    if (!sum) return h("td", { class: `none${first(outcome)}` }, "·");
    const { count, networks, rate, low, high } = cube.rate(sum, outcome), shortest = outcome === "refuted" ? sum.shortest : null;
    const title = `${say("count", { count, networks })} (${percent(low)}–${percent(high)})`;
    return h("td", { title, class: `${count ? outcome : "none"}${first(outcome)}` }, whole(rate), shortest === null ? null : h("span", {}, say("suite.shortest", { n: shortest })));
  }
  function draw() {
    const sums = cube.by(["task", across].filter(Boolean), at);
    body.replaceChildren(...written(cube.valuesOf("task"), say).map((task, row) =>
      h("tr", {}, h("th", { scope: "row" }, task),
        groups.map((_, column) => outcomes.map((outcome) => entry(sums.get((across ? [row, column] : [row]).join()), outcome))))));
  }
  controls.replaceChildren(...others.map((key) => select(cube, say, key, `suite-${keys.indexOf(key)}`, at[key], (place) => {
    if (place === null) delete at[key];
    else at[key] = place;
    draw();
  })));
  draw();
  return [
    h("p", { class: "prose" }, say(outcomes.includes("refuted") ? "suite.text" : "suite.untold")),
    others.length ? controls : null,
    h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": say("suite") }, h("table", { class: "groups suite" },
      h("thead", {},
        across ? h("tr", {}, h("td"), groups.map((name) => h("th", { scope: "colgroup", colspan: outcomes.length }, name))) : null,
        h("tr", {}, h("th", { scope: "col" }, "task"), groups.map(() => outcomes.map((name) => h("th", { scope: "col", class: first(name).trim() }, say(`suite.${name}`)))))), body)),
  ];
}
