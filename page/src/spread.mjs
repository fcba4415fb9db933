// How margins and lengths of counterexamples are distributed, by the key that runs across.

import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear, scaleLog } from "d3-scale";
import { select } from "d3-selection";
import { line } from "d3-shape";
import { spread } from "./cube.mjs";
import { axis, h, s, watchWidth } from "./dom.mjs";
import { written } from "./phase.mjs";

const DASHES = ["none", "9 4", "2 4", "12 4 2 4", "5 3", "1 3"];

/** An element that is drawn anew for each width, and for each choice. */
function live(cube, draw, signal) {
  const element = h("div", { class: "wide" });
  const again = () => element.clientWidth && element.replaceChildren(...draw(element.clientWidth));
  watchWidth(element, again, signal);
  cube.follow(again, signal);
  return element;
}

const few = (cube, shown, all, say) => (shown < all ? h("p", { class: "hint" }, say("few", { shown, all })) : null);

export function margins(cube, say, signal) {
  const names = Object.keys(cube.model.values), { edges } = cube.model;
  if (!names.length) return [];
  let name = names[0];
  const nameOf = (place) => (cube.x === null ? say("phase.everything") : `${cube.x} ${written(cube.valuesOf(cube.x), say)[place]}`);

  const draw = (width) => {
    const found = cube.bins(cube.model.values[name], cube.x), places = spread([...found.keys()]);
    const whole = cube.bins(cube.model.values[name], null).get(0);
    if (!whole) return [h("p", {}, say("nothing"))];
    // where all but one in a hundred are, at each end
    const order = [...whole].sort(([a], [b]) => a - b), all = order.reduce((sum, [, n]) => sum + n, 0);
    const reach = (share) => {
      let sum = 0;
      return order.find(([, n]) => (sum += n) >= share * all)[0];
    };
    const low = Math.min(0, edges[reach(0.01)]), high = Math.max(0, edges[reach(0.99) + 1]), left = 52, top = 24, height = 320, bottom = height - 34;
    const x = scaleLinear([low, high], [left, width - 14]).nice(), y = scaleLinear([0, 1], [bottom, top]), [from, to] = x.domain();
    const svg = s("svg", { width, height, role: "img", "aria-label": say("margins.label", { what: say(`margins.${name}`) }) });
    axis(svg, axisBottom(x).ticks(Math.max(3, Math.floor(width / 110))), 0, bottom);
    axis(svg, axisLeft(y).ticks(5, "%"), left, 0);
    if (name === "exhaustive_margin" && from < 0)
      svg.append(s("line", { class: "rule", x1: x(0), x2: x(0), y1: top - 10, y2: bottom }), s("text", { x: Math.min(x(0) + 6, width - 60), y: top - 10 }, `${say("margins.zero")} →`));
    const legend = places.map((place, i) => {
      const bins = [...found.get(place)].sort(([a], [b]) => a - b), count = bins.reduce((sum, [, n]) => sum + n, 0);
      const points = [[from, 0]];
      let sum = 0;
      for (const [bin, n] of bins) {
        points.push([edges[bin], sum / count]);
        points.push([edges[bin + 1], (sum += n) / count]);
      }
      points.push([to, 1]);
      const seen = clipped(points, from, to);
      svg.append(s("path", { class: "curve", stroke: `var(--s${i})`, "stroke-dasharray": DASHES[i], d: line(([v]) => x(v), ([, share]) => y(share))(seen) }));
      return h("li", {}, s("svg", { width: 34, height: 10, class: "key", "aria-hidden": "true" }, s("line", { x1: 0, x2: 34, y1: 5, y2: 5, stroke: `var(--s${i})`, "stroke-width": 2.5, "stroke-dasharray": DASHES[i] })), say("margins.count", { value: nameOf(place), n: count }));
    });
    return [svg, h("ul", { class: "legend" }, legend), few(cube, places.length, found.size, say)].filter(Boolean);
  };
  const text = h("p", { class: "prose" });
  cube.follow(() => { text.textContent = cube.x === null ? say("margins.alone") : say("margins.text", { key: cube.x }); }, signal);
  const choice = h("select", { id: "choose-margin", onchange: () => {
    name = choice.value;
    cube.dispatchEvent(new Event("choice"));
  } }, names.map((each) => h("option", { value: each }, say(`margins.${each}`))));
  return [
    text,
    h("div", { class: "card" }, h("div", { class: "choices" }, h("div", { class: "field" }, h("label", { for: "choose-margin" }, say("margins.what")), choice)), live(cube, draw, signal)),
  ];
}

