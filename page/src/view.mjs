// The page: everything about one network, the verdict first.
//
//     mount(element, model, { language, theme })
//
// `model` is what page.py writes.

import { about } from "./about.mjs";
import { automaton } from "./automaton.mjs";
import { calculator } from "./calculator.mjs";
import * as checker from "./checker/index.mjs";
import { curve, lengths } from "./charts.mjs";
import { h } from "./dom.mjs";
import { frame } from "./frame.mjs";
import { errorMaps } from "./maps.mjs";
import { decode } from "./model.mjs";
import { Network } from "./network.mjs";
import { Scene } from "./scene.mjs";
import { space } from "./space.mjs";
import STRINGS from "./strings.json";
import style from "./style.css";
import { Task } from "./task.mjs";
import { train } from "./train.mjs";
import { Trainer } from "./trainer.mjs";
import { verdict } from "./verdict.mjs";
import { weights } from "./weights.mjs";

const SECTIONS = { verdict, calculator, errors: errorMaps, curve, lengths, automaton, space, weights, train, about };

export { Network, Task, Trainer };

/**
 * Show a run in an element.
 * @param {Element} element
 * @param {object} model what `carrynet.report.page.model` returns
 * @param {{language?: "en" | "zh", theme?: "light" | "dark"}} [options] else as the browser has it
 */
export function mount(element, model, options = {}) {
  const run = decode(model), scene = new Scene(run), page = { name: model.name, style, strings: STRINGS, variant: variantOf(run.task), skip: "operand-0" };
  const look = (subject) => {
    place.end(); // the old views know the old network only
    scene.show(subject);
    place.draw();
    place.root.querySelector("h1").scrollIntoView();
  };
  const place = frame(element, page, options, (say, signal) => {
    const sections = Object.entries(SECTIONS).map(([name, make]) => {
      const content = make(scene, say, signal, look);
      if (!content.length) return null;
      const titled = name === "verdict" ? { "aria-label": say("verdict") } : { "aria-labelledby": `title-${name}` };
      return h("section", { id: name, class: name, ...titled },
        name === "verdict" ? null : h("h2", { id: `title-${name}` }, say.or(`title.${name}.${scene.subject.kind}`, say(name))), content);
    });
    const notice = scene.subject === run ? null
      : h("div", { class: "notice", role: "status" }, say("trainedHere"), h("button", { onclick: () => look(run) }, say("back")));
    return [notice, h("p", { class: "tagline" }, say("tagline", { what: say.or(`what.${scene.task.family}`, say("what.other", { task: scene.task.text })) })), sections];
  });
  return scene;
}

/** How a task is spoken of: of words, of numbers from their most significant digit, or as usual. */
const variantOf = ({ numeric, first }) => (numeric ? (first === "most" ? "most" : null) : "words");

const given = globalThis.document?.getElementById("carrynet-model");
if (given) {
  const place = document.getElementById("carrynet");
  globalThis.carrynet = { mount, Network, Task, Trainer, checker, scene: mount(place, JSON.parse(given.textContent), { alone: true }) };
}
