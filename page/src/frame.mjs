// What every page has: its name, two languages, two themes; within a shadow root, which the
// styles around it do not reach.

import { h } from "./dom.mjs";
import { LANGUAGES, speaker } from "./strings.mjs";

/**
 * Show a page in an element.
 * @param {Element} element
 * @param {object} page its `name`, `style`, `strings`, a function that says which
 *   `variant` of them, and the id of what `skip` goes to
 * @param {{language?: "en" | "zh", theme?: "light" | "dark", alone?: boolean}} options else as the
 *   browser has it; `alone`: the document is nothing but this page, speaks its language, and has
 *   no other main part
 * @param {(say, signal: AbortSignal) => Array} content what is below the header; drawn anew for
 *   each language, and what belongs to the old drawing ends with its signal
 */
export function frame(element, { name, style, strings, variant, skip }, options, content) {
  const root = element.shadowRoot ?? element.attachShadow({ mode: "open" });
  const dark = matchMedia("(prefers-color-scheme: dark)"), page = h("div", { class: "page" });
  let language = options.language ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  let theme = options.theme ?? null, drawing = null;

  const paint = () => page.setAttribute("data-theme", theme ?? (dark.matches ? "dark" : "light"));
  const turn = () => {
    theme = page.dataset.theme === "dark" ? "light" : "dark";
    paint();
  };
  const speak = () => {
    language = LANGUAGES.find((other) => other !== language);
    inPlace(draw);
  };
  const end = () => drawing?.abort();

  /** Draw everything anew, in the language of now. */
  function draw() {
    end();
    drawing = new AbortController();
    const say = speaker(language, strings, variant?.());
    page.lang = language === "zh" ? "zh-CN" : "en";
    if (options.alone) document.documentElement.lang = page.lang;
    const header = h("header", {},
      h("a", { href: `#${skip}`, class: "hidden skip", onclick: (event) => { event.preventDefault(); root.querySelector(`#${skip}`).focus(); } }, say("skip")),
      h("span", { class: "mark" }, "carrynet"), h("span", { class: "name" }, name),
      h("button", { class: "language", "aria-label": say("language.label"), onclick: speak }, say("language")),
      h("button", { class: "round theme", "aria-label": say("theme"), title: say("theme"), onclick: turn }, "◐"));
    page.replaceChildren(h(options.alone ? "main" : "div", { class: "inner" }, header, content(say, drawing.signal)));
  }

  /** Draw anew, and leave the section that is read, and the button, where they are. */
  function inPlace(draw) {
    const top = (section) => section.getBoundingClientRect().top;
    const read = scrollY > 0 && [...page.querySelectorAll("section[id]")].find((section) => section.getBoundingClientRect().bottom > 0);
    const before = read && top(read);
    draw();
    root.querySelector(".language").focus({ preventScroll: true });
    const restore = () => read && scrollBy({ top: top(root.getElementById(read.id)) - before, behavior: "instant" });
    restore();
    requestAnimationFrame(restore); // what is as wide as its place is drawn by then
  }

  dark.addEventListener("change", paint);
  paint();
  root.replaceChildren(h("style", {}, style), page);
  draw();
  return { root, draw, end };
}
