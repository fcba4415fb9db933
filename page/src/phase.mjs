// The phase diagram: a rate over two keys as a map, or over one as a curve.

import { axisLeft } from "d3-axis";
import { scaleLinear } from "d3-scale";
import { area, line } from "d3-shape";
import { percent } from "./cube.mjs";
import { axis, h, s, watchWidth } from "./dom.mjs";

export function phase(cube, say, signal) {
  const controls = h("div", { class: "choices" }), chart = h("div", { class: "wide" }), pooled = h("p", { class: "hint" });
  const readout = h("div", { class: "readout", "aria-live": "polite" });
  let kept = null; // the place that is read out, by its name

  const draw = () => {
    if (!chart.clientWidth) return;
    const held = chart.contains(focused(chart));
    const drawn = (cube.y === null ? curve : map)(cube, say, chart.clientWidth, (cell) => {
      kept = cell.name;
      readOut(readout, cube, say, cell);
    });
    chart.replaceChildren(drawn.svg);
    drawn.select(kept);
    if (held) drawn.focus();
  };
  const change = () => {
    const held = focused(controls)?.id;
    controls.replaceChildren(...fields(cube, say));
    if (held) controls.querySelector(`#${held}`)?.focus();
    const open = [...cube.others.filter((key) => !(key in cube.at)), ...(cube.isRepeated ? ["seed"] : [])];
    pooled.textContent = [
      open.length ? say("phase.pooled", { keys: say.list(open) }) : "",
      cube.model.left_out.length ? say("phase.left_out", { keys: say.list(cube.model.left_out) }) : "",
      cube.y === null ? say("phase.band") : "",
    ].join(" ");
    draw();
  };
  watchWidth(chart, draw, signal);
  cube.follow(change, signal);
  return [
    h("p", { class: "prose" }, say("phase.text")),
    h("div", { class: "card" }, controls, h("div", { class: "two diagram" }, h("div", {}, chart, pooled), readout)),
  ];
}

const focused = (element) => element.getRootNode().activeElement;

function field(id, name, options, chosen, choose) {
  const select = h("select", { id, onchange: () => choose(select.value === "" ? null : select.value) },
    options.map(([value, text]) => h("option", { value: value ?? "", selected: value === chosen }, text)));
  return h("div", { class: "field" }, h("label", { for: id }, name), select);
}

/** A choice of one value of a key, by its place, or of all: null. */
export function select(cube, say, key, id, place, choose) {
  const options = [[null, say("phase.all")], ...written(cube.valuesOf(key), say).map((text, i) => [String(i), text])];
  return field(id, key, options, place === undefined ? null : String(place), (value) => choose(value === null ? null : +value));
}

/** What can be chosen: the outcome, the axes, and a value of each other key. */
function fields(cube, say) {
  const keys = cube.keys.map((key) => [key, key]), made = [
    field("choose-outcome", say("phase.outcome"), cube.outcomes.map((name) => [name, say(`outcome.${name}`)]), cube.outcome, (value) => cube.choose("outcome", value)),
  ];
  if (keys.length) made.push(field("choose-x", say("phase.x"), keys, cube.x, (value) => cube.choose("x", value)));
  if (keys.length > 1) made.push(field("choose-y", say("phase.y"), [[null, say("phase.none")], ...keys], cube.y, (value) => cube.choose("y", value)));
  cube.others.forEach((key) => made.push(select(cube, say, key, `choose-at-${cube.keys.indexOf(key)}`, cube.at[key], (place) => cube.choose(key, place))));
  return made;
}

/** The values of a key, as people read them. */
export function written(values, say) {
  const { number } = say.row(values.filter(Number.isInteger));
  return values.map((value) => (Number.isInteger(value) ? number(value) : String(value)));
}

/** The places of a diagram, with what is known there and what they are called. */
function cells(cube, say) {
  const keys = [cube.x, cube.y].filter((key) => key !== null), sums = cube.by(keys), names = keys.map((key) => written(cube.valuesOf(key), say));
  const [columns, rows] = [names[0]?.length ?? 1, names[1]?.length ?? 1], made = [];
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const places = [column, row].slice(0, keys.length), sum = sums.get(places.join());
      const about = keys.map((key, i) => `${key} ${names[i][places[i]]}`).join(", ") || say("phase.everything");
      made.push({ column, row, name: `${keys.join()}:${places.join()}`, about, known: sum ? cube.rate(sum) : null });
    }
  return { made, columns, rows, keys };
}

