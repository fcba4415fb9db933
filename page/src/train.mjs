// A fresh network learns before the viewer's eyes, and can then be looked into like any other.
// What is drawn here is of a session, which stays when this is drawn anew.

import { h, typed } from "./dom.mjs";
import { guessing } from "./guess.mjs";
import { live } from "./live.mjs";
import { NUMBERS, accepted } from "./offer.mjs";
import { PACES } from "./pace.mjs";
import { variantOf } from "./task.mjs";

const FIELDS = ["task", "cell", "activation", "recipe", "hidden", "digits", "step", "seed", "pace"];
const NUMBER = /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export function train({ session }, say, signal, look) {
  const { offer } = session, spoken = () => say.as(variantOf(session.task));
  const message = h("p", { class: "message", role: "alert" }), status = h("p", { class: "hidden", role: "status" });
  const panel = h("div", {}), ask = h("div", {}), recipe = h("p", { class: "hint" });
  const go = h("button", { class: "primary", onclick: toggle });
  const again = h("button", { onclick: afresh }, say("train.reset"));
  const lookAt = h("button", { onclick: show }, say("train.look"));
  const actions = h("div", { class: "actions" }, go, again, lookAt);

  const choice = (key, name) => h("select", { id: `train-${key}`, onchange: ({ target }) => session.change({ [key]: target.value }) }, name);
  const options = (values, name) => [...values].map((value) => h("option", { value }, name(value)));
  const selects = {
    task: choice("task", options(offer.tasks.keys(), (text) => say.or(`train.task.${text}`, text))),
    cell: choice("cell", options(offer.cells.keys(), (kind) => say.or(`train.cell.${kind}`, kind))),
    activation: choice("activation", []),
    recipe: choice("recipe", options(Object.keys(offer.recipes), (name) => say(`train.recipe.${name}`))),
    pace: choice("pace", options(PACES, (pace) => say(`train.pace.${pace}`))),
  };
  const input = (key, { low, high }) => h("input", {
    type: "text", inputmode: key === "step" ? "decimal" : "numeric", autocomplete: "off",
    id: `train-${key}`, title: `${low}–${high}`, onchange: () => read(),
  });
  const inputs = Object.fromEntries(Object.entries(NUMBERS).map(([key, range]) => [key, input(key, range)]));
  const mistake = h("input", { type: "checkbox", id: "train-mistake", onchange: () => session.change({ mistake: mistake.checked }) });
  const labels = Object.fromEntries(FIELDS.map((key) => [key, h("label", { for: `train-${key}` })]));
  const field = (key) => h("div", { class: "field" }, labels[key], selects[key] ?? inputs[key]);
  const fields = Object.fromEntries(FIELDS.map((key) => [key, field(key)]));

  /** What is typed becomes the settings; false where it cannot. */
  function read() {
    const found = {};
    for (const key of Object.keys(NUMBERS)) {
      const text = typed(inputs[key]).trim(), value = NUMBER.test(text) ? +text : NaN;
      if (!accepted(key, value)) {
        const { low, high } = NUMBERS[key], values = { name: labels[key].textContent, low: String(low), high: String(high) };
        inputs[key].setAttribute("aria-invalid", "true");
        message.textContent = say(key === "step" ? "train.bad" : "train.whole", values);
        return false;
      }
      inputs[key].removeAttribute("aria-invalid");
      found[key] = value;
    }
    message.textContent = "";
    if (Object.keys(found).some((key) => found[key] !== session.settings[key])) session.change(found);
    return true;
  }

  function toggle() {
    if (session.training?.running) return session.pause();
    if (!read()) return;
    const fresh = session.training === null;
    try {
      session.start();
    } catch (error) {
      message.textContent = say("train.failed", { reason: error.message });
      return;
    }
    if (fresh) watch();
  }

  /** Bring into view what moves, and the button that stops it. */
  function watch() {
    if (panel.getBoundingClientRect().bottom <= innerHeight) return;
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth";
    actions.scrollIntoView({ block: "start", behavior });
  }

  function afresh() {
    session.reset();
    message.textContent = "";
  }

  async function show() {
    const { training } = session;
    if (training.running) await session.pause();
    const found = await training.found();
    if (!signal.aborted && training.isSeen) look(found);
  }

  /** The form as the settings have it. */
  function fill() {
    const { settings } = session, activations = [...offer.cells.get(settings.cell).keys()];
    selects.activation.replaceChildren(...options(activations, (name) => name));
    fields.activation.hidden = activations.length < 2;
    for (const [key, select] of Object.entries(selects)) select.value = settings[key];
    for (const [key, input] of Object.entries(inputs)) {
      input.value = settings[key];
      input.removeAttribute("aria-invalid");
    }
    for (const [key, label] of Object.entries(labels)) label.textContent = spoken()(`train.${key}`);
    mistake.checked = settings.mistake;
    const { batch, problems } = offer.recipes[settings.recipe];
    recipe.textContent = say(`train.recipe.${settings.recipe}.text`, { batch, problems });
    message.textContent = "";
  }

  let drawn = new AbortController();
  signal.addEventListener("abort", () => drawn.abort());
  session.follow(["settings"], () => {
    fill();
    drawn.abort();
    drawn = new AbortController();
    panel.replaceChildren(...live(session, spoken(), drawn.signal));
    ask.replaceChildren(...guessing(session, spoken(), drawn.signal));
  }, signal);

  session.follow(["state"], () => {
    const { training } = session, begun = training !== null;
    go.textContent = say(!begun ? "train.start" : training.running ? "train.pause" : "train.go");
    again.disabled = !begun;
    go.disabled = begun && training.failed !== null;
    if (go.disabled) message.textContent = training.failed.reason ? say("train.broken", training.failed) : say("train.blocked");
    const now = !begun ? [] : training.running ? ["train.running"] : ["train.paused", training.done !== null && "guess.took"];
    status.textContent = say.running.all(now, { problems: training?.problems, done: training?.done });
  }, signal);

  session.follow(["state", "progress"], () => (lookAt.disabled = !session.training?.problems), signal);

  return [
    h("p", { class: "prose" }, say("train.text")),
    h("div", { class: "card" },
      h("div", { class: "numbers settings" }, Object.values(fields)),
      recipe,
      h("p", { class: "switch" }, mistake, h("label", { for: mistake.id }, h("b", {}, say("train.mistake")), say.gap, say("train.mistake.text"))),
      ask, message, actions, status, panel),
  ];
}
