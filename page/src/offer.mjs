// What can be trained in the page: its tasks, cells and recipes, and the settings of a training,
// which stand in the address of the page so that it can be handed on.

import { digitsOfMap } from "./errors.mjs";
import { sized } from "./formula.mjs";
import { PACES } from "./pace.mjs";
import { Task } from "./task.mjs";

/** What the address of a training begins with. */
export const START = "#train?";

/** Numbers that are typed, and what is accepted. */
export const NUMBERS = {
  hidden: { low: 1, high: 64 },
  digits: { low: 1, high: 24 },
  step: { low: 0.0001, high: 1 },
  seed: { low: 0, high: 999999 },
};

/** The page's own recipe; the tutorial's comes from Python. Each stops after so many problems, and can go on. */
const ADAM = { batch: 32, loss: "cross-entropy", optimiser: "adam", biases: true, hidden: 16, step: 0.02, problems: 128_000 };

/** With this one the untrained network does not answer the tutorial's 255 yet, and on its way there never by luck what is right. */
const MISTAKEN_SEED = 6;

/** Whether a setting is a number of its kind that is accepted. */
export const accepted = (key, value) => value >= NUMBERS[key].low && value <= NUMBERS[key].high && (key === "step" || Number.isInteger(value));

export class Offer {
  /**
   * @param trainable what described.py writes
   * @param {{task: Task, formulas: object}} [own] those of the page's run, if it has one: what is usual here
   */
  constructor({ tasks, cells, tutorial }, own = null) {
    own ??= { task: new Task(tasks[0]), formulas: cells[0] };
    this.recipes = { adam: ADAM, tutorial };
    this.own = own;
    const others = tasks.filter(({ text }) => text !== own.task.text).map((facts) => new Task(facts));
    this.tasks = new Map([own.task, ...others].map((task) => [task.text, task]));
    const facts = ({ cell, readout, learned_start }) => JSON.stringify([cell.text, readout.text, learned_start]);
    const known = cells.find((each) => facts(each) === facts(own.formulas));
    /** By name, and of each by its activation, where there is one to choose. */
    this.cells = new Map(known ? [] : [["own", new Map([["", own.formulas]])]]);
    for (const each of cells) this.cells.set(each.kind, (this.cells.get(each.kind) ?? new Map()).set(each.activation, each));
    const { kind, activation } = known ?? { kind: "own", activation: "" };
    this.usualCell = { cell: kind, activation };
  }

  /** The settings of a task and a recipe, with or without the mistake, when nothing else is said. */
  usual(text = this.own.task.text, name = "adam", mistake = false) {
    const task = this.tasks.get(text), { hidden, step, digits = digitsOfMap(task), cell, activation } = this.recipes[name];
    return { task: text, ...(cell ? { cell, activation } : this.usualCell), recipe: name, mistake, hidden, digits, step, seed: mistake ? MISTAKEN_SEED : 1, pace: "watch" };
  }

  /** Settings with some changed: what a task or a recipe brings along comes too, where it was as usual before. */
  changed(settings, changes) {
    const next = { ...settings, ...changes };
    if (changes.mistake) next.recipe = "tutorial";
    if (next.recipe === "adam") next.mistake = false;
    const [before, after] = [settings, next].map(({ task, recipe, mistake }) => this.usual(task, recipe, mistake));
    for (const key of ["hidden", "digits", "step", "seed"])
      if (!(key in changes) && settings[key] === before[key]) next[key] = after[key];
    if (next.recipe !== settings.recipe) for (const key of ["cell", "activation"]) if (!(key in changes)) next[key] = after[key];
    const activations = this.cells.get(next.cell);
    if (!activations.has(next.activation)) next.activation = activations.keys().next().value;
    return next;
  }

  /** The settings that an address asks for; in the place of what is not understood, what is usual. */
  read(address) {
    const asked = new URLSearchParams(address.startsWith(START) ? address.slice(START.length) : "");
    const one = (key, known) => (known(asked.get(key)) ? asked.get(key) : undefined);
    const mistake = asked.get("mistake") === "1", usually = mistake ? "tutorial" : "adam";
    const recipe = one("recipe", (name) => Object.hasOwn(this.recipes, name)) ?? usually;
    const settings = this.usual(one("task", (text) => this.tasks.has(text)), recipe, mistake && recipe === "tutorial");
    const cell = one("cell", (name) => this.cells.has(name)) ?? settings.cell, activations = this.cells.get(cell);
    const activation = [asked.get("activation"), settings.activation, ...activations.keys()].find((name) => activations.has(name));
    const numbers = Object.keys(NUMBERS).filter((key) => asked.get(key)?.trim() && accepted(key, Number(asked.get(key))));
    return {
      ...settings, cell, activation, pace: one("pace", (name) => PACES.includes(name)) ?? settings.pace,
      ...Object.fromEntries(numbers.map((key) => [key, Number(asked.get(key))])),
    };
  }

  /** The address of settings, which is read back to the same. */
  write(settings) {
    const { activation, mistake, ...rest } = settings;
    const said = { ...rest, ...(activation ? { activation } : {}), ...(mistake ? { mistake: 1 } : {}) };
    return START + new URLSearchParams(said);
  }

  /** What a Trainer takes. */
  prepared({ task: text, cell, activation, recipe, mistake, hidden, digits, step, seed }) {
    const task = this.tasks.get(text), { batch, loss, optimiser, biases } = this.recipes[recipe];
    const formulas = sized(this.cells.get(cell).get(activation), task, hidden);
    return { task, settings: { formulas, hidden, digits, step, seed, batch, loss: mistake ? "mistaken" : loss, optimiser, biases } };
  }
}