function readOut(element, cube, say, { about, known }) {
  const parts = [h("h3", {}, about), h("p", { class: "prose" }, say(`outcome.${cube.outcome}`))];
  if (known === null) parts.push(h("p", {}, say("cell.none")));
  else {
    const { count, networks, rate, low, high, example } = known;
    parts.push(h("p", { class: "big" }, percent(rate)), h("p", {}, say("cell.rate", { count, networks, low: percent(low), high: percent(high) })));
    if (example !== null) {
      const wrong = cube.outcome.startsWith("refuted") ? cube.model.counterexamples[example] : null;
      parts.push(h("p", {}, say("cell.example", { cell: example }), say("stop"), " ",
        wrong ? say("cell.wrong", { ...wrong, shortest: say(wrong.shortest ? "cell.shortest" : "cell.maybe") }) : null));
      parts.push(h("p", { class: "prose again" }, say("cell.again")), h("pre", {}, cube.command(example).map((part, i) => [i ? " " : "", h("span", {}, part)])));
    }
  }
  element.replaceChildren(...parts);
}

/** What can be pointed at and walked over by arrows: hands each cell that is come to to `show`. */
function walkable(found, elements, mark, show) {
  let now = null;
  const come = (i, focus) => {
    if (now !== null) elements[now].setAttribute("tabindex", "-1");
    now = i;
    elements[i].setAttribute("tabindex", "0");
    mark(found.made[i]);
    show(found.made[i]);
    if (focus) elements[i].focus();
  };
  elements.forEach((element, i) => {
    element.addEventListener("pointerenter", () => come(i, false));
    element.addEventListener("focus", () => now !== i && come(i, false));
    element.addEventListener("keydown", (event) => {
      const { column, row } = found.made[i];
      const to = { ArrowLeft: [column - 1, row], ArrowRight: [column + 1, row], ArrowUp: [column, row + 1], ArrowDown: [column, row - 1], Home: [0, row], End: [found.columns - 1, row] }[event.key];
      if (!to) return;
      event.preventDefault();
      if (to[0] >= 0 && to[0] < found.columns && to[1] >= 0 && to[1] < found.rows) come(to[1] * found.columns + to[0], true);
    });
  });
  return {
    select(name) {
      const best = found.made.reduce((best, { known }, i) => ((known?.rate ?? -1) > (found.made[best].known?.rate ?? -1) ? i : best), 0);
      const kept = found.made.findIndex((cell) => cell.name === name);
      come(kept < 0 ? best : kept, false);
    },
    focus: () => elements[now].focus(),
  };
}

const labelOf = (cell, say) =>
  cell.known === null ? say("cell.empty", { values: cell.about }) : say("cell.label", { ...cell.known, values: cell.about, rate: percent(cell.known.rate) });

/** Every n-th label, so that they do not run into each other. */
const pace = (labels, room, letter = 8.4) => Math.max(1, Math.ceil((Math.max(...labels.map((text) => text.length)) * letter + 10) / room));

const clip = (text) => (text.length > 16 ? `${text.slice(0, 7)}…${text.slice(-8)}` : text);

