// How fast a training goes: so that it can be watched, it begins slowly and goes ever faster, since
// most of what there is to see comes early.

export const PACES = ["slow", "watch", "fast"];

const SLOW = 2, GROWTH = 0.25; // updates a second; and so much of those that are done, a second

/** How many updates should be done, so many seconds after there were `from`. */
export function due(pace, from, seconds) {
  if (pace === "fast") return Infinity;
  if (pace === "slow") return from + SLOW * seconds;
  const turn = SLOW / GROWTH, steady = Math.max(0, turn - from) / SLOW; // seconds until it grows
  return seconds <= steady ? from + SLOW * seconds : Math.max(from, turn) * Math.exp(GROWTH * (seconds - steady));
}
