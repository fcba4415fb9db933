// What takes long, beside the page: error maps, training, checking.

import { check, reason } from "./checker/check.mjs";
import { errorMap } from "./errors.mjs";
import { Network } from "./network.mjs";
import { Task } from "./task.mjs";
import { Trainer } from "./trainer.mjs";

const SHOW_EVERY = 50; // ms

let trainer = null, running = false, speed = Infinity, last = null, from = { time: 0, updates: 0 };

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
    speed = data.speed;
    last = { error: null, right: null };
    show();
  } else if (data.kind === "run") {
    ({ speed } = data);
    from = { time: performance.now(), updates: trainer.updates };
    if (!running) {
      running = true;
      go();
    }
  } else if (data.kind === "pause") {
    running = false;
  }
};

/** Train for a moment, show where it is, and look for messages. */
function go() {
  if (!running) return;
  const started = performance.now();
  while (performance.now() - started < SHOW_EVERY) {
    const due = from.updates + (speed * (performance.now() - from.time)) / 1000;
    if (trainer.updates >= due) break;
    last = trainer.update();
  }
  show();
  setTimeout(go, speed === Infinity ? 0 : SHOW_EVERY);
}

function show() {
  const { updates, weights } = trainer;
  postMessage({ kind: "progress", updates, ...last, weights }); // which copies them
}
