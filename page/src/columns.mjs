// A problem in column form, the least significant column on the right, shown up to some column.

import { h, s } from "./dom.mjs";
import { brief, memoryOf } from "./task.mjs";

const ICONS = {
  again: "M8 2a6 6 0 1 0 6 6h-2a4 4 0 1 1-4-4v3l5-4-5-4z",
  first: "M3 3h2v10H3zM13 3v10L6 8z", previous: "M11 3v10L4 8z", play: "M4 2.5v11L13.5 8z",
  pause: "M4 3h3v10H4zM9 3h3v10H9z", next: "M5 3v10l7-5z", last: "M11 3h2v10h-2zM3 3v10l7-5z",
};

/** A picture for a button. */
const icon = (name) => s("svg", { class: "icon", viewBox: "0 0 16 16", width: 18, height: 18, "aria-hidden": "true" }, s("path", { d: ICONS[name] }));

const DIGITS = "0123456789abcdef", LARGE = 800;

/** Draw the columns of `scene.work` into an element, as many as it has room for; where there is more room, up to so wide. */
export function drawColumns(element, scene, say, widest = 0) {
  const { task, work, position } = scene, { steps, states } = work;
  const narrow = element.clientWidth < 560, large = widest && element.clientWidth >= LARGE; // as on a projector
  const usual = narrow ? 27 : large ? 54 : 36, { signs } = task;
  // the numbers as people write them stand beside their digits; the answer, once it is whole
  const name = (sign, number) => [sign, brief(number, narrow ? 9 : widest ? 13 : 17)].filter(Boolean).join(" ");
  const names = task.numeric ? scene.operands.map((operand, j) => name(signs[j], operand)) : [say("column.reads")], ended = position === steps.length - 1;
  const answer = task.numeric && ended ? task.writeAnswer(task.decode(steps.map((step) => step.output))) : "";
  const total = (task.numeric && name(task.equals, answer)) || say("column.says");
  const longest = Math.max(...[...names, total].map((text) => text.length));
  const label = Math.max(narrow ? 64 : large ? 150 : 120, longest * (narrow ? 7.5 : large ? 17 : widest ? 13.5 : 9.5) + 16);
  const width = Math.max(usual, Math.min(large ? 1.4 * widest : widest, Math.floor((element.clientWidth - label) / (steps.length + 1))));
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
      return { text: name, mark: [states[t] ? "on" : "", t === position + 1 ? "next" : ""].join(" ") };
    }, "memory"),
    ...names.map((text, j) => row(text, (t) => ({ text: task.numeric ? DIGITS[task.digitsOf(steps[t].symbol)[j]] : task.symbols[steps[t].symbol] }), "operand")),
    row(total, (t) => (t > position ? {} : { text: task.outputs[steps[t].output], mark: steps[t].right ? "" : "wrong" }), "answer"),
  ].filter(Boolean);
  if (steps.some(({ right }) => !right)) // from the start, so that what is below does not move when it goes wrong
    rows.push(row(h("span", { class: "hidden" }, say("table.marks")), (t) => ({ text: t <= position && !steps[t].right ? "✗" : "" }), "marks"));
  element.replaceChildren(h("table", { "aria-label": say("table.label"), style: `--column:${width}px` }, h("tbody", {}, rows)));
}

/** What a digit of a column stands for, base^t, in as many characters as there is room for. */
export function placeOf(base, t) {
  const value = base ** t;
  return value < 1000 ? String(value) : [String(base), h("sup", {}, String(t))];
}

/**
 * Play, step and scrub through a problem; playing ends at column `until`, or with the last.
 * Where it is to last so many `seconds` from a column `begin`, it needs few controls.
 */
export function player(scene, say, signal, { until = Infinity, begin = -1, seconds = null } = {}) {
  const ended = () => scene.position >= Math.min(until, scene.work.steps.length - 1);
  let timer = null, speed = seconds ? Math.max(0.8, (Math.min(until + 1, scene.work.steps.length) - begin - 1) / seconds) : 4;
  const name = (picture, key) => {
    play.replaceChildren(icon(picture), seconds ? ` ${say(key)}` : "");
    if (!seconds) play.setAttribute("aria-label", say(key));
  };
  const rest = () => (seconds && ended() ? name("again", "again") : name("play", "play"));
  const stop = () => {
    clearInterval(timer);
    timer = null;
    rest();
  };
  const start = () => {
    clearInterval(timer);
    timer = setInterval(() => {
      scene.go(scene.position + 1);
      if (ended()) stop();
    }, 1000 / speed);
    name("pause", "pause");
    if (ended()) scene.go(begin);
  };
  const act = (name, action) =>
    h("button", { class: "round", "aria-label": say(name), title: say(name), onclick: () => { stop(); action(); } }, icon(name));
  const play = h("button", { class: seconds ? "primary" : "round primary", onclick: () => (timer ? stop() : start()) });
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
  const steps = [act("previous", () => scene.go(scene.position - 1)), play, act("next", () => scene.go(scene.position + 1))];
  const all = [act("first", () => scene.go(-1)), ...steps, act("last", () => scene.go(Infinity)), scrub, h("label", { class: "speed" }, say("speed"), pace), count];
  const element = h("div", { class: "player" }, seconds ? [...steps, scrub, count] : all);
  scene.follow(["problem"], () => {
    first = scene.work.steps.findIndex((step) => !step.right);
    wrong.textContent = say("column.first", { t: first });
    if (first < 0) wrong.remove();
    else if (!seconds) element.append(wrong);
  }, signal);
  scene.follow(["problem", "position"], () => {
    scrub.max = scene.work.steps.length;
    scrub.value = scene.position + 1;
    const values = { t: scene.position + 1, n: scene.work.steps.length };
    count.textContent = say("column.short", values);
    scrub.setAttribute("aria-valuetext", say("column.count", values));
    if (!timer) rest();
  }, signal);
  scene.addEventListener("problem", stop, { signal });
  signal.addEventListener("abort", stop);
  return { element, start, stop, playing: () => timer !== null };
}
