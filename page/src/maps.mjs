// The error map: a picture of every problem, at several moments of the training.

import { digitsOfMap, operandsAt } from "./errors.mjs";
import { h, paint, pixels } from "./dom.mjs";
import { askMap } from "./workers.mjs";

/** Colours for 0, 1, 2, ... wrong digits; dark is bad, and 0 stands apart. */
const WRONG = [[232, 240, 236], [253, 202, 120], [245, 140, 70], [222, 80, 70], [172, 40, 96], [112, 22, 104], [60, 12, 86], [28, 6, 60]];

export const colourOf = (count) => WRONG[Math.min(count, WRONG.length - 1)];

/** Paint a map with its first problem below on the left. */
export function paintMap(canvas, map) {
  canvas.width = canvas.height = map.size;
  paint(canvas, (x, y) => colourOf(map.wrong[(map.size - 1 - y) * map.size + x]));
}

export function errorMaps(scene, say, signal) {
  const { task, subject } = scene, { snapshots } = subject, digits = digitsOfMap(task), blank = 16;
  const maps = new Array(snapshots.length).fill(null);
  const canvas = pixels(blank, blank, () => [128, 128, 128], { role: "img", "aria-label": say("errors.busy") });
  const busy = h("div", { class: "busy" }, say("errors.busy"));
  const count = h("p", { class: "big" }), when = h("p", { class: "prose" }), hint = h("p", { class: "hint", "aria-live": "polite" });
  const slider = h("input", { type: "range", class: "wide moment", min: 0, max: snapshots.length - 1, "aria-label": say("errors.moment"), oninput: () => scene.choose(+slider.value) });
  const thumbs = snapshots.map((each, i) => {
    const small = pixels(1, 1, () => [128, 128, 128], { "aria-hidden": "true" });
    const text = each.problem === null ? "" : say.number(each.problem), name = nameOf(each, say);
    return h("button", { "aria-pressed": "false", "aria-label": [text, name].filter(Boolean).join(": "), onclick: () => scene.choose(i) }, small, text);
  });
  const name = () => nameOf(snapshots[scene.moment], say);

  const show = () => {
    const map = maps[scene.moment];
    slider.value = scene.moment;
    slider.setAttribute("aria-valuetext", name());
    when.textContent = name();
    thumbs.forEach((thumb, i) => thumb.setAttribute("aria-pressed", String(i === scene.moment)));
    busy.hidden = map !== null;
    busy.style.display = map ? "none" : "";
    if (!map) return;
    paintMap(canvas, map);
    const values = { right: map.right, pairs: map.size ** 2 };
    count.textContent = say("errors.count", values);
    count.className = map.right === values.pairs ? "big good" : "big";
    canvas.setAttribute("aria-label", `${name()}: ${say("errors.count", values)}`);
  };

  const at = (event) => {
    const map = maps[scene.moment], box = canvas.getBoundingClientRect();
    if (!map) return null;
    const place = (offset, length) => Math.max(0, Math.min(map.size - 1, Math.floor((offset / length) * map.size)));
    const x = place(event.clientX - box.left, box.width), y = map.size - 1 - place(event.clientY - box.top, box.height);
    return { operands: operandsAt(task, map.size, x, y), wrong: map.wrong[y * map.size + x] };
  };
  canvas.addEventListener("pointermove", (event) => {
    const point = at(event);
    if (!point) return;
    const problem = task.write(point.operands, rightAt(task, point.operands, digits));
    hint.textContent = say("errors.point", { problem, outcome: point.wrong ? say("errors.wrong", { n: point.wrong }) : say("errors.right") });
  });
  canvas.addEventListener("click", (event) => {
    const point = at(event);
    if (point) scene.pose(point.operands, digits);
  });

  scene.follow(["moment"], show, signal);
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
  })();

  const most = digits + task.headroom;
  const legend = Array.from({ length: Math.min(most, WRONG.length - 1) + 1 }, (_, n) =>
    h("li", {}, h("i", { style: `background:rgb(${colourOf(n)})` }), n === 0 ? say("errors.none") : n === WRONG.length - 1 ? `${n}+` : String(n)));
  const keys = [task.operands === 1 ? "errors.text1" : "errors.text", task.operands > 2 && "errors.rest", snapshots.length > 1 && "errors.slider"];
  return [
    h("p", { class: "prose" }, say.all(keys, { digits, base: task.base })),
    h("div", { class: "card two" },
      h("div", {}, h("div", { class: "map" }, canvas, busy), hint),
      h("div", {},
        count, when, snapshots.length > 1 ? slider : null,
        snapshots.length > 1 ? h("div", { class: "strip" }, thumbs) : null,
        h("ul", { class: "legend" }, h("li", {}, say(task.digital ? "errors.legend" : "errors.outputs")), legend))),
  ];
}

/** The right answer; 0 for digits of which nothing is asked. */
function rightAt(task, operands, digits) {
  const { outputs } = task.run(task.encode(operands, task.numeric && task.first !== "most" ? 1 : digits));
  return task.rightAnswer(outputs, outputs.map(() => 0));
}

/** What a snapshot is called. */
export function nameOf({ problem, again = false, edges = 0 }, say) {
  if (problem === null) return say("errors.now");
  if (problem === 0) return say(again ? "errors.again" : "errors.start");
  if (edges) return say("errors.after.edges", { problems: problem - edges, edges });
  return say("errors.after", { problems: problem });
}
