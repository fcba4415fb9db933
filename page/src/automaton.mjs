// The machine that the network has learned, with the state that the calculator is in.  Of a network
// that was trained here, the machine of the task, with what the network answers otherwise.

import { h, s, watchWidth } from "./dom.mjs";
import { holding, statesAlong } from "./task.mjs";

export function automaton(scene, say, signal) {
  const { task, subject } = scene, { picture } = subject;
  if (picture) {
    const { missed, pairs } = picture, none = missed.length === 0;
    const about = say.all(["automaton.task", none ? "automaton.kept" : "automaton.missed"], { pairs, n: missed.length });
    return drawing(scene, say, signal, about, { ...task, names: task.states, missed: new Set(missed) });
  }
  const { learned } = subject;
  if (learned === null) return [h("p", { class: "prose" }, say("automaton.unsought", { m: task.states.length, s: task.symbols.length }))];
  const count = learned.states.length, about = say("automaton.text");
  // what it answers where nothing is asked counts here too
  const partial = task.output.some((row) => row.includes(null)) ? "automaton.free" : "automaton.partial";
  if (!learned.complete)
    return drawing(scene, say, signal, [about, say.gap, h("b", {}, say(partial, { n: learned.found - 1 })), say.gap, say("automaton.part", { n: count - 1 })], learned);
  const values = { n: count, m: task.states.length, tested: learned.tested }, same = count === task.states.length ? "automaton.same" : "automaton.alike";
  const text = [about, say.gap, h("b", {}, say(learned.same ? same : "automaton.differs", values)), say.gap, say("automaton.tested", values)];
  return drawing(scene, say, signal, text, learned);
}

const MOST_ZOOM = 2.4, MOST_GROWN = 1.55, MOST_TURNS = 20, MARGIN = 8, GAP = 6;
const POINTS = 120, CLEAR = 3; // of an edge, to see what it crosses, and how far from it labels stand
const MOVES = [-4, -3, -2, -1, 0, 1, 2, 3, 4].flatMap((x, _, all) => all.map((y) => [x, y])).sort((a, b) => Math.hypot(...a) - Math.hypot(...b));

/** Points along an edge. */
const along = (path) => Array.from({ length: POINTS + 1 }, (_, i) => path.getPointAtLength((path.getTotalLength() * i) / POINTS));

/**
 * Put labels where they should stand: those that would meet, beside each other, and beside the nodes; and those
 * across which an edge runs, the least way off where none does, as far as there is such a place near by.
 */
function apart(texts, line, nodes, radius, paths) {
  const fixed = nodes.map(([x, y]) => ({ x, y, across: radius, down: radius })), places = texts.map(({ x, y }) => ({ x, y }));
  const put = () => texts.map(({ lines }, k) => {
    const { x, y } = places[k], widths = lines.map(({ element, row }) => {
      element.setAttribute("x", x);
      element.setAttribute("y", y + 5 + row * line);
      return element.getComputedTextLength();
    });
    return { across: Math.max(...widths) / 2, down: (lines.length * line) / 2 };
  });
  put().forEach((halves, k) => Object.assign(places[k], halves));
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    let met = false;
    places.forEach((one, i) => [...places.slice(0, i), ...fixed].forEach((other) => {
      const [dx, dy] = [one.x - other.x, one.y - other.y];
      const across = one.across + other.across + GAP - Math.abs(dx), down = one.down + other.down - Math.abs(dy);
      if (across <= 0 || down <= 0) return;
      met = true;
      const [axis, by] = across < down ? ["x", (Math.sign(dx) || 1) * across] : ["y", (Math.sign(dy) || 1) * down];
      const share = fixed.includes(other) ? 1 : 0.5;
      one[axis] += share * by;
      other[axis] -= (1 - share) * by;
    }));
    if (!met) break;
  }
  const edges = paths.map(along), meet = (a, b, gap) => Math.abs(a.x - b.x) < a.across + b.across + gap && Math.abs(a.y - b.y) < a.down + b.down;
  const everything = [...places, ...fixed], reach = (axis, half, sign) => Math.max(...everything.map((each) => sign * each[axis] + each[half]));
  const sides = [["x", "across", 1], ["x", "across", -1], ["y", "down", 1], ["y", "down", -1]].map((side) => [...side, reach(...side)]);
  const inside = (place) => sides.every(([axis, half, sign, most]) => sign * place[axis] + place[half] <= most); // or all would have to be smaller
  places.forEach((one, k) => {
    const others = [...places.slice(0, k), ...places.slice(k + 1), ...fixed];
    const on = (place) => ({ x, y }) => Math.abs(x - place.x) < one.across + CLEAR && Math.abs(y - place.y) < one.down;
    const within = (place) => edges.reduce((sum, points) => sum + points.filter(on(place)).length, 0);
    if (!within(one)) return;
    const moved = MOVES.map(([x, y]) => ({ ...one, x: one.x + (x * line) / 2, y: one.y + (y * line) / 2 }));
    const free = moved.filter((place) => inside(place) && !others.some((other) => meet(place, other, GAP)));
    const best = free.reduce((least, place) => (within(place) < within(least) ? place : least), free[0] ?? one);
    Object.assign(one, best);
  });
  put();
}

