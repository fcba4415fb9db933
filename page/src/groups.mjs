// The table of all groups, which can be sorted.

import { percent } from "./cube.mjs";
import { h } from "./dom.mjs";
import { written } from "./phase.mjs";

const FEW = 60;

export function groups(cube, say) {
  const { model, keys, outcomes } = cube, start = keys.length;
  const rows = model.groups.map((group) => ({ group, rates: outcomes.map((outcome, i) => {
    const count = group[start + 1 + i], networks = group[start], [low, high] = model.intervals[`${count}/${networks}`];
    return { count, rate: count / networks, low, high };
  }) }));
  const names = model.keys.map(({ values }) => written(values, say)), { number } = say.row(model.groups.map((group) => group[start]));
  const columns = [
    ...keys.map((key, i) => ({ name: key, of: ({ group }) => group[i], show: ({ group }) => names[i][group[i]] })),
    { name: say("groups.networks"), of: ({ group }) => group[start], show: ({ group }) => number(group[start]) },
    ...outcomes.map((outcome, i) => ({
      name: say(`outcome.${outcome}`),
      of: ({ rates }) => rates[i].rate,
      show: ({ rates }) => [h("b", {}, percent(rates[i].rate)), h("span", {}, `${(100 * rates[i].low).toFixed(1)}–${(100 * rates[i].high).toFixed(1)}`)],
    })),
  ];
  let sorted = null, down = false, most = FEW;
  const body = h("tbody"), more = h("button", { onclick: () => {
    most = Infinity;
    draw();
  } }, say("groups.more", { n: rows.length }));
  const heads = columns.map((column, i) => h("th", { scope: "col" }, h("button", { onclick: () => {
    [down, sorted] = [sorted === i ? !down : i >= start, i]; // rates the highest first
    draw();
  } }, column.name)));

  function draw() {
    const order = sorted === null ? rows : [...rows].sort((a, b) => (columns[sorted].of(a) - columns[sorted].of(b)) * (down ? -1 : 1));
    body.replaceChildren(...order.slice(0, most).map((row) => h("tr", {}, columns.map((column, i) => h("td", { class: i < start ? "key" : null }, column.show(row))))));
    heads.forEach((head, i) => (i === sorted ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    more.hidden = rows.length <= most;
  }
  draw();
  return [
    h("p", { class: "prose" }, say("groups.text")),
    h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": say("groups") }, h("table", { class: "groups" }, h("thead", {}, h("tr", {}, heads)), body)),
    h("div", { class: "actions" }, more),
  ];
}
