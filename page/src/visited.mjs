// Where a network goes: its hidden states along the words of a page's model.

const known = new WeakMap();

/**
 * Hidden states along the task's words, of each the part that is read out, what the machine holds
 * there, and that beside what it has asked for.
 */
export function visited(network) {
  if (!known.has(network)) known.set(network, walked(network, network.task.words));
  return known.get(network);
}

/** The same along some words. */
export function walked(network, words) {
  const { task } = network, points = [], held = [], groups = [];
  for (const word of words) {
    let own = network.start;
    const { states, outputs } = task.run(word);
    word.forEach((symbol, t) => {
      own = network.step(own, symbol);
      points.push(own.subarray(0, network.hidden));
      held.push(states[t + 1]);
      groups.push(`${states[t + 1]},${outputs[t]}`);
    });
  }
  return { points, held, groups };
}
