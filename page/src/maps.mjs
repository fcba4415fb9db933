// The error map: a picture of every problem, at several moments of the training.

import { digitsOfMap, operandsAt } from "./errors.mjs";
import { h, paint, pixels } from "./dom.mjs";
import { askMap } from "./workers.mjs";

const BEAT = 400; // milliseconds that a moment is shown for where the training is played

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
  const opening = matchMedia("(prefers-reduced-motion: reduce)").matches ? standing(scene, maps, signal) : playing(scene, maps, canvas, signal);
  const todo = new Set(snapshots.keys());
  (async () => {
    while (todo.size && !signal.aborted) {
      // a moment that was chosen first, then what tells most
      const i = [opening.chosen() ? scene.moment : null, opening.wants(), ...todo].find((each) => todo.has(each));
      const map = await askMap(snapshots[i].network, digits);
      if (signal.aborted) return;
      todo.delete(i);
      maps[i] = map;
      paintMap(thumbs[i].firstChild, map);
      if (i === scene.moment) show();
      opening.made(i);
    }
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

// Maps take a while, and a reader may be there before them: what the map opens with is chosen among
// those that are made, and says which to make next.  Once a moment was chosen, it chooses none.

/** Moments that are chosen for the reader, until the reader, or another view, chooses one. */
function choosing(scene, signal) {
  let own = false, chosen = false;
  scene.addEventListener("moment", () => (chosen ||= !own), { signal });
  const move = (moment) => {
    own = true;
    scene.choose(moment);
    own = false;
  };
  return { move, chosen: () => chosen };
}

const isRight = (map) => map.right === map.size ** 2;

/**
 * Where motion is not wanted: the moment at which most is undecided, of the maps that there are.
 * Since networks get better as they learn, it is looked for by halves.
 */
function standing(scene, maps, signal) {
  const { move, chosen } = choosing(scene, signal), share = (i) => maps[i].right / maps[i].size ** 2;
  const undecided = (i) => (maps[i] ? 0.5 - Math.abs(share(i) - 0.5) : -1);
  let low = -1, high = maps.length; // below half are right, and at least half
  const wants = () => (low + high) >> 1;
  const made = (i) => {
    if (i !== wants()) return;
    [low, high] = share(i) < 0.5 ? [i, high] : [low, i];
    if (!chosen() && (!maps[scene.moment] || undecided(i) > undecided(scene.moment))) move(i);
  };
  return { wants, chosen, made };
}

/** Else the training is played once, when it is seen, up to where all is right; where its next map is not made yet, it waits. */
function playing(scene, maps, canvas, signal) {
  const { move, chosen } = choosing(scene, signal), last = maps.length - 1;
  let now = -1, timer = null, seen = false;
  const over = () => signal.aborted || chosen() || now === last;
  const after = () => (now >= 0 && isRight(maps[now]) ? last : now + 1);
  const beat = () => {
    timer = null;
    if (over() || !seen || !maps[after()]) return;
    move((now = after()));
    if (!over()) timer = setTimeout(beat, BEAT);
  };
  const watch = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting) return;
    watch.disconnect();
    seen = true;
    beat();
  }, { threshold: 0.6 });
  if (last > 0) watch.observe(canvas);
  signal.addEventListener("abort", () => {
    watch.disconnect();
    clearTimeout(timer);
  });
  // the last is what is shown until then
  return { wants: () => (maps[last] ? after() : last), chosen, made: () => timer === null && beat() };
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