/** The part of a rising line that is between two ends. */
function clipped(points, from, to) {
  const between = (end) => {
    const i = points.findIndex(([v]) => v >= end);
    if (i <= 0) return points[Math.max(i, 0)][1];
    const [[v, a], [w, b]] = [points[i - 1], points[i]];
    return w === v ? b : a + ((b - a) * (end - v)) / (w - v);
  };
  return [[from, points[0][0] >= from ? points[0][1] : between(from)], ...points.filter(([v]) => v > from && v < to), [to, between(to)]];
}

export function lengths(cube, say, signal) {
  const { model } = cube, ends = model.length_ends, kinds = ["maybe", "shortest"];
  if (!model.lengths.some((both) => both.some((list) => list.length))) return [];

  const draw = (width) => {
    const [maybe, shortest] = kinds.map((_, i) => cube.bins(model.lengths.map((both) => both[i]), cube.x));
    const some = new Set([...maybe.keys(), ...shortest.keys()]);
    if (!some.size) return [h("p", {}, say("nothing"))];
    const all = cube.x === null ? [0] : cube.valuesOf(cube.x).map((_, i) => i);
    const known = all.length > 6 ? all.filter((place) => some.has(place)) : all, places = spread(known); // of a few, those without any too
    const used = [...maybe.values(), ...shortest.values()].flatMap((bins) => [...bins.keys()]);
    const last = Math.max(ends[Math.max(...used)], model.digits), left = 44, high = 92, gap = 34, top = 22, bottom = top + places.length * (high + gap);
    const x = scaleLog([0.7, last * 1.1 + 0.5], [left, width - 10]).base(2);
    const svg = s("svg", { width, height: bottom + 44, role: "group", "aria-label": say("lengths") });
    places.forEach((place, row) => {
      const both = [maybe, shortest].map((found) => found.get(place) ?? new Map()), foot = top + (row + 1) * (high + gap);
      const most = Math.max(1, ...[...both[0].keys(), ...both[1].keys()].map((bin) => (both[0].get(bin) ?? 0) + (both[1].get(bin) ?? 0)));
      const y = scaleLinear([0, most], [foot, foot - high]), total = both.reduce((sum, bins) => sum + [...bins.values()].reduce((a, b) => a + b, 0), 0);
      const name = cube.x === null ? say("phase.everything") : `${cube.x} ${written(cube.valuesOf(cube.x), say)[place]}`;
      svg.append(s("text", { x: width - 10, y: foot - high - 8, "text-anchor": "end", class: "strong" }, say("lengths.row", { name, n: total })));
      axis(svg, axisLeft(y).ticks(Math.min(3, most), "d"), left, 0);
      const bars = s("g", { role: "img", "aria-label": say("lengths.row", { name, n: total }) });
      ends.forEach((to, bin) => {
        const [m, n] = both.map((bins) => bins.get(bin) ?? 0), from = bin ? ends[bin - 1] + 1 : 1;
        if (!m && !n) return;
        const begin = x(bin ? from - 0.5 : 0.7), wide = Math.max(1, x(to + 0.5) - begin - 1);
        bars.append(s("g", {}, s("title", {}, say("lengths.bar", { from, to, shortest: n, maybe: m })),
          s("rect", { x: begin, y: y(n), width: wide, height: foot - y(n), fill: "var(--s0)" }),
          s("rect", { x: begin, y: y(n + m), width: wide, height: y(n) - y(n + m), fill: "var(--s4)" })));
      });
      svg.append(bars);
      const base = s("line", { x1: left, x2: width - 10, y1: foot, y2: foot, class: "base" });
      svg.append(base);
      if (model.digits) svg.append(s("line", { class: "rule", x1: x(model.digits + 0.5), x2: x(model.digits + 0.5), y1: foot - high, y2: foot }));
    });
    const powers = Array.from({ length: 20 }, (_, k) => 2 ** k).filter((n) => n <= last), thin = Math.ceil((powers.length * 44) / (width - left));
    axis(svg, axisBottom(x).tickValues(powers.filter((_, i) => i % thin === 0)).tickFormat(say.number), 0, bottom);
    svg.append(s("text", { x: width - 10, y: bottom + 40, "text-anchor": "end" }, say("lengths.axis")));
    if (model.digits) svg.append(s("text", { x: x(model.digits + 0.5) - 6, y: 14, "text-anchor": "end" }, `${say("lengths.tried")} ←`));
    select(svg).selectAll(".domain").filter(function () { return this.parentNode.getAttribute("transform") === `translate(0,${bottom})`; }).remove();
    return [svg, few(cube, places.length, known.length, say)].filter(Boolean);
  };
  return [
    h("p", { class: "prose" }, say("lengths.text")),
    h("div", { class: "card" }, live(cube, draw, signal),
      h("ul", { class: "legend" }, [["shortest", 0], ["maybe", 4]].map(([kind, colour]) => h("li", {}, h("i", { style: `background:var(--s${colour})` }), say(`lengths.${kind}`))))),
  ];
}
