// The error map: a picture of every problem, at several moments of the training.

import { digitsOfMap, operandsAt } from "./errors.mjs";
import { h, paint, pixels } from "./dom.mjs";
import { askMap } from "./workers.mjs";

const PLAYED = 4500; // milliseconds, for all moments

/** Colours for 0, 1, 2, ... wrong digits; dark is bad, and 0 stands apart. */
const WRONG = [[232, 240, 236], [253, 202, 120], [245, 140, 70], [222, 80, 70], [172, 40, 96], [112, 22, 104], [60, 12, 86], [28, 6, 60]];

export const colourOf = (count) => WRONG[Math.min(count, WRONG.length - 1)];

/** Paint a map with its first problem below on the left. */
export function paintMap(canvas, map) {
  canvas.width = canvas.height = map.size;
  paint(canvas, (x, y) => colourOf(map.wrong[(map.size - 1 - y) * map.size + x]));
}

/** A picture of all problems between its axes, named. */
export function betweenAxes(task, picture, say) {
  const most = task.base ** digitsOfMap(task) - 1, one = task.operands === 1 ? "1" : "";
  const along = (side, axis) => h("span", { class: side }, `${say(`errors.${axis}${one}`, { most })} →`);
  return h("div", { class: "axes" }, along("up", "y"), picture, along("across", "x"));
}

/** What the colours of the picture mean. */
export function mapLegend(task, say) {
  const most = Math.min(digitsOfMap(task) + task.headroom, WRONG.length - 1);
  const name = (n) => (n === 0 ? say("errors.none") : n === WRONG.length - 1 ? `${n}+` : String(n));
  const each = Array.from({ length: most + 1 }, (_, n) => h("li", {}, h("i", { style: `background:rgb(${colourOf(n)})` }), name(n)));
  return h("ul", { class: "legend" }, h("li", {}, say(task.digital ? "errors.legend" : "errors.outputs")), each);
}

export function errorMaps(scene, say, signal) {
  const { task, subject } = scene, { snapshots } = subject, digits = digitsOfMap(task), blank = 16;
  const maps = new Array(snapshots.length).fill(null);
  const canvas = pixels(blank, blank, () => [128, 128, 128], { role: "application", tabindex: 0, "aria-label": say("errors.busy") });
  const busy = h("div", { class: "busy" }, say("errors.busy"));
  const count = h("p", { class: "big" }), when = h("p", { class: "prose" }), hint = h("p", { class: "hint", "aria-live": "polite" });
  const slider = momentSlider(scene, say, signal);
  const moments = inRow(snapshots, say);
  const thumbs = snapshots.map((each, i) => {
    const small = pixels(1, 1, () => [128, 128, 128], { "aria-hidden": "true" });
    const text = each.problem === null ? "" : moments.number(each.problem), name = nameOf(each, moments);
    return h("button", { "aria-pressed": "false", "aria-label": [text, name].filter(Boolean).join(": "), onclick: () => scene.choose(i) }, small, text);
  });
  const name = () => nameOf(snapshots[scene.moment], moments);

  const show = () => {
    const map = maps[scene.moment];
    when.textContent = name();
    thumbs.forEach((thumb, i) => thumb.setAttribute("aria-pressed", String(i === scene.moment)));
    busy.hidden = map !== null;
    busy.style.display = map ? "none" : "";
    if (!map) return;
    paintMap(canvas, map);
    const pairs = map.size ** 2;
    count.textContent = say.running("errors.count", { right: map.right, pairs });
    count.className = map.right === pairs ? "big good" : "big";
    canvas.setAttribute("aria-label", `${name()}: ${count.textContent}`);
  };

  // a place of the picture, that is pointed at or that arrow keys have come to
  const cursor = h("div", { class: "cursor" });
  let at = { x: 0, y: 0 };
  const come = (x, y) => {
    const map = maps[scene.moment];
    if (!map) return;
    at = { x: Math.max(0, Math.min(map.size - 1, x)), y: Math.max(0, Math.min(map.size - 1, y)) };
    cursor.style.left = `${(100 * (at.x + 0.5)) / map.size}%`;
    cursor.style.bottom = `${(100 * (at.y + 0.5)) / map.size}%`;
    const operands = operandsAt(task, map.size, at.x, at.y), n = map.wrong[at.y * map.size + at.x];
    const problem = task.write(operands, rightAt(task, operands, digits));
    hint.textContent = say("errors.point", { problem, outcome: n ? say("errors.wrong", { n }) : say("errors.right") });
  };
  const work = () => maps[scene.moment] && scene.pose(operandsAt(task, maps[scene.moment].size, at.x, at.y), digits);
  const point = (event) => {
    const box = canvas.getBoundingClientRect(), { size } = maps[scene.moment] ?? { size: 1 };
    come(Math.floor(((event.clientX - box.left) / box.width) * size), size - 1 - Math.floor(((event.clientY - box.top) / box.height) * size));
  };
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("click", (event) => { point(event); work(); });
  canvas.addEventListener("focus", () => (hint.textContent = say("errors.keys")));
  canvas.addEventListener("keydown", (event) => {
    const pace = event.shiftKey ? 16 : 1, [dx, dy] = ARROWS[event.key] ?? [0, 0], works = ["Enter", " "].includes(event.key);
    if (!works && !ARROWS[event.key]) return;
    event.preventDefault();
    if (works) work();
    else come(at.x + pace * dx, at.y + pace * dy);
  });

  scene.follow(["moment"], show, signal);
  let touched = false;
  scene.addEventListener("moment", () => (touched = true), { signal });
  // the last first: it is the one that is shown
  const order = snapshots.map((_, i) => i).sort((a, b) => (b === scene.moment) - (a === scene.moment) || a - b);
  (async () => {
    for (const i of order) {
      const map = await askMap(snapshots[i].network, digits);
      if (signal.aborted) return;
      maps[i] = map;
      paintMap(thumbs[i].firstChild, map);
      if (i === scene.moment) show();
    }
    if (maps.length > 1 && !touched) begin(scene, canvas, maps, signal);
  })();

  const keys = [task.operands === 1 ? "errors.text1" : "errors.text", task.operands > 2 && "errors.rest", snapshots.length > 1 && "errors.slider"];
  return [
    h("p", { class: "prose" }, say.all(keys, { digits, base: task.base })),
    h("div", { class: "card two" },
      h("div", {}, betweenAxes(task, h("div", { class: "map" }, canvas, cursor, busy), say), hint),
      h("div", {},
        count, when, snapshots.length > 1 ? slider : null,
        snapshots.length > 1 ? h("div", { class: "strip" }, thumbs) : null,
        mapLegend(task, say))),
  ];
}

