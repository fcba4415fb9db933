// Hidden space in two dimensions, with the regions of the proof and the way of the current sum.

import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear } from "d3-scale";
import { line } from "d3-shape";
import { axis, h, s, watchWidth } from "./dom.mjs";
import { inRow, momentSlider, nameOf } from "./maps.mjs";
import { planeThrough, project } from "./plane.mjs";
import { holding } from "./task.mjs";
import { visited } from "./visited.mjs";

const COLOURS = 8;

/** Of what a machine's state is drawn in. */
export const stateColour = (q) => `var(--s${q % COLOURS})`;

/** The points of x, y, x, y, ... */
const pairs = (ends) => Array.from({ length: ends.length / 2 }, (_, k) => [ends[2 * k], ends[2 * k + 1]]);

/** Points of an ellipse, of which there are the centre and two half axes; none of a single point. */
function corners([x, y, ax, ay, bx, by]) {
  if (!(ax || ay || bx || by)) return [];
  return Array.from({ length: 60 }, (_, k) => {
    const angle = k * Math.PI / 30, cos = Math.cos(angle), sin = Math.sin(angle);
    return [x + cos * ax + sin * bx, y + cos * ay + sin * by];
  });
}

export function space(scene, say, signal) {
  const { task, network, subject } = scene, { regions, snapshots } = subject, { points, held, groups } = visited(network);
  if (!points.every((point) => point.every(Number.isFinite))) return [];
  const plane = subject.plane ?? planeThrough(points, groups), final = points.map((point) => project(plane, point));
  const moments = snapshots.map(() => null); // what there is to draw of each, once it was asked for
  moments[snapshots.length - 1] = final;
  const flatAt = (moment) => (moments[moment] ??= visited(snapshots[moment].network).points.map((point) => project(plane, point)));
  const chosen = () => snapshots[scene.moment].network, isLast = () => scene.moment === snapshots.length - 1;
  const outlines = (regions?.ellipses?.map(corners) ?? regions?.outlines.map(pairs) ?? []).map((outline, i) => ({ state: regions.state[i], outline }));
  const fill = 0.1 * Math.min(1, 20 / outlines.length), stroke = outlines.length > 60 ? 0.7 : 1.5; // fainter where they overlap
  const first = network.start.subarray(0, network.hidden), start = project(plane, first), zero = first.every((value) => value === 0);
  const fixed = [...final, start, ...outlines.flatMap(({ outline }) => outline)].filter((p) => p.every(Number.isFinite));
  const extentOf = (points, k) => points.reduce(([low, high], p) => [Math.min(low, p[k]), Math.max(high, p[k])], [Infinity, -Infinity]);
  const when = h("p", { class: "prose" });
  const element = h("div", { class: "wide" }), axisName = subject.plane ? "space.axis" : "space.direction";
  let path, dots, now, x, y;

  const draw = () => {
    const width = element.clientWidth;
    if (!width) return;
    const height = Math.min(620, Math.max(320, width * 0.62)), margin = 44;
    const flat = flatAt(scene.moment), all = [...fixed, ...flat.filter((p) => p.every(Number.isFinite))];
    when.textContent = nameOf(snapshots[scene.moment], inRow(snapshots, say));
    const scale = (k, range) => {
      const [low, high] = extentOf(all, k), pad = (high - low || 1) * 0.04;
      return scaleLinear([low - pad, high + pad], range);
    };
    x = scale(0, [margin, width - 10]);
    y = scale(1, [height - margin, 10]);
    const svg = s("svg", { width, height, role: "img", "aria-label": say("space.label", { n: Math.min(COLOURS, task.states.length) }) });
    axis(svg, axisBottom(x).ticks(5), 0, height - margin);
    axis(svg, axisLeft(y).ticks(5), margin, 0);
    const outlined = line((p) => x(p[0]), (p) => y(p[1]));
    for (const { state, outline } of outlines)
      if (outline.length) svg.append(s("path", { d: `${outlined(outline)}Z`, fill: stateColour(state), "fill-opacity": fill, stroke: stateColour(state), "stroke-width": stroke }));
    flat.forEach((p, i) => svg.append(s("circle", { cx: x(p[0]), cy: y(p[1]), r: 2.6, fill: stateColour(held[i]), "fill-opacity": 0.7 })));
    const [a, b] = [x(start[0]), y(start[1])];
    svg.append(s("path", { class: "start", d: `M${a - 7} ${b}h14M${a} ${b - 7}v14`, stroke: "var(--ink)", "stroke-width": 2.2 }));
    path = s("path", { fill: "none", stroke: "var(--ink)", "stroke-width": 1.6, "stroke-linejoin": "round", opacity: 0.8 });
    dots = s("g", {});
    now = s("circle", { r: 8, fill: "var(--lit)", stroke: "var(--ink)", "stroke-width": 2.5 });
    svg.append(path, dots, now, s("text", { x: width - 10, y: height - 8, "text-anchor": "end" }, say(axisName, { n: 1 })), s("text", { x: margin + 8, y: 22 }, say(axisName, { n: 2 })));
    element.replaceChildren(svg);
    way();
  };
  const way = () => {
    if (!path) return;
    const { steps } = isLast() ? scene.work : chosen().work(scene.work.word);
    const recent = steps.slice(Math.max(0, scene.position - 30), scene.position + 1).map((step) => project(plane, step.h));
    const points = scene.position < 31 ? [project(plane, chosen().start.subarray(0, network.hidden)), ...recent] : recent;
    path.setAttribute("d", line((p) => x(p[0]), (p) => y(p[1]))(points));
    dots.replaceChildren(...points.slice(0, -1).map((p) => s("circle", { cx: x(p[0]), cy: y(p[1]), r: 3.2, fill: "var(--ink)" })));
    now.setAttribute("cx", x(points.at(-1)[0]));
    now.setAttribute("cy", y(points.at(-1)[1]));
  };
  watchWidth(element, draw, signal);
  scene.follow(["moment"], draw, signal);
  scene.follow(["problem", "position"], way, signal);
  const share = subject.plane && say.percent(plane.shares[0] + plane.shares[1]);
  const about = regions && (regions.begins_outside ? "space.entered" : `space.${regions.kind}`);
  const text = say.all(["space.text", snapshots.length > 1 && (outlines.length ? "space.moment" : "space.moment.plain"), subject.plane ? "space.plane" : "space.through", about, regions && !subject.proof.checked && "space.recorded", zero ? "space.path" : "space.path.learned"], { share });
  const legend = stateLegend(task, say);
  legend.push(h("li", {}, s("svg", { class: "key", width: 14, height: 14, "aria-hidden": "true" }, s("path", { d: "M0 7h14M7 0v14", stroke: "var(--ink)", "stroke-width": 2.2 })), say(zero ? "space.start" : "space.start.learned")));
  return [h("p", { class: "prose" }, text), h("div", { class: "card" }, snapshots.length > 1 ? [when, momentSlider(scene, say, signal)] : null, element, h("ul", { class: "legend" }, legend))];
}

/** Which colour is which state; of many states, some have one colour. */
export function stateLegend(task, say) {
  const names = task.states.slice(0, COLOURS).map((_, q) => task.states.filter((_, r) => r % COLOURS === q).join(", "));
  return names.map((name, q) => h("li", {}, h("i", { class: "dot", style: `background:${stateColour(q)}` }), holding(task, name, say)));
}
