// The page: everything about one network, the verdict first; or, where there is none yet, one to train.
//
//     mount(element, model, { language, theme })
//
// `model` is what page.py writes: of a run, or of a page with no run behind it.

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
import { Offer } from "./offer.mjs";
import { due } from "./pace.mjs";
import { Scene } from "./scene.mjs";
import { Session } from "./session.mjs";
import { space } from "./space.mjs";
import STRINGS from "./strings.json";
import style from "./style.css";
import { Task, questionOf, variantOf } from "./task.mjs";
import { train } from "./train.mjs";
import { Trainer } from "./trainer.mjs";
import { verdict } from "./verdict.mjs";
import { weights } from "./weights.mjs";

const SECTIONS = { verdict, calculator, errors: errorMaps, curve, lengths, automaton, space, weights, train, about };

export { Network, Offer, Task, Trainer };

/**
 * Show a run in an element, or what can be trained.
 * @param {Element} element
 * @param {object} model what `carrynet.report.page.model` returns
 * @param {{language?: "en" | "zh", theme?: "light" | "dark"}} [options] else as the browser has it
 */
export function mount(element, model, options = {}) {
  const run = decode(model), session = new Session(new Offer(model.trainable, run && { task: run.task, formulas: model.formulas })), scene = new Scene(run, session);
  const variant = () => variantOf(scene.subject ? scene.task : session.task), skip = run ? "operand-0" : "train-task";
  const page = { name: model.name, style, strings: STRINGS, variant, skip };
  const look = (subject, at = "h1") => {
    place.end(); // the old views know the old network only
    scene.show(subject);
    place.draw();
    place.root.querySelector(at).scrollIntoView();
  };
  const place = frame(element, page, options, (say, signal) => {
    if (!scene.subject) return h("section", { id: "train", class: "train", "aria-labelledby": "title-train" }, h("h1", { id: "title-train" }, say("train")), train(scene, say, signal, look));
    const sections = Object.entries(SECTIONS).map(([name, make]) => {
      const content = make(scene, say, signal, look);
      if (!content.length) return null;
      const titled = name === "verdict" ? { "aria-label": say("verdict") } : { "aria-labelledby": `title-${name}` };
      return h("section", { id: name, class: name, ...titled },
        name === "verdict" ? null : h("h2", { id: `title-${name}` }, say.or(`title.${name}.${scene.subject.kind}`, say(name))), content);
    });
    const notice = scene.subject === run ? null
      : h("div", { class: "notice", role: "status" }, say("trainedHere"), h("button", { onclick: () => look(run, "#train") }, say(run ? "back" : "back.train")));
    return [notice, h("p", { class: "tagline" }, tagline(scene.task, say)), sections];
  });
  // an address that was handed on leads to what it is about
  if (run && location.hash.startsWith("#train")) place.root.querySelector("#train").scrollIntoView();
  return scene;
}

/** In a sentence, what the network is for: what it is asked, where yes or no is the answer, and else what it does. */
function tagline(task, say) {
  const question = questionOf(task, say);
  if (question) return [say("tagline.question"), h("span", { class: "asked" }, h("b", {}, question), say.gap, h("span", {}, say("tagline.answers")))];
  return say("tagline", { what: say.or(`what.${task.family}`, say("what.other", { task: task.text })) });
}

const given = globalThis.document?.getElementById("carrynet-model");
if (given) {
  const place = document.getElementById("carrynet");
  globalThis.carrynet = { mount, Network, Offer, Task, Trainer, checker, due, scene: mount(place, JSON.parse(given.textContent), { alone: true }) };
}