function map(cube, say, width, show) {
  const found = cells(cube, say), { columns, rows } = found;
  const across = written(cube.valuesOf(cube.x), say).map(clip), upwards = written(cube.valuesOf(cube.y), say).map(clip);
  const left = Math.min(width * 0.36, Math.max(...upwards.map((text) => text.length)) * 8.4 + 14), top = 30;
  const wide = Math.min(160, (width - left - 4) / columns), high = Math.max(Math.min(wide * 0.55, 62, 560 / rows), Math.min(26, 560 / rows));
  const bottom = top + rows * high, height = bottom + 52;
  const svg = s("svg", { width, height, role: "group", "aria-label": say("phase.label", { outcome: say(`outcome.${cube.outcome}`), keys: say.list([cube.x, cube.y]) }) });
  const groups = found.made.map((cell) => {
    const x = left + cell.column * wide, y = bottom - (cell.row + 1) * high, { known } = cell;
    const group = s("g", { class: "cell", role: "img", tabindex: "-1", "aria-label": labelOf(cell, say) },
      s("rect", { x, y, width: wide, height: high, class: known ? "ground" : "ground empty" }),
      known ? s("rect", { x, y, width: wide, height: high, class: "ink", "fill-opacity": known.rate }) : null);
    const kind = known?.rate > 0.6 ? "value over" : "value", middle = x + wide / 2;
    if (known && wide >= 40 && high >= 18) {
      const two = high >= 40 && wide >= `${known.count}/${known.networks}`.length * 7.5 + 6;
      group.append(s("text", { x: middle, y: y + high / 2 + (two ? -2 : 5), class: kind }, wide < 52 ? `${Math.round(100 * known.rate)}%` : percent(known.rate)));
      if (two) group.append(s("text", { x: middle, y: y + high / 2 + 15, class: `${kind} small` }, `${known.count}/${known.networks}`));
    }
    return group;
  });
  svg.append(...groups);
  const step = pace(across, wide), rise = Math.ceil(18 / high);
  across.forEach((text, i) => i % step === 0 && svg.append(s("text", { x: left + (i + 0.5) * wide, y: bottom + 20, "text-anchor": "middle" }, text)));
  upwards.forEach((text, i) => i % rise === 0 && svg.append(s("text", { x: left - 8, y: bottom - (i + 0.5) * high + 5, "text-anchor": "end" }, text)));
  svg.append(s("text", { x: 0, y: 18, class: "strong" }, `${cube.y} ↑`), s("text", { x: left + columns * wide, y: bottom + 44, "text-anchor": "end", class: "strong" }, `${cube.x} →`));
  const frame = s("rect", { class: "chosen", width: wide, height: high });
  svg.append(frame);
  const mark = ({ column, row }) => {
    frame.setAttribute("x", left + column * wide);
    frame.setAttribute("y", bottom - (row + 1) * high);
  };
  return { svg, ...walkable(found, groups, mark, show) };
}

function curve(cube, say, width, show) {
  const found = cells(cube, say), { columns } = found, left = 52, top = 14, height = 330, bottom = height - 56;
  const across = cube.x === null ? [say("phase.everything")] : written(cube.valuesOf(cube.x), say).map(clip);
  const room = (width - left - 8) / columns, x = (column) => left + (column + 0.5) * room, y = scaleLinear([0, 1], [bottom, top]);
  const svg = s("svg", { width, height, role: "group", "aria-label": say("phase.label", { outcome: say(`outcome.${cube.outcome}`), keys: cube.x ?? say("phase.everything") }) });
  axis(svg, axisLeft(y).ticks(5, "%"), left, 0);
  const there = found.made.filter(({ known }) => known), numbers = cube.x !== null && cube.valuesOf(cube.x).every((value) => typeof value === "number");
  if (numbers)
    svg.append(
      s("path", { class: "band", d: area((cell) => x(cell.column), (cell) => y(cell.known.low), (cell) => y(cell.known.high))(there) }),
      s("path", { class: "curve", stroke: "var(--s0)", d: line((cell) => x(cell.column), (cell) => y(cell.known.rate))(there) }),
    );
  const guide = s("line", { class: "guide", y1: top, y2: bottom });
  svg.append(guide);
  const groups = found.made.map((cell) => {
    const { known } = cell, at = x(cell.column);
    return s("g", { class: "cell", role: "img", tabindex: "-1", "aria-label": labelOf(cell, say) },
      s("rect", { x: at - room / 2, y: top, width: room, height: bottom - top, fill: "transparent" }),
      known ? [
        s("line", { x1: at, x2: at, y1: y(known.low), y2: y(known.high), stroke: "var(--s0)", "stroke-width": 2 }),
        s("circle", { cx: at, cy: y(known.rate), r: room > 14 ? 5 : 3, fill: "var(--s0)" }),
      ] : null);
  });
  svg.append(...groups);
  const step = pace(across, room);
  across.forEach((text, i) => i % step === 0 && svg.append(s("text", { x: x(i), y: bottom + 22, "text-anchor": "middle" }, text)));
  if (cube.x !== null) svg.append(s("text", { x: width - 8, y: height - 8, "text-anchor": "end", class: "strong" }, `${cube.x} →`));
  const mark = ({ column }) => ["x1", "x2"].forEach((name) => guide.setAttribute(name, x(column)));
  return { svg, ...walkable(found, groups, mark, show) };
}
