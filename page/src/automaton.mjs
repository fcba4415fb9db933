// The machine that the network has learned, with the state that the calculator is in.

import { h, s } from "./dom.mjs";
import { run } from "./extract.mjs";
import { holding } from "./task.mjs";

const RADIUS = 34, LINE = 17, LABELS = 4, MOST_DRAWN = 12;

/** What a state is called: A to Z, and then by number. */
export const letter = (q) => (q < 26 ? String.fromCharCode(65 + q) : `S${q}`);

export function automaton(scene, say, signal) {
  const place = h("div", {}, h("p", { class: "prose" }, say("automaton.text")), h("p", { class: "hint" }, say("errors.busy")));
  scene.follow(["machine"], () => scene.machine && place.replaceChildren(...drawing(scene, say, signal)), signal);
  return [place];
}

function drawing(scene, say, signal) {
  const { task, machine: learned } = scene, count = learned.delta.length;
  const values = { n: count, m: task.states.length, tested: learned.tested }, about = say("automaton.text");
  if (!learned.complete) return [h("p", { class: "prose" }, about, say.gap, h("b", {}, say("automaton.partial", { n: count - 1 })))];
  const same = count === task.states.length ? "automaton.same" : "automaton.alike";
  const drawn = count <= MOST_DRAWN, ending = say(drawn ? "automaton.lit" : "automaton.many");
  const text = [about, say.gap, h("b", {}, say(learned.same ? same : "automaton.differs", values)), say.gap, say("automaton.tested", values), say.gap, ending];
  if (!drawn) return [h("p", { class: "prose" }, text)];

  const ring = count === 1 ? 0 : Math.max(count === 3 ? 185 : 150, 46 * count);
  const places = Array.from({ length: count }, (_, q) => [-ring * Math.cos((2 * Math.PI * q) / count), -ring * Math.sin((2 * Math.PI * q) / count)]);
  const edges = new Map();
  learned.delta.forEach((row, q) =>
    row.forEach((r, a) => {
      const key = `${q},${r}`, edge = edges.get(key) ?? { q, r, symbols: [] };
      edge.symbols.push(a);
      edges.set(key, edge);
    }));
  const label = (q, a) => `${task.symbols[a].replaceAll(",", " ")} / ${task.outputs[learned.output[q][a]]}`;
  const marker = "carrynet-arrow", nodes = [], paths = new Map(), labels = [];

  for (const { q, r, symbols } of edges.values()) {
    const { d, at, turn } = q === r ? loop(places[q], count, symbols.length) : arc(places[q], places[r], edges.has(`${r},${q}`), symbols.length);
    const path = s("path", { d, "marker-end": `url(#${marker})` }), shown = symbols.slice(0, LABELS);
    paths.set(`${q},${r}`, path);
    const height = shown.length + (symbols.length > LABELS ? 1 : 0), top = at[1] + 5 - (LINE * (height - 1)) / 2 + turn;
    shown.forEach((a, i) => {
      const line = s("text", { class: "label", x: at[0], y: top + i * LINE }, label(q, a));
      labels.push({ q, a, line });
    });
    if (symbols.length > LABELS) labels.push({ q, a: -1, line: s("text", { class: "label", x: at[0], y: top + LABELS * LINE }, `+${symbols.length - LABELS}`) });
  }
  places.forEach(([x, y], q) => {
    const name = learned.names[q];
    nodes.push(s("g", {},
      s("circle", { cx: x, cy: y, r: RADIUS }),
      s("text", { class: "state", x, y: y + (name === null ? 6 : 0) }, letter(q)),
      name === null ? null : s("text", { class: "holds", x, y: y + 17 }, holding(task, name, say))));
  });
  const tall = Math.min(LABELS + 1, Math.max(...[...edges.values()].map((e) => e.symbols.length))) * LINE;
  const wide = ring + (count <= 2 ? 120 : 210), high = count <= 2 ? tall + 108 : ring + tall + 110;
  const low = count <= 2 ? Math.max(60, tall / 2 + 60) : high;
  const svg = s("svg", { class: "automaton", viewBox: `${-wide} ${-high} ${2 * wide} ${high + low}`, width: Math.min(2 * wide * 1.15, 1000), role: "img", style: "margin:0 auto" },
    s("defs", {}, s("marker", { id: marker, viewBox: "0 0 10 10", refX: 9, refY: 5, markerWidth: 9, markerHeight: 9, orient: "auto", markerUnits: "userSpaceOnUse" }, s("path", { class: "head", d: "M0 0 10 5 0 10z" }))),
    s("path", { d: startArrow(places[0], count), "marker-end": `url(#${marker})` }),
    [...paths.values()], nodes, labels.map(({ line }) => line));

  let visited = [0];
  scene.follow(["problem"], () => (visited = run(learned, scene.work.word).states), signal);
  scene.follow(["problem", "position"], () => {
    const now = visited[scene.position + 1], before = visited[scene.position], read = scene.position < 0 ? null : scene.work.word[scene.position];
    nodes.forEach((node, q) => node.classList.toggle("lit", q === now));
    paths.forEach((path, key) => path.classList.toggle("taken", read !== null && key === `${before},${now}`));
    labels.forEach(({ q, a, line }) => line.classList.toggle("read", read !== null && q === before && a === read));
    svg.setAttribute("aria-label", say("automaton.label", { state: letter(now) }));
  }, signal);
  return [h("p", { class: "prose" }, text), h("div", { class: "card" }, svg, h("p", { class: "hint", style: "text-align:center;margin-inline:auto" }, say("automaton.edges")))];
}

