// Predict before it runs: one question about what will come, and what came of it beside the guess.

import { h } from "./dom.mjs";

const EDGES = [1000, 5000, 20000];

/** What can be guessed: of the mistake, what the problem will give; else after how many problems all is right. */
export function choices(session, say) {
  const { task, probe, settings } = session;
  if (settings.mistake && task.readout === "bits") {
    const expected = task.run(task.encode(probe)).outputs, name = (outputs) => task.writeAnswer(task.decode(outputs));
    const answers = [task.writeAnswer(task.rightAnswer(expected, expected)), name(expected.map(() => 1)), name(expected.map(() => 0))];
    return [...new Set(answers)].map((answer) => ({ name: answer, answer })).concat({ name: say("guess.other"), answer: null });
  }
  const between = EDGES.slice(1).map((high, i) => ({ name: say("guess.between", { low: EDGES[i], high }), low: EDGES[i], high }));
  const [first, last] = [EDGES[0], EDGES.at(-1)];
  return [
    { name: say("guess.below", { n: first }), low: 0, high: first },
    ...between,
    { name: say("guess.above", { n: last }), low: last, high: Infinity },
    { name: say("guess.never") },
  ];
}

/** The question, until it runs; then the guess, and at the end what came. */
export function guessing(session, say, signal) {
  const { task, probe } = session, offered = choices(session, say), ofAnswer = "answer" in offered[0];
  const pairs = session.pairs, question = ofAnswer ? say("guess.answer", { problem: task.write(probe, null) }) : say("guess.when", { pairs });
  const radios = offered.map(({ name }, i) => h("label", { class: "chip" },
    h("input", { type: "radio", name: "train-guess", value: i, onchange: () => session.predict(i) }), name));
  const legend = h("legend", {}, h("b", {}, say("guess.first")), say.gap, question), skip = h("p", { class: "hint" }, say("guess.skip"));
  const form = h("fieldset", { class: "guess" }, legend, h("div", { class: "chips" }, radios), skip);
  const told = h("p", { class: "guessed" });

  const came = () => {
    const { training } = session, { problems, mapped, done } = training;
    if (training.running) return null;
    if (ofAnswer) return say.running("guess.gave", { answer: training.answer.answer, problems });
    if (done !== null) return say.running("guess.took", { done });
    return mapped ? say.running("guess.yet", { problems: mapped }) : null;
  };
  session.follow(["state", "guess", "map", "progress"], () => {
    const { training, guess } = session;
    form.hidden = training !== null;
    told.hidden = training === null || guess === null || !training.network;
    radios.forEach((radio, i) => (radio.firstChild.checked = i === guess));
    if (!told.hidden) told.replaceChildren(say("guess.yours", { guess: offered[guess].name }), say.gap, h("b", {}, came() ?? ""));
  }, signal);
  return [form, told];
}
