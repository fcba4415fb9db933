// What is seen while a network learns, and before: its answer to one problem, its errors, where its
// hidden states are, and how its error falls.

import { axisBottom, axisLeft } from "d3-axis";
import { scaleLog } from "d3-scale";
import { line } from "d3-shape";
import { axis, h, s } from "./dom.mjs";
import { choices } from "./guess.mjs";
import { betweenAxes, mapLegend, paintMap } from "./maps.mjs";
import { Turning, project } from "./plane.mjs";
import { stateColour, stateLegend } from "./space.mjs";
import { walked } from "./visited.mjs";

const BLANK = 16, MOST_WORDS = 24, SIZE = 300;

export function live(session, say, signal) {
  const { task } = session, states = say("train.states");
  const probe = h("p", { class: "equation" }), count = h("p", { class: "big" }), state = h("p", { class: "hint progress" });
  const canvas = h("canvas", { class: "pixels", role: "img", "aria-label": say("train.map") });
  const figure = (title, picture, ...below) => h("figure", {}, h("figcaption", {}, title), picture, below);
  const panel = [
    h("div", { class: "score" }, h("div", {}, probe, state), count),
    h("div", { class: "live" },
      figure(say("train.map"), betweenAxes(task, canvas, say), mapLegend(task, say)),
      figure(states, cloud(session, say, signal), h("ul", { class: "legend" }, stateLegend(task, say))),
      figure(say("train.error"), fall(session, say, signal))),
  ];

  session.follow(["state", "progress"], () => {
    const { training } = session;
    if (!training?.network) {
      state.textContent = say("train.fresh");
      return probe.replaceChildren(task.write(session.probe, null));
    }
    const { text, right, isRight } = training.answer, { updates, problems, latest } = training;
    probe.replaceChildren(text, h("span", { class: isRight ? "good" : "bad" }, isRight ? " ✓" : ` ✗ ${say("train.wrong", { right })}`));
    const error = latest.error === null ? null : latest.error.toFixed(3);
    state.textContent = error === null ? say("train.fresh") : say.running("train.state", { updates, problems, error });
  }, signal);

  session.follow(["state", "map"], () => {
    const { map, mapped: problems } = session.training?.map ? session.training : session.untrained ?? {};
    if (!map) {
      count.textContent = "";
      canvas.width = canvas.height = BLANK; // which empties it
      return;
    }
    paintMap(canvas, map);
    const pairs = map.size ** 2, all = map.right === pairs;
    count.textContent = say.running(all ? "train.done" : problems ? "train.count" : "train.before", { right: map.right, pairs, problems });
    count.className = all ? "big good" : "big";
  }, signal);

  const seen = new IntersectionObserver(([entry]) => entry.isIntersecting && session.look());
  seen.observe(canvas);
  signal.addEventListener("abort", () => seen.disconnect());
  return panel;
}

const picture = (kind) => s("svg", { class: kind, viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img" });

/** The hidden states along some words, as they move, in a plane that turns with them. */
function cloud(session, say, signal) {
  const { task } = session, every = Math.ceil(task.words.length / MOST_WORDS), words = task.words.filter((_, i) => i % every === 0);
  const svg = picture("cloud");
  svg.setAttribute("aria-label", say("space.label", { n: new Set(task.states.map((_, q) => stateColour(q))).size }));
  let of = null, dots, plane, reach;
  session.follow(["state", "progress"], () => {
    const { shown } = session;
    if (!shown) return;
    const { points, held } = walked(shown.network, words);
    if (!points.every((point) => point.every(Number.isFinite))) return;
    if (of !== shown) {
      [of, plane, reach] = [shown, new Turning(shown.network.hidden), 0];
      dots = held.map((q) => s("circle", { r: 3.4, fill: stateColour(q), "fill-opacity": 0.7 }));
      const along = (n, x, y, anchor) => s("text", { x, y, "text-anchor": anchor }, say("space.direction", { n }));
      svg.replaceChildren(...dots, along(1, SIZE - 8, SIZE - 10, "end"), along(2, 8, 20, "start"));
    }
    plane.towards(points);
    const flat = points.map((point) => project(plane, point));
    const far = Math.max(...flat.map(([x, y]) => Math.max(Math.abs(x), Math.abs(y))));
    reach = Math.max(0.3, far, 0.98 * reach); // it does not jump when they come together
    const at = (value) => (SIZE / 2) * (1 + (0.94 * value) / reach);
    flat.forEach(([x, y], i) => {
      dots[i].setAttribute("cx", at(x).toFixed(1));
      dots[i].setAttribute("cy", (SIZE - at(y)).toFixed(1));
    });
  }, signal);
  return svg;
}

/** The error against the problems so far, both by powers of ten, and which of them were guessed. */
function fall(session, say, signal) {
  const left = 44, top = 26, bottom = SIZE - 46, { batch, problems } = session.offer.recipes[session.settings.recipe];
  const svg = picture("fall"), powers = (scale) => scale.ticks().filter((n) => Number.isInteger(Math.log10(n)));
  session.follow(["state", "guess", "progress"], () => {
    const { training, guess } = session, most = training ? training.until * batch : problems;
    const x = scaleLog([batch, most], [left, SIZE - 18]).clamp(true), y = scaleLog([0.003, 10], [bottom, top]).clamp(true);
    svg.replaceChildren();
    const guessed = guess === null ? null : choices(session, say)[guess];
    if (guessed && "low" in guessed) {
      const [from, to] = [x(Math.max(batch, guessed.low)), x(Math.min(most, guessed.high))];
      svg.append(s("rect", { class: "guessed", x: from, y: top, width: Math.max(1, to - from), height: bottom - top }));
    }
    axis(svg, axisBottom(x).tickValues(powers(x)).tickFormat(say.tick), 0, bottom);
    axis(svg, axisLeft(y).tickValues(powers(y)).tickFormat(String), left, 0);
    svg.append(s("text", { x: SIZE - 18, y: SIZE - 5, "text-anchor": "end" }, say("train.problems")), s("text", { x: left - 36, y: 14 }, say("curve.error")));
    if (!training?.metrics.error.length) svg.append(s("text", { x: (left + SIZE - 18) / 2, y: (top + bottom) / 2, "text-anchor": "middle" }, say("train.error.none")));
    if (!training) return svg.setAttribute("aria-label", say("train.error"));
    const { problem, error } = training.metrics;
    svg.append(s("path", { class: "curve", stroke: "var(--s1)", d: line((_, i) => x(problem[i]), (e) => y(Math.max(e, 1e-9)))(error) ?? "" }));
    if (training.done !== null) svg.append(s("line", { class: "done", x1: x(training.done), x2: x(training.done), y1: top, y2: bottom }));
    const [first, last] = [error[0] ?? 0, error.at(-1) ?? 0].map((e) => e.toPrecision(2));
    svg.setAttribute("aria-label", say("train.error.label", { first, last }));
  }, signal);
  return svg;
}