function startArrow([x, y], count) {
  const turn = count <= 2 ? 0 : Math.PI / 4, c = Math.cos(turn), d = Math.sin(turn);
  return `M${x - 2.3 * RADIUS * c} ${y - 2.3 * RADIUS * d}L${x - RADIUS * c} ${y - RADIUS * d}`;
}

/** A curve from rim to rim, to the left of its direction where there is one back. */
function arc([x0, y0], [x1, y1], bent, lines) {
  const length = Math.hypot(x1 - x0, y1 - y0), nx = (y1 - y0) / length, ny = (x0 - x1) / length, bend = bent ? 60 : 0;
  const middle = [(x0 + x1) / 2 + bend * nx, (y0 + y1) / 2 + bend * ny];
  const rim = ([x, y]) => {
    const away = Math.hypot(middle[0] - x, middle[1] - y);
    return [x + (RADIUS / away) * (middle[0] - x), y + (RADIUS / away) * (middle[1] - y)];
  };
  const [a, b] = [rim([x0, y0]), rim([x1, y1])], out = bend / 2 + 18;
  const half = (Math.min(lines, LABELS + 1) * LINE) / 2;
  return { d: `M${a}Q${middle} ${b}`, at: [(x0 + x1) / 2 + nx * (out + 34 * Math.abs(nx)), (y0 + y1) / 2 + ny * (out + half * Math.abs(ny))], turn: 0 };
}

/** An edge from a state to itself, on the side away from the others. */
function loop([x, y], count, lines) {
  const turn = count <= 2 ? -Math.PI / 2 : Math.atan2(y, x);
  const at = (angle, distance) => [x + distance * Math.cos(turn + angle), y + distance * Math.sin(turn + angle)];
  const [a, b, c, d] = [at(-0.5, RADIUS), at(0.5, RADIUS), at(-0.62, 3.1 * RADIUS), at(0.62, 3.1 * RADIUS)];
  const half = (Math.min(lines, LABELS + 1) * LINE) / 2, far = 2.45 * RADIUS + 8 + half * Math.abs(Math.sin(turn)) + 34 * Math.abs(Math.cos(turn));
  return { d: `M${a}C${c} ${d} ${b}`, at: at(0, far), turn: 0 };
}
