// The machine that a network has learned, found by asking it: Angluin's L* for Mealy machines,
// with the counterexamples of Rivest and Schapire.  See extract.py.

import { answer } from "./network.mjs";
import { random } from "./trainer.mjs";

const LEAST_LIMIT = 12, WORDS = 300, LENGTH = 40;

/** How many states are looked for: more than the task's machine has, to be able to tell them apart. */
export const mostStates = (task) => Math.max(LEAST_LIMIT, task.states.length + 1);

/** @returns {{delta, output, agreed, tested, complete, same, names}} tables, and what is known of them */
export function extract(network) {
  const symbols = network.task.symbols.map((_, a) => a), most = mostStates(network.task), { start } = network;
  const tests = testWords(symbols.length), access = [[]], experiments = symbols.map((a) => [a]);
  const outputsFrom = (h, word) =>
    word.map((a) => {
      h = network.step(h, a);
      return answer(network.logits(h));
    });
  const after = (word) => word.reduce((h, a) => network.step(h, a), start);
  const truth = tests.map((word) => outputsFrom(start, word));

  for (;;) {
    const machine = close();
    const differ = tests.findIndex((word, i) => run(machine, word).outputs.some((o, t) => o !== truth[i][t]));
    if (differ < 0 || access.length >= most) return finish(machine);
    const t = run(machine, tests[differ]).outputs.findIndex((o, i) => o !== truth[differ][i]);
    const word = tests[differ].slice(0, t + 1), visited = run(machine, word).states;
    const last = word.map((_, i) => outputsFrom(after(access[visited[i]]), word.slice(i)).at(-1));
    experiments.push(word.slice(last.findIndex((o) => o !== last[0])));
  }

  function close() {
    const row = (h) => experiments.map((word) => outputsFrom(h, word).join()).join(";");
    const states = access.map(after), number = new Map(states.map((h, q) => [row(h), q]));
    const delta = [], output = [];
    for (let q = 0; q < states.length; q++) {
      output.push(symbols.map((a) => outputsFrom(states[q], [a])[0]));
      delta.push(symbols.map((a) => {
        const h = network.step(states[q], a), key = row(h);
        if (!number.has(key) && states.length < most) {
          number.set(key, states.length);
          states.push(h);
          access.push([...access[q], a]);
        }
        return number.get(key) ?? q;
      }));
    }
    return { delta, output };
  }

  function finish(machine) {
    const agreed = tests.filter((word, i) => run(machine, word).outputs.every((o, t) => o === truth[i][t])).length;
    return { ...machine, agreed, tested: tests.length, complete: agreed === tests.length, ...compare(machine, network.task) };
  }
}

/** Outputs of a machine, and its states before each symbol and after the last. */
export function run({ delta, output }, word) {
  const outputs = [], states = [0];
  for (const a of word) {
    outputs.push(output[states.at(-1)][a]);
    states.push(delta[states.at(-1)][a]);
  }
  return { outputs, states };
}

/** Whether two machines answer alike, and which of the task's states each one's stands for. */
function compare(machine, task) {
  const held = machine.delta.map(() => new Set()), queue = [[0, 0]], seen = new Set(["0,0"]);
  let same = true;
  for (const [p, q] of queue) {
    held[p].add(q);
    for (let a = 0; a < task.symbols.length; a++) {
      if (task.output[q][a] !== null && machine.output[p][a] !== task.output[q][a]) same = false;
      const pair = [machine.delta[p][a], task.delta[q][a]];
      if (!seen.has(pair.join())) {
        seen.add(pair.join());
        queue.push(pair);
      }
    }
  }
  return { same, names: held.map((states) => (states.size === 1 ? task.states[[...states][0]] : null)) };
}

/** All short words, and random ones, most of them slow to change. */
function testWords(symbols) {
  let short = [[]];
  while (short.length * symbols <= 1100) short = short.flatMap((word) => Array.from({ length: symbols }, (_, a) => [...word, a]));
  const next = random(0), long = [];
  for (let i = 0; i < WORDS; i++) {
    const stay = [0, 0.5, 0.9, 0.99][i % 4], word = [];
    for (let t = 0; t < LENGTH; t++) word.push(t && next() < stay ? word[t - 1] : Math.floor(next() * symbols));
    long.push(word);
  }
  return [...short, ...long];
}
