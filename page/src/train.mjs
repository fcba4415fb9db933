// A fresh network learns before the viewer's eyes, and can then be looked into like any other.

import { digitsOfMap } from "./errors.mjs";
import { sized } from "./formula.mjs";
import { h, paint, pixels, typed } from "./dom.mjs";
import { paintMap } from "./maps.mjs";
import { Network } from "./network.mjs";
import { askMap, begin, plain } from "./workers.mjs";

const BATCH = 32;
const NUMBER = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const CONTROLS = {
  hidden: { low: 1, high: 64, start: 16 },
  step: { low: 0.0001, high: 1, start: 0.02 },
  seed: { low: 0, high: 999999, start: 1 },
};
const BLANK = 16, blank = () => [200, 200, 200];
const SPEEDS = [10, 50, 200, Infinity];

export function train(scene, say, signal, look) {
  const { task, network } = scene, digits = digitsOfMap(task), settings = settingsFromAddress();
  let training = null; // the one that is seen; what comes late of an earlier one is dropped

  const message = h("p", { class: "message", role: "alert" });
  const inputs = Object.fromEntries(Object.entries(CONTROLS).map(([key, { low, high }]) => [key,
    h("input", { type: "text", inputmode: key === "step" ? "decimal" : "numeric", autocomplete: "off", id: `train-${key}`, title: `${low}–${high}`, value: settings[key], onchange: reset })]));
  const speed = h("select", { id: "train-speed", onchange: () => {
    remember();
    if (training?.running) training.worker.postMessage({ kind: "run", speed: SPEEDS[+speed.value] });
  } }, SPEEDS.map((pace, i) => h("option", { value: i, selected: i === settings.speed }, pace === Infinity ? say("train.fast") : say("train.slow", { n: pace }))));
  const go = h("button", { class: "primary", onclick: toggle }, say("train.start"));
  const again = h("button", { onclick: reset, disabled: true }, say("train.reset"));
  const lookAt = h("button", { onclick: show, disabled: true }, say("train.look"));
  const state = h("p", { class: "hint", "aria-live": "off" });
  const count = h("p", { class: "big", "aria-live": "polite" });
  const canvas = pixels(BLANK, BLANK, blank, { role: "img", "aria-label": say("train.map"), style: "max-width:380px" });
  const trace = h("canvas", { width: 640, height: 220, class: "wide", role: "img", "aria-label": say("curve.error"), style: "margin-top:10px" });

  function read() {
    for (const [key, { low, high }] of Object.entries(CONTROLS)) {
      const text = typed(inputs[key]).trim(), value = NUMBER.test(text) ? +text : NaN;
      if (!(value >= low && value <= high) || !(key === "step" || Number.isInteger(value))) {
        message.textContent = say(key === "step" ? "train.bad" : "train.whole", { name: say(`train.${key}`), low: String(low), high: String(high) });
        inputs[key].setAttribute("aria-invalid", "true");
        return false;
      }
      inputs[key].removeAttribute("aria-invalid");
      settings[key] = value;
    }
    message.textContent = "";
    return true;
  }

  /** Keep the settings in the address, so that it can be handed on. */
  function remember() {
    settings.speed = +speed.value;
    const text = Object.keys(CONTROLS).map((key) => `${key}=${settings[key]}`).join("&");
    try {
      history.replaceState(null, "", `#train?${text}&speed=${settings.speed}`);
    } catch {
      // a page within another may have no address to change
    }
  }

  function toggle() {
    if (training?.running) {
      training.running = false;
      training.worker.postMessage({ kind: "pause" });
      go.textContent = say("train.go");
      return;
    }
    if (!read()) return;
    remember();
    try {
      training ??= start();
    } catch (error) {
      message.textContent = say("train.failed", { reason: error.message });
      return;
    }
    training.running = true;
    training.worker.postMessage({ kind: "run", speed: SPEEDS[+speed.value] });
    go.textContent = say("train.pause");
    again.disabled = false;
  }

  /** A fresh training: its worker, and all that is known of it. */
  function start() {
    const worker = begin(), formulas = sized(network.formulas, settings.hidden), metrics = { problem: [], error: [], right: [], stage: [] };
    const mine = { worker, formulas, metrics, settings: { ...settings }, snapshots: [], latest: null, running: false, mapping: false, done: false };
    const keep = () => mine.snapshots.push({ problem: mine.latest.updates * BATCH, network: networkOf(mine) });
    worker.onmessage = ({ data }) => {
      if (mine !== training) return;
      mine.latest = data;
      if (data.updates === 0) keep();
      if (data.error === null) return;
      metrics.problem.push(data.updates * BATCH);
      metrics.error.push(data.error);
      metrics.right.push(data.right);
      metrics.stage.push("Adam");
      state.textContent = say("train.state", { updates: data.updates, problems: data.updates * BATCH, error: data.error.toFixed(3) });
      lookAt.disabled = false;
      const before = mine.snapshots.at(-1)?.problem ?? 0;
      if (data.updates * BATCH >= Math.max(500, 1.5 * before) && mine.snapshots.length < 24) keep();
      drawTrace(metrics);
      drawMap(mine);
    };
    worker.postMessage({ kind: "begin", task: plain(task), speed: SPEEDS[+speed.value], settings: { ...settings, formulas, batch: BATCH, digits } });
    return mine;
  }

  const networkOf = ({ formulas, latest }) => new Network(task, formulas, latest.weights);

  /** Draw the errors of a training's latest network, and again if there is a later one by then. */
  async function drawMap(mine) {
    if (mine.mapping) return;
    mine.mapping = true;
    for (let now = null; now !== mine.latest; ) {
      now = mine.latest;
      const map = await askMap(networkOf(mine), digits);
      if (signal.aborted || mine !== training) return;
      paintMap(canvas, map);
      const pairs = map.size ** 2, all = map.right === pairs;
      if (all && !mine.done && mine.running) toggle(); // it has learned all that can be seen here
      mine.done ||= all;
      count.textContent = all ? say("train.done", { pairs }) : say("errors.count", { right: map.right, pairs });
      count.className = all ? "big good" : "big";
    }
    mine.mapping = false;
  }

  function drawTrace(metrics) {
    const context = trace.getContext("2d"), { width, height } = trace, style = getComputedStyle(trace);
    const last = metrics.problem.at(-1), low = Math.log10(1e-4), high = Math.log10(Math.max(...metrics.error, 1));
    const at = (e) => height - 6 - ((Math.log10(Math.max(e, 1e-4)) - low) / (high - low)) * (height - 12);
    context.clearRect(0, 0, width, height);
    context.strokeStyle = style.getPropertyValue("--s1");
    context.lineWidth = 3;
    context.beginPath();
    metrics.error.forEach((e, i) => context.lineTo((metrics.problem[i] / last) * width, at(e)));
    context.stroke();
    context.fillStyle = style.getPropertyValue("--soft");
    context.font = "22px system-ui";
    context.fillText(say("curve.error"), 10, height - 14);
  }

  function reset() {
    training?.worker.terminate();
    training = null;
    count.textContent = state.textContent = "";
    canvas.width = canvas.height = BLANK;
    paint(canvas, blank);
    trace.getContext("2d").clearRect(0, 0, trace.width, trace.height);
    go.textContent = say("train.start");
    again.disabled = lookAt.disabled = true;
    if (read()) remember();
  }

  /** Hand the network to the views. */
  async function show() {
    if (training.running) toggle();
    const mine = training, { latest } = mine, final = networkOf(mine), problem = latest.updates * BATCH;
    const snapshots = [...mine.snapshots.filter((each) => each.problem < problem), { problem, network: final }];
    const metrics = Object.fromEntries(Object.entries(mine.metrics).map(([key, values]) => [key, [...values]]));
    const map = await askMap(final, digits);
    if (signal.aborted || mine !== training) return;
    // of three numbers and more the picture shows some of the problems, and not all up to a length
    const picture = { pairs: map.size ** 2, right: map.right, missed: map.missed }, whole = task.operands <= 2;
    look({
      kind: "here", task, network: final, snapshots, metrics, picture,
      evaluation: whole ? { exhaustive: { pairs: picture.pairs, right: map.right, digits, margin: map.margin }, sampled: [] } : null,
      proof: null, learned: null, plane: null, regions: null, settings: mine.settings, updates: latest.updates,
    });
  }

  signal.addEventListener("abort", () => training?.worker.terminate());
  const field = (key, input) => h("div", { class: "field" }, h("label", { for: `train-${key}` }, say(`train.${key}`)), input);
  return [
    h("p", { class: "prose" }, say("train.text", { batch: BATCH })),
    h("div", { class: "card" },
      h("div", { class: "numbers" }, Object.keys(CONTROLS).map((key) => field(key, inputs[key])), field("speed", speed)),
      message, h("div", { class: "actions" }, go, again, lookAt),
      h("div", { class: "two", style: "margin-top:20px" }, h("div", {}, canvas), h("div", {}, count, state, trace))),
  ];
}

/** The settings that the page's address asks for, where they are such. */
function settingsFromAddress() {
  const asked = new URLSearchParams(location.hash.split("?")[1] ?? "");
  const settings = Object.fromEntries(Object.entries(CONTROLS).map(([key, { low, high, start }]) => {
    const value = Number(asked.get(key));
    return [key, asked.has(key) && value >= low && value <= high ? value : start];
  }));
  settings.speed = SPEEDS[asked.get("speed")] ? +asked.get("speed") : SPEEDS.length - 1;
  return settings;
}
