// A problem in column form, the least significant column on the right, shown up to some column.

import { h, s } from "./dom.mjs";
import { brief, memoryOf } from "./task.mjs";

const ICONS = {
  first: "M3 3h2v10H3zM13 3v10L6 8z", previous: "M11 3v10L4 8z", play: "M4 2.5v11L13.5 8z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z", next: "M5 3v10l7-5z", last: "M11 3h2v10h-2zM3 3v10l7-5z",
};

/** A picture for a button. */
const icon = (name) => s("svg", { class: "icon", viewBox: "0 0 16 16", width: 18, height: 18, "aria-hidden": "true" }, s("path", { d: ICONS[name] }));

const DIGITS = "0123456789abcdef";

/** Draw the columns of `scene.work` into an element, as many as it has room for. */
export function drawColumns(element, scene, say) {
  const { task, work, position } = scene, { steps, states } = work;
  const narrow = element.clientWidth < 560, width = narrow ? 27 : 36, { signs } = task;
  // the numbers as people write them stand beside their digits; the answer, once it is whole
  const name = (sign, number) => [sign, brief(number, narrow ? 9 : 17)].filter(Boolean).join(" ");
  const names = scene.operands.map((operand, j) => name(signs[j], operand)), ended = position === steps.length - 1;
  const total = name(task.numeric ? task.equals : "", ended ? task.writeAnswer(task.decode(steps.map((step) => step.output))) : "");
  const longest = Math.max(...[...names, total].map((text) => text.length));
  const label = Math.max(narrow ? 64 : 120, longest * (narrow ? 7.5 : 9.5) + 16);
  const room = Math.max(4, Math.floor((element.clientWidth - label) / width) - 1);
  const most = Math.min(room, steps.length);
  // the window of columns around the one that is read: [from, from + most)
  const from = Math.max(0, Math.min(position - (most >> 1), steps.length - most));
  // numbers as people write them, whichever end is read first; words as they are read
  const falling = task.numeric && task.first !== "most";
  const shown = Array.from({ length: most }, (_, i) => (falling ? from + most - 1 - i : from + i));
  const ends = [from + most < steps.length, from > 0], [before, after] = falling ? ends : ends.reverse();

  const isLong = ({ text = "" }) => typeof text === "string" && text.length > 2;
  const row = (name, cell, kind) => {
    const cells = shown.map((t) => [t, cell(t)]), small = kind !== "places" && cells.some(([, found]) => isLong(found));
    return h("tr", { class: small ? `${kind} small` : kind },
      h("th", { scope: "row" }, name),
      h("td", { class: "more" }, before && kind !== "marks" ? "…" : ""),
      cells.map(([t, { text = "", mark = "", title = text }]) => {
        const classes = [t === position ? "now" : "", mark].join(" ").trim();
        return h("td", { class: classes || null, title: title || null, onclick: () => scene.go(t) }, text);
      }),
      after ? h("td", { class: "more" }, kind === "marks" ? "" : "…") : null,
    );
  };
  const rows = [
    task.numeric ? row(say("table.places"), (t) => {
      const place = task.first === "most" ? steps.length - 1 - t : t;
      return { text: placeOf(task.base, place), title: `${task.base}^${place}` };
    }, "places") : null,
    row(memoryOf(task, say), (t) => {
      if (t > position + 1) return {};
      const name = task.states[states[t]];
      return { text: name, mark: states[t] ? "on" : "" };
    }, "memory"),
    ...names.map((text, j) => row(text, (t) => ({ text: task.numeric ? DIGITS[task.digitsOf(steps[t].symbol)[j]] : task.symbols[steps[t].symbol] }), "operand")),
    row(total, (t) => (t > position ? {} : { text: task.outputs[steps[t].output], mark: steps[t].right ? "" : "wrong" }), "answer"),
  ].filter(Boolean);
  if (shown.some((t) => t <= position && !steps[t].right))
    rows.push(row("", (t) => ({ text: t <= position && !steps[t].right ? "✗" : "" }), "marks"));
  element.replaceChildren(h("table", { "aria-label": say("table.label") }, h("tbody", {}, rows)));
}

/** What a digit of a column stands for, base^t, in as many characters as there is room for. */
export function placeOf(base, t) {
  const value = base ** t;
  return value < 1000 ? String(value) : [String(base), h("sup", {}, String(t))];
}

/** Play, step and scrub through a problem; playing ends at column `until`, or with the last. */
export function player(scene, say, signal, until = Infinity) {
  let timer = null, speed = 4;
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.replaceChildren(icon("play"));
    play.setAttribute("aria-label", say("play"));
  };
  const start = () => {
    if (scene.position >= Math.min(until, scene.work.steps.length - 1)) scene.go(-1);
    clearInterval(timer);
    timer = setInterval(() => {
      scene.go(scene.position + 1);
      if (scene.position >= Math.min(until, scene.work.steps.length - 1)) stop();
    }, 1000 / speed);
    play.replaceChildren(icon("pause"));
    play.setAttribute("aria-label", say("pause"));
  };
  const act = (name, action) =>
    h("button", { class: "round", "aria-label": say(name), title: say(name), onclick: () => { stop(); action(); } }, icon(name));
  const play = h("button", { class: "round primary", "aria-label": say("play"), onclick: () => (timer ? stop() : start()) }, icon("play"));
  const scrub = h("input", { type: "range", class: "scrub", min: 0, "aria-label": say("position"), oninput: () => { stop(); scene.go(+scrub.value - 1); } });
  const pace = h("input", { type: "range", min: 1, max: 30, value: speed, "aria-label": say("speed"),
    oninput: () => {
      speed = +pace.value;
      pace.setAttribute("aria-valuetext", say("speed.unit", { n: speed }));
      if (timer) start();
    } });
  const count = h("span", { class: "count" });
  let first = -1;
  const wrong = h("button", { class: "to-wrong", onclick: () => { stop(); scene.go(first); } });
  const element = h("div", { class: "player" },
    act("first", () => scene.go(-1)), act("previous", () => scene.go(scene.position - 1)), play,
    act("next", () => scene.go(scene.position + 1)), act("last", () => scene.go(Infinity)),
    scrub, h("label", { class: "speed" }, say("speed"), pace), count);
  scene.follow(["problem"], () => {
    first = scene.work.steps.findIndex((step) => !step.right);
    wrong.textContent = say("column.first", { t: first });
    if (first < 0) wrong.remove();
    else element.append(wrong);
  }, signal);
  scene.follow(["problem", "position"], () => {
    scrub.max = scene.work.steps.length;
    scrub.value = scene.position + 1;
    const values = { t: scene.position + 1, n: scene.work.steps.length };
    count.textContent = say("column.short", values);
    scrub.setAttribute("aria-valuetext", say("column.count", values));
  }, signal);
  scene.addEventListener("problem", stop, { signal });
  signal.addEventListener("abort", stop);
  return { element, start, stop };
}