/**
 * Begin where the picture says most: the training is played once, when it is seen, up to where all is right.  Where motion
 * is not wanted, the moment at which most is undecided is shown.  Nothing is done once one was chosen.
 */
function begin(scene, canvas, maps, signal) {
  let mine = scene.moment;
  const shares = maps.map((map) => map.right / map.size ** 2), last = maps.length - 1;
  const free = () => !signal.aborted && scene.moment === mine;
  const move = (moment) => scene.choose((mine = moment));
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
    move(shares.reduce((best, share, i) => (Math.abs(share - 0.5) < Math.abs(shares[best] - 0.5) ? i : best), last));
    return;
  }
  const seen = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    seen.disconnect();
    const done = shares.indexOf(1), moments = maps.map((_, i) => i).filter((i) => done < 0 || i <= done || i === last);
    const timer = setInterval(() => {
      if (free()) move(moments.shift());
      if (!free() || !moments.length) clearInterval(timer);
    }, PLAYED / moments.length);
  }, { threshold: 0.6 });
  seen.observe(canvas);
  signal.addEventListener("abort", () => seen.disconnect());
}

/** A slider over the moments of the training, which all views follow. */
export function momentSlider(scene, say, signal) {
  const { snapshots } = scene.subject, moments = inRow(snapshots, say);
  const slider = h("input", { type: "range", class: "wide moment", min: 0, max: snapshots.length - 1, "aria-label": say("errors.moment"), oninput: () => scene.choose(+slider.value) });
  scene.follow(["moment"], () => {
    slider.value = scene.moment;
    slider.setAttribute("aria-valuetext", nameOf(snapshots[scene.moment], moments));
  }, signal);
  return slider;
}

/** The right answer; 0 for digits of which nothing is asked. */
function rightAt(task, operands, digits) {
  const { outputs } = task.run(task.encode(operands, task.numeric && task.first !== "most" ? 1 : digits));
  return task.rightAnswer(outputs, outputs.map(() => 0));
}

/** How to speak of the moments of a training, which follow each other: their numbers are one row. */
export const inRow = (snapshots, say) => say.row(snapshots.flatMap(({ problem, edges = 0 }) => [problem ?? 0, problem - edges, edges]));

/** What a snapshot is called. */
export function nameOf({ problem, again = false, edges = 0 }, say) {
  if (problem === null) return say("errors.now");
  if (problem === 0) return say(again ? "errors.again" : "errors.start");
  if (edges) return say("errors.after.edges", { problems: problem - edges, edges });
  return say("errors.after", { problems: problem });
}