/** A machine drawn as `machine.drawing` says, which drawing.py has laid out. */
function drawing(scene, say, signal, about, machine) {
  const { task } = scene, { drawing, missed } = machine;
  const text = h("p", { class: "prose" }, about, say.gap, say(drawing ? "automaton.lit" : "automaton.many"));
  if (!drawing) return [text];

  const { radius, line, places, edges, arrow, box, lines } = drawing, marker = "carrynet-arrow", symbols = task.symbols.length;
  const path = (d, kind) => s("path", { d, class: kind, "marker-end": `url(#${marker})` });
  const paths = new Map(), labels = [], texts = []; // of each edge its label, line by line
  for (const { start: q, end: r, symbols: read, path: d, at: [x, middle] } of edges) {
    paths.set(`${q},${r}`, path(d));
    const more = read.length - lines, count = Math.min(read.length, lines + 1);
    const lined = { x, y: middle, lines: [] };
    const write = (text, i, a, kind) => {
      const element = s("text", { class: `label ${kind}` }, text);
      labels.push({ q, a, element });
      lined.lines.push({ element, row: i - (count - 1) / 2 });
    };
    texts.push(lined);
    read.slice(0, lines).forEach((a, i) => {
      const wrong = missed?.has(q * symbols + a), output = task.outputs[machine.output[q][a]] ?? "-";
      write(`${task.numeric ? task.symbols[a].replaceAll(",", " ") : task.symbols[a]} / ${output}${wrong ? " ✗" : ""}`, i, a, wrong ? "wrong" : "");
    });
    const hidden = read.slice(lines).filter((a) => missed?.has(q * symbols + a)).length;
    if (more > 0) write(`+${more}${hidden ? ` (${hidden} ✗)` : ""}`, lines, -1, hidden ? "wrong" : "");
  }
  // a state's own name, and below it what the task's machine holds there
  const holdsAt = (name) => (name && task.memory !== "state" ? holding(task, name, say) : name);
  const nodes = places.map(([x, y], q) => {
    const holds = holdsAt(machine.names[q]), own = machine.states[q] !== machine.names[q];
    return s("g", {}, s("circle", { cx: x, cy: y, r: radius }),
      own ? s("text", { class: "state", x, y, dy: holds ? "0em" : ".35em" }, machine.states[q]) : null,
      holds ? s("text", { class: own || holds.length > 4 ? "holds" : "state", x, y, dy: own ? "1.3em" : ".35em" }, holds) : null);
  });
  const head = s("marker", { id: marker, viewBox: "0 0 9 9", refY: 4.5, markerWidth: 9, markerHeight: 9, orient: "auto", markerUnits: "userSpaceOnUse" }, s("path", { class: "head", d: "M0 0 9 4.5 0 9z" }));
  const svg = s("svg", { class: "automaton", viewBox: box.join(" "), width: Math.min(box[2] * 1.15, 1000), role: "img", style: "margin:0 auto" }, s("defs", {}, head),
    path(arrow), [...paths.values()], nodes, labels.map(({ element }) => element));

  // where there is little room, letters keep their size, and what they need is room around; what
  // they stand in grows with them, and heads of arrows stand as far back
  const card = h("div", { class: "card" }, svg, h("p", { class: "hint", style: "text-align:center;margin-inline:auto" }, say("automaton.edges")));
  const fit = () => {
    const zoom = Math.max(1, Math.min(MOST_ZOOM, box[2] / (svg.getBoundingClientRect().width || box[2])));
    svg.style.setProperty("--zoom", zoom);
    const grown = radius * Math.min(zoom, MOST_GROWN);
    for (const node of nodes) node.firstChild.setAttribute("r", grown);
    head.setAttribute("refX", 8.5 + grown - radius);
    apart(texts, line * zoom, places, grown, [...paths.values()]);
    const { x, y, width, height } = svg.getBBox();
    svg.setAttribute("viewBox", [x - MARGIN, y - MARGIN, width + 2 * MARGIN, height + 2 * MARGIN].join(" "));
  };
  watchWidth(card, fit, signal);

  let visited = [0];
  scene.follow(["problem"], () => (visited = statesAlong(machine, scene.work.word)), signal);
  scene.follow(["problem", "position"], () => {
    const now = visited[scene.position + 1], before = visited[scene.position], read = scene.position < 0 ? null : scene.work.word[scene.position];
    nodes.forEach((node, q) => node.classList.toggle("lit", q === now));
    paths.forEach((path, key) => path.classList.toggle("taken", read !== null && key === `${before},${now}`));
    labels.forEach(({ q, a, element }) => element.classList.toggle("read", read !== null && q === before && a === read));
    svg.setAttribute("aria-label", say("automaton.label", { state: machine.states[now] }));
  }, signal);
  return [text, card];
}
