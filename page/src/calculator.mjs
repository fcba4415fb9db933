// The calculator: numbers typed in, the network's work on them, and the column that it reads.

import { scaleLinear } from "d3-scale";
import { drawColumns, placeOf, player } from "./columns.mjs";
import { h, s, typed, watchWidth } from "./dom.mjs";
import { rangeOf, unitOrder } from "./order.mjs";
import { holding, statesAlong, written } from "./task.mjs";

const MOST_DIGITS = 1000, MOST_COLUMNS = 4000;

export function calculator(scene, say, signal) {
  const { task } = scene, { base } = task;
  const message = h("p", { class: "message", role: "alert" });
  const fields = scene.operands.map((operand, j) =>
    h("input", { type: "text", inputmode: task.numeric ? "numeric" : "text", autocomplete: "off", spellcheck: "false", id: `operand-${j}`, value: operand, oninput: pose }));
  const digits = h("input", { type: "text", inputmode: "numeric", id: "digits", value: scene.digits, "aria-label": say("digits.label", { base }), title: say("digits.label", { base }), oninput: pose });
  let posing = false;

  function pose() {
    const numbers = fields.map((field) => (task.numeric ? readNumber(field, MOST_DIGITS, say) : readWord(field, task, say)));
    const length = readLength(digits, say);
    const problems = [...numbers, length].map(({ problem }) => problem).filter(Boolean);
    if (problems.length) {
      complain(problems[0]);
      return;
    }
    posing = true;
    scene.pose(numbers.map(({ value }) => value), Number(length.value));
    posing = false;
  }

  /** Say what is wrong with the input, and that what is shown does not answer it. */
  function complain(problem) {
    message.textContent = problem;
    outcome.className = "outcome";
    outcome.textContent = say("input.before");
    worked.forEach((element) => element.classList.add("stale"));
  }

  const equation = h("p", { class: "equation", "aria-live": "polite" });
  const outcome = h("p", { class: "outcome" });
  const sum = h("div", { class: "sum" });
  const facts = h("div", { class: "facts-of-column" }), units = h("div", { class: "units-of-column" });
  const controls = player(scene, say, signal), column = h("div", { class: "column" }, facts, sum);
  const worked = [equation, controls.element, column, units];

  scene.follow(["problem"], () => {
    if (!posing) {
      fields.forEach((field, j) => (field.value = scene.operands[j]));
      digits.value = scene.digits;
    }
    message.textContent = "";
    for (const field of [...fields, digits]) field.removeAttribute("aria-invalid");
    worked.forEach((element) => element.classList.remove("stale"));
    const { steps, expected } = scene.work;
    const answer = task.decode(steps.map((step) => step.output)), right = task.rightAnswer(expected, steps.map((step) => step.output));
    equation.textContent = task.write(scene.operands, answer);
    const all = steps.every((step) => step.right);
    outcome.className = all ? "outcome good" : "outcome bad";
    outcome.textContent = all ? say("answer.right")
      : answer === right ? say("answer.digit") : say("answer.wrong", { answer: task.writeAnswer(right) });
  }, signal);
  const draw = () => {
    drawColumns(sum, scene, say);
    facts.replaceChildren(...columnFacts(scene, say));
    units.replaceChildren(h("h3", {}, say("column.units")), unitsNow(scene, say));
  };
  scene.follow(["problem", "position"], draw, signal);
  watchWidth(sum, draw, signal);

  const row = [];
  fields.forEach((field, j) => {
    if (task.signs[j]) row.push(h("span", { class: "sign", "aria-hidden": "true" }, task.signs[j]));
    row.push(h("div", { class: "field" }, h("label", { for: field.id }, say("operand", { number: j + 1 })), field));
  });
  return [
    h("p", { class: "prose" }, say("calculator.text", { base, symbols: listed(task) })),
    h("div", { class: "card" },
      h("div", { class: "numbers" }, row, task.numeric ? h("div", { class: "field small" }, h("label", { for: "digits" }, say("digits")), digits) : null),
      message, equation, outcome, controls.element, column, units),
  ];
}

