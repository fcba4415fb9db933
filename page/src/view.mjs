// The page: everything about one network, the verdict first.
//
//     mount(element, model, { language, theme })
//
// `model` is what page.py writes.  All is drawn within a shadow root, which the styles around
// it do not reach.

import { about } from "./about.mjs";
import { automaton } from "./automaton.mjs";
import { calculator } from "./calculator.mjs";
import { curve, lengths } from "./charts.mjs";
import { h } from "./dom.mjs";
import { errorMaps } from "./maps.mjs";
import { decode } from "./model.mjs";
import { Network } from "./network.mjs";
import { Scene } from "./scene.mjs";
import { space } from "./space.mjs";
import { LANGUAGES, speaker } from "./strings.mjs";
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
  const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  const run = decode(model), scene = new Scene(run), dark = matchMedia("(prefers-color-scheme: dark)");
  const page = h("div", { class: "page" });
  let language = options.language ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  let theme = options.theme ?? null, drawing = null;

  const paint = () => page.setAttribute("data-theme", theme ?? (dark.matches ? "dark" : "light"));
  const turn = () => {
    theme = page.dataset.theme === "dark" ? "light" : "dark";
    paint();
  };
  const speak = () => {
    language = LANGUAGES.find((other) => other !== language);
    draw();
    root.querySelector(".language").focus();
  };
  const look = (subject) => {
    drawing.abort(); // the old views know the old network only
    scene.show(subject);
    draw();
    root.querySelector("h1").scrollIntoView();
  };

  /** Draw everything anew, in the language of now; whatever belongs to the old drawing ends. */
  function draw() {
    drawing?.abort();
    drawing = new AbortController();
    const { signal } = drawing, say = speaker(language), { task } = scene;
    page.lang = language === "zh" ? "zh-CN" : "en";
    const header = h("header", {},
      h("a", { href: "#operand-0", class: "hidden skip", onclick: (event) => { event.preventDefault(); root.querySelector("#operand-0").focus(); } }, say("skip")),
      h("span", { class: "mark" }, "carrynet"), h("span", { class: "name" }, model.name),
      h("button", { class: "language", "aria-label": say("language.label"), onclick: speak }, say("language")),
      h("button", { class: "round theme", "aria-label": say("theme"), title: say("theme"), onclick: turn }, "◐"));
    const sections = Object.entries(SECTIONS).map(([name, make]) => {
      const content = make(scene, say, signal, look);
      if (!content.length) return null;
      const titled = name === "verdict" ? { "aria-label": say("verdict") } : { "aria-labelledby": `title-${name}` };
      return h("section", { id: name, class: name, ...titled },
        name === "verdict" ? null : h("h2", { id: `title-${name}` }, say(name)), content);
    });
    const notice = scene.subject === run ? null
      : h("div", { class: "notice", role: "status" }, say("trainedHere"), h("button", { onclick: () => look(run) }, say("back")));
    page.replaceChildren(h("main", { class: "inner" }, header, notice, h("p", { class: "tagline" }, say("tagline", { does: say(`does.${task.family}`) })), sections));
  }

  dark.addEventListener("change", paint);
  paint();
  root.replaceChildren(h("style", {}, style), page);
  draw();
  return scene;
}

const given = globalThis.document?.getElementById("carrynet-model");
if (given) {
  const place = document.getElementById("carrynet");
  globalThis.carrynet = { mount, Network, Task, Trainer, scene: mount(place, JSON.parse(given.textContent)) };
}
