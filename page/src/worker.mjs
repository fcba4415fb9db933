// What takes long, beside the page: error maps, training, checking.

import { check, reason } from "./checker/check.mjs";
import { errorMap } from "./errors.mjs";
import { Network } from "./network.mjs";
import { due } from "./pace.mjs";
import { Task } from "./task.mjs";
import { Trainer } from "./trainer.mjs";

const SHOW_EVERY = 50; // ms

let trainer = null, running = false, timer = null, pace = null, until = Infinity, from = { time: 0, updates: 0 };

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
    show({ error: null, right: null });
  } else if (data.kind === "run") {
    ({ pace, until } = data);
    from = { time: performance.now(), updates: trainer.updates };
    running = true;
    clearTimeout(timer);
    go();
  } else if (data.kind === "pause") {
    running = false;
  }
};

/** Train for a moment, show where it is and what it came to on average, and look for messages. */
function go() {
  if (!running) return;
  const started = performance.now(), before = trainer.updates, sum = { error: 0, right: 0 };
  while (performance.now() - started < SHOW_EVERY && trainer.updates < until) {
    if (trainer.updates + 1 > due(pace, from.updates, (performance.now() - from.time) / 1000)) break;
    const { error, right } = trainer.update();
    sum.error += error;
    sum.right += right;
  }
  const count = trainer.updates - before;
  if (count) show({ error: sum.error / count, right: sum.right / count });
  if (trainer.updates >= until) running = false;
  else timer = setTimeout(go, pace === "fast" ? 0 : SHOW_EVERY);
}

function show(found) {
  const { updates, weights } = trainer;
  postMessage({ kind: "progress", updates, ...found, weights }); // which copies them
}