/** The number in a field, written in whatever way is common; or what is wrong with it. */
function readNumber(field, most, say) {
  const text = typed(field).replace(/[\s,_']/g, "");
  let problem = "";
  if (!text) problem = say("input.empty");
  else if (!/^[0-9]+$/.test(text)) problem = say("input.bad", { text: text.length > 30 ? `${text.slice(0, 30)}…` : text });
  else if (text.length > most) problem = say("input.long", { n: text.length, most });
  if (problem) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
  return problem ? { problem } : { value: BigInt(text) };
}

/** The word in a field; or what is wrong with it. */
function readWord(field, task, say) {
  const text = task.symbolsOf(field.value) ? field.value : typed(field), word = text && task.symbolsOf(text);
  let problem = "";
  if (!text) problem = say("input.empty");
  else if (!word) problem = say("input.word", { symbols: listed(task) });
  else if (word.length > MOST_COLUMNS) problem = say("input.long", { n: word.length, most: MOST_COLUMNS });
  if (problem) field.setAttribute("aria-invalid", "true");
  else field.removeAttribute("aria-invalid");
  return problem ? { problem } : { value: text };
}

/** The symbols of which words are made; the first of many. */
const listed = ({ symbols }) => written(symbols.slice(0, 20), symbols).join(", ") + (symbols.length > 20 ? ", …" : "");

function readLength(field, say) {
  const { value } = readNumber(field, MOST_DIGITS, say);
  if (value >= 1n && value <= BigInt(MOST_COLUMNS)) return { value };
  field.setAttribute("aria-invalid", "true");
  return { problem: say("input.digits", { most: MOST_COLUMNS }) };
}

/** The hidden units as they are; of a cell of several parts each, and the gates of its last step. */
function unitsNow({ network, work, position }, say) {
  const step = work.steps[position], parts = network.parts(step?.state ?? network.start), { activation } = network.formulas;
  const gates = step ? network.gates(step.before, step.symbol) : [];
  if (parts.length + gates.length === 1) return unitsDrawing(network, parts[0].values, rangeOf(activation, parts[0].values), say("column.units"), say);
  const figure = (name, text, drawing) => h("figure", {}, h("figcaption", {}, h("b", {}, name), ` ${text}`), drawing);
  return h("div", { class: "parts" },
    parts.map(({ name, values }) => figure(name, say("column.part"), unitsDrawing(network, values, rangeOf(activation, values), name, say))),
    gates.map(({ name, values }) => figure(name, say("column.gate"), unitsDrawing(network, values, [0, 1], name, say))));
}

/** The column that is read: what goes in, what the network holds, what it says and how surely. */
function columnFacts(scene, say) {
  const { task, network, work, position } = scene;
  if (position < 0) return [h("p", { class: "prose" }, say(network.start.every((value) => value === 0) ? "column.none" : "column.none.learned"))];
  const step = work.steps[position];
  // what the network holds is a state of the machine that it became, if one was found
  const learned = scene.subject.learned?.complete ? scene.subject.learned : null;
  const visited = learned && statesAlong(learned, work.word.slice(0, position + 1));
  const held = (t) => {
    if (!learned) return [say("column.due"), holding(task, task.states[work.states[t]], say)];
    const state = learned.states[visited[t]], name = learned.names[visited[t]];
    return [say(t === position ? "column.held" : "column.after"), name === state ? holding(task, name, say) : `${state}${name && ` (${holding(task, name, say)})`}`];
  };
  const [before, after] = [held(position), held(position + 1)];
  const said = task.outputs[step.output];
  return [
    h("h3", {}, say("column.title", { t: position })),
    h("dl", {},
      task.numeric ? [h("dt", {}, say("column.place")), h("dd", {}, place(task.base, placeAt(task, work, position)))] : null,
      h("dt", {}, say("column.reads")), h("dd", {}, task.numeric ? task.symbols[step.symbol].replaceAll(",", " ") : task.symbols[step.symbol]),
      h("dt", {}, before[0]), h("dd", {}, before[1]),
      h("dt", {}, say("column.says")), h("dd", { class: step.right ? "" : "bad" }, step.right ? said : `${said} ✗ ${say("column.wrong", { right: task.outputs[step.expected] })}`),
      learned ? [h("dt", {}, after[0]), h("dd", {}, after[1])] : null,
      h("dt", { title: say("column.margin.help") }, say("column.margin")), h("dd", { class: step.margin > 0 ? "" : "bad" }, Number.isFinite(step.margin) ? step.margin.toFixed(2) : "–")),
  ];
}

/** The power of the base that a symbol of a word stands for. */
const placeAt = (task, work, t) => (task.first === "most" ? work.word.length - 1 - t : t);

/** `2^5 = 32`, and of high powers the power alone. */
function place(base, t) {
  const value = base ** t;
  return [base, h("sup", {}, t), value < 1e15 ? ` = ${value}` : ""];
}

/** Hidden units as bars from their rest, sorted by what they have to do with the state; as many others as they are. */
function unitsDrawing(network, units, range, name, say) {
  const { task } = network, H = units.length, width = 640, height = 120, sorted = H === network.hidden;
  const order = sorted ? unitOrder(network) : Array.from(units, (_, i) => i);
  const y = scaleLinear(range, [height - 4, 4]), step = width / H, rest = y(0), values = order.map((unit) => units[unit]);
  const label = `${name}: ${values.slice(0, 40).map((u) => u.toFixed(2)).join(" ")}`;
  const drawing = s("svg", { class: "units", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label },
    values.map((_, i) => s("rect", { x: i * step + step * 0.08, width: step * 0.84, y: 4, height: height - 8, fill: "var(--faint)" })),
    values.map((unit, i) => s("rect", { x: i * step + step * 0.08, width: step * 0.84, y: Math.min(rest, y(unit)), height: Math.max(1, Math.abs(rest - y(unit))), fill: "var(--accent)" }, s("title", {}, `${order[i]}: ${unit.toFixed(3)}`))),
    s("line", { x1: 0, x2: width, y1: rest, y2: rest, stroke: "var(--soft)" }));
  const high = (q) => say("units.first", { state: holding(task, task.states[q], say) }), two = task.states.length === 2;
  const ends = !sorted ? ["", ""] : two ? [`← ${high(0)}`, `${high(1)} →`] : [say("units.sorted"), ""];
  const tick = (value) => h("span", {}, Number(value.toPrecision(2)));
  const ticks = [range[1], ...(range[0] < 0 ? [0] : []), range[0]].map(tick);
  return h("div", { class: "bars" },
    h("div", { class: "ticks", title: say("units.axis") }, ticks), drawing, h("div", { class: "ends" }, ends.map((text) => h("span", {}, text))));
}
