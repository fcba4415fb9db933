// The proof, checked again in the browser that shows it: by itself once the page is drawn, and when asked.

import { h } from "./dom.mjs";
import { bytesOf, contents, inflated } from "./model.mjs";
import { askCheck, plain } from "./workers.mjs";

const MOST_MARKS = 600;
const checks = new WeakMap(); // of each page's model: drawn again, in another language say, it is not checked anew

/** A line that says how the check goes, with a mark for each region, and a button to do it again. */
export function recheck({ subject }, say, signal) {
  const { proof, certificate } = subject.page, left = (key) => h("p", { class: "hint recheck" }, say(key));
  if (proof.method !== "boxes") return left(`recheck.${proof.method}`);
  if (!certificate) return left("recheck.absent");
  if (!checks.has(subject.page)) checks.set(subject.page, new Check(subject));
  const check = checks.get(subject.page), line = h("p", { role: "status" });
  const marks = h("div", { class: "marks", "aria-hidden": "true" });
  const again = h("button", { onclick: () => check.begin() }, say("recheck.again"));
  const draw = () => {
    const { regions, done, found, refused, seconds } = check;
    line.classList.toggle("bad", Boolean(refused));
    if (refused) line.textContent = say("recheck.refused", { why: say(`checker.${refused.key}`, refused.values) });
    else if (found) line.textContent = say.running("recheck.done", { ...found, seconds: short(seconds) });
    else line.textContent = say.running(regions ? "recheck.at" : "recheck.begun", { done, regions });
    again.disabled = !(found || refused);
    mark(marks, check);
  };
  check.follow(draw, signal);
  draw();
  return h("div", { class: "recheck" }, line, marks, again);
}

const short = (seconds) => seconds.toFixed(seconds < 0.095 ? 2 : 1);

/** A mark for each region; of very many, a bar. */
function mark(marks, { regions, done, refused }) {
  if (regions > MOST_MARKS) return marks.replaceChildren(h("progress", { max: regions, value: done }));
  if (marks.childElementCount !== regions) marks.replaceChildren(...Array.from({ length: regions }, () => h("i")));
  [...marks.children].forEach((each, i) => {
    each.className = i < done ? "done" : refused && i === done ? "not" : "";
  });
}

/** A check of a run's certificate, and who is told how it goes. */
class Check {
  constructor(subject) {
    this.subject = subject;
    this.followers = new Set();
    this.regions = this.done = 0;
    requestAnimationFrame(() => setTimeout(() => this.begin())); // when what there is has been drawn
  }

  follow(draw, signal) {
    this.followers.add(draw);
    signal.addEventListener("abort", () => this.followers.delete(draw));
  }

  set(values) {
    Object.assign(this, values);
    for (const draw of this.followers) draw();
  }

  async begin() {
    const { page, task } = this.subject, started = performance.now();
    this.set({ regions: 0, done: 0, found: null, refused: null });
    const { cell, readout } = page.formulas, vectors = task.symbols.map((_, symbol) => [...task.vectorOf(symbol)]);
    let outcome;
    try {
      const shown = { ...plain(task), vectors, cell: cell.text, readout: readout.text };
      const tell = ({ region, regions }) => this.set({ done: region + 1, regions });
      outcome = await askCheck(modelOf(page), await inflated(page.certificate), shown, tell);
    } catch {
      outcome = { refused: { key: "form", values: {} } }; // what cannot be unpacked
    }
    this.set({ ...outcome, seconds: (performance.now() - started) / 1000 });
  }
}

/** The model in the page, as the checker takes it. */
function modelOf(page) {
  const { facts, tensors } = contents(bytesOf(page.model)), all = Object.entries(tensors);
  const types = new Set(all.map(([, { dtype }]) => dtype)), dtype = types.size > 1 ? "" : [...types][0];
  const rows = (values, [count, width]) =>
    Array.from({ length: count }, (_, i) => [...values.subarray(i * width, (i + 1) * width)]);
  const weights = all.map(([name, { shape, values }]) => [name, shape.length > 1 ? rows(values, shape) : [...values]]);
  return { facts, dtype: { F32: "float32", F64: "float64" }[dtype], weights: Object.fromEntries(weights) };
}
