// Hidden units in an order that says something: by what they have to do with the machine's state.

import { visited } from "./visited.mjs";

/** What the units are, on average, while the machine is in each of its states: (states, H), null where it never is. */
function meansOf(network) {
  const { points, held } = visited(network);
  const sums = network.task.states.map(() => ({ count: 0, units: new Float64Array(network.hidden) }));
  points.forEach((point, i) => {
    const sum = sums[held[i]];
    sum.count++;
    for (let unit = 0; unit < network.hidden; unit++) sum.units[unit] += point[unit];
  });
  return sums.map(({ count, units }) => (count ? units.map((unit) => unit / count) : null));
}

const known = new WeakMap();

/**
 * The units by the state in which they are highest; within it, the one that is highest by most comes first.
 *
 * Of two states, as a carry is, that is by their difference: first those that mean the one, the
 * most telling at the outside, and in the middle those that have nothing to do with it.
 */
export function unitOrder(network) {
  if (!known.has(network)) known.set(network, sorted(meansOf(network).filter(Boolean), network.hidden));
  return known.get(network);
}

function sorted(means, hidden) {
  const facts = Array.from({ length: hidden }, (_, unit) => {
    const values = means.map((mean) => mean[unit]), high = Math.max(...values);
    const rest = values.filter((_, q) => q !== values.indexOf(high));
    const lead = rest.length ? high - rest.reduce((sum, value) => sum + value, 0) / rest.length : 0;
    return { unit, state: values.indexOf(high), lead: Number.isFinite(lead) ? lead : 0 };
  });
  const last = means.length - 1; // the group of the last state ends with its most telling unit
  const place = ({ state, lead }) => (state === last && last > 0 ? lead : -lead);
  return facts.sort((a, b) => a.state - b.state || place(a) - place(b) || a.unit - b.unit).map(({ unit }) => unit);
}

/** How far up a unit is between what its activation reaches, from 0 to 1; where that is not known, what the values do. */
export function levelOf(activation, values) {
  const [low, high] = rangeOf(activation, values);
  return (value) => (Number.isFinite(value) ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 0);
}

/** From what to what units reach: as far as an activation goes; where that is not known, 1, or as far as values go. */
export function rangeOf(activation, values) {
  if (activation === "sigmoid") return [0, 1];
  if (activation === "relu") return [0, Math.max(1, ...values)];
  return [Math.min(-1, ...values), Math.max(1, ...values)];
}
