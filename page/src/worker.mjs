// What takes long, beside the page: error maps, training, checking.

import { check, reason } from "./checker/check.mjs";
import { errorMap } from "./errors.mjs";
import { Network } from "./network.mjs";
import { due } from "./pace.mjs";
import { Task } from "./task.mjs";
import { Trainer } from "./trainer.mjs";

const SHOW_EVERY = 50; // ms

let trainer = null, running = false, timer = null, pace = null, from = { time: 0, updates: 0 };
let until = Infinity, asked = 0; // how many updates it stops at, and which it was told last
let found = { error: null, right: null }; // on average, of the last moment

onmessage = ({ data }) => {
  if (data.kind === "map") {
    const network = new Network(new Task(data.task), data.formulas, data.weights);
    postMessage({ id: data.id, found: errorMap(network, data.digits) });
  } else if (data.kind === "check") {
    try {
      const steps = check(data.model, data.certificate, data.shown);
      let step;
      while (!(step = steps.next()).done) postMessage({ at: step.value });
      postMessage({ found: step.value });
    } catch (error) {
      postMessage({ refused: reason(error) });
    }
  } else if (data.kind === "begin") {
    trainer = new Trainer(new Task(data.task), data.settings);
    ({ until } = data);
    show();
  } else if (data.kind === "run") {
    ({ asked } = data);
    if (trainer.updates >= until) until *= 2;
    running = true;
    keep(data.pace);
    show({ answers: true });
    clearTimeout(timer);
    go();
  } else if (data.kind === "pause") {
    ({ asked } = data);
    running = false;
    clearTimeout(timer);
    show({ answers: true });
  } else if (data.kind === "pace") {
    keep(data.pace);
  }
};

/** Keep a pace from now on. */
function keep(chosen) {
  pace = chosen;
  from = { time: performance.now(), updates: trainer.updates };
}

/** Train for a moment, show where it is and what it came to on average, and look for messages. */
function go() {
  const started = performance.now(), before = trainer.updates, sum = { error: 0, right: 0 };
  while (performance.now() - started < SHOW_EVERY && trainer.updates < until) {
    if (trainer.updates + 1 > due(pace, from.updates, (performance.now() - from.time) / 1000)) break;
    const { error, right } = trainer.update();
    sum.error += error;
    sum.right += right;
  }
  const count = trainer.updates - before;
  if (count) found = { error: sum.error / count, right: sum.right / count };
  running = trainer.updates < until;
  if (running) timer = setTimeout(go, pace === "fast" ? 0 : SHOW_EVERY);
  if (count || !running) show();
}

/** Say where it is; `answers` where it was told to run or to pause. */
function show({ answers = false } = {}) {
  const { updates, weights } = trainer;
  postMessage({ updates, until, running, asked, answers, ...found, weights }); // which copies them
}
