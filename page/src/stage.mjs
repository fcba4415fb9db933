// What the page opens with: a problem that works itself, beside what goes on in the network.

import { drawColumns, player } from "./columns.mjs";
import { h, s, watchWidth } from "./dom.mjs";
import { levelOf, unitOrder } from "./order.mjs";
import { Scene } from "./scene.mjs";
import { holding, questionOf, statesAlong } from "./task.mjs";

const WIDEST = 56, SECONDS = 9, MOST_STATES = 8, MOST_LAMPS = 256, LONG = 20;

/**
 * A problem that is played once it is seen; where motion is not wanted, it stands there worked.
 * @param posed operands, at least so many digits, and until which column; else the task's first problem
 */
export function stage(scene, say, signal, posed = null) {
  const own = new Scene(scene.subject), until = posed?.until ?? Infinity;
  if (posed) own.pose(posed.operands, posed.digits);
  const end = Math.min(until, own.work.steps.length - 1), begin = Math.max(-1, end - LONG); // of a long one, its end
  const sum = h("div", { class: "sum" }), told = h("p", { class: "told" });
  const controls = player(own, say, signal, { until, begin, seconds: SECONDS });
  const draw = () => {
    drawColumns(sum, own, say, WIDEST);
    told.setAttribute("aria-live", controls.playing() ? "off" : "polite");
    told.replaceChildren(...telling(own, say));
  };
  own.go(begin);
  own.follow(["position"], draw, signal);
  watchWidth(sum, draw, signal);

  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const seen = new IntersectionObserver((entries) => {
    if (!entries[0].isIntersecting) return;
    seen.disconnect();
    if (!still) controls.start();
  });
  if (still) own.go(end);
  seen.observe(sum);
  signal.addEventListener("abort", () => seen.disconnect());
  return h("div", { class: "card stage" }, h("div", { class: "working" }, sum, told), inside(own, say, signal), controls.element);
}

/** What happens in the column that is read, as a sentence. */
function telling({ task, work, position }, say) {
  if (position < 0) return [say("stage.begin")];
  const { steps, states } = work, { symbol, output, expected, right } = steps[position];
  const reads = task.numeric ? task.digitsOf(symbol).map((digit) => digit.toString(36)) : [task.symbols[symbol]];
  const values = { reads: reads.join(say("stage.and")), held: holding(task, task.states[states[position]], say), says: task.outputs[output] };
  const step = questionOf(task, say) ? ["stage.no", "stage.yes"][+values.says] : "stage.step";
  return [say(step, values), right ? null : h("b", { class: "bad" }, say.gap, say("stage.wrong", { right: task.outputs[expected] }))].filter(Boolean);
}

/** The hidden units as lamps, and the state that they stand for, lit. */
function inside(own, say, signal) {
  const { network, task } = own, { learned } = own.subject, found = learned?.complete ? learned : null;
  const every = Math.ceil(network.hidden / MOST_LAMPS), order = unitOrder(network).filter((_, i) => i % every === 0), columns = Math.min(order.length, Math.max(4, Math.ceil(Math.sqrt(2 * order.length))));
  const lamps = order.map((_, i) => s("rect", { x: (i % columns) * 10 + 1, y: Math.floor(i / columns) * 10 + 1, width: 8, height: 8, rx: 2 }));
  const box = `0 0 ${columns * 10} ${Math.ceil(order.length / columns) * 10}`;
  const units = s("svg", { class: "lamps", viewBox: box, role: "img", style: `--across:${columns}` }, lamps);

  const machine = found ?? task, visited = statesAlong(machine, own.work.word), names = machine.states.map((state, q) => {
    const name = found ? found.names[q] : state;
    return !name ? state : task.memory === "state" ? name : holding(task, name, say);
  });
  const few = names.length <= MOST_STATES, chips = h("ul", { class: "chips" });
  own.follow(["position"], () => {
    const { state } = own.work.steps[own.position] ?? { state: network.start }, values = state.subarray(0, network.hidden);
    const level = levelOf(network.formulas.activation, values);
    order.forEach((unit, i) => lamps[i].setAttribute("fill-opacity", level(values[unit]).toFixed(3)));
    units.setAttribute("aria-label", say("stage.lamps", { n: order.filter((unit) => level(values[unit]) > 0.5).length, hidden: order.length }));
    const now = visited[own.position + 1], chip = (name, lit) => h("li", lit ? { class: "lit", "aria-current": "true" } : {}, name);
    chips.replaceChildren(...(few ? names.map((name, q) => chip(name, q === now)) : [chip(names[now], true)]));
  }, signal);
  const title = (key, values) => h("p", { class: "title" }, say(key, values));
  const key = ["high", "low"].map((level) => h("li", {}, h("i", { class: level }), say(`stage.${level}`)));
  return h("div", { class: "inside" },
    h("div", {}, title("stage.units", { hidden: network.hidden }), units, h("ul", { class: "legend" }, key)),
    h("div", {}, title(found ? "stage.state" : "stage.due"), chips));
}
