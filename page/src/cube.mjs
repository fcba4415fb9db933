// Counts of networks by what they differ in: added up here, judged in Python.

/** The counts of a page, and what is chosen to be seen of them. */
export class Cube extends EventTarget {
  /** @param {object} model what sweep_page.py writes */
  constructor(model) {
    super();
    this.model = model;
    this.keys = model.keys.map(({ key }) => key);
    this.outcomes = model.outcomes;
    this.outcome = ["right", "proved"].find((name) => this.outcomes.includes(name)) ?? this.outcomes[0];
    [this.x = null, this.y = null] = model.first;
    this.at = {}; // the place on a key that alone is looked at
  }

  valuesOf(key) {
    return this.model.keys[this.keys.indexOf(key)].values;
  }

  /** Whether cells differ in their seeds. */
  get isRepeated() {
    const seed = this.model.axes.find(({ key }) => key === "seed");
    return (seed?.count ?? seed?.values.length ?? 1) > 1;
  }

  /** Choose an outcome, axes, or a place on a key; null is none, or all. */
  choose(what, value) {
    if (what === "outcome") this.outcome = value;
    else if (what === "x" || what === "y") {
      const other = what === "x" ? "y" : "x";
      if (this[other] === value) this[other] = this[what];
      this[what] = value;
      delete this.at[value];
    } else if (value === null) delete this.at[what];
    else this.at[what] = value;
    this.dispatchEvent(new Event("choice"));
  }

  /** Call now, and whenever something else is chosen. */
  follow(draw, signal) {
    this.addEventListener("choice", draw, { signal });
    draw();
  }

  /** The keys that are on no axis. */
  get others() {
    return this.keys.filter((key) => key !== this.x && key !== this.y);
  }

  /** The groups with the places that are looked at: [number, place on each of some keys]. */
  *chosen(keys, at = this.at) {
    const axes = keys.map((key) => this.keys.indexOf(key));
    const fixed = Object.entries(at).map(([key, place]) => [this.keys.indexOf(key), place]);
    for (const [i, group] of this.model.groups.entries())
      if (fixed.every(([axis, place]) => group[axis] === place)) yield [i, axes.map((axis) => group[axis])];
  }

  /** Networks, counts, examples and the shortest counterexample for each place on some keys; by "2,0". */
  by(keys, at = this.at) {
    const found = new Map(), { outcomes, model } = this, start = this.keys.length;
    for (const [i, places] of this.chosen(keys, at)) {
      const group = model.groups[i], shortest = model.shortest[i], name = places.join();
      let sum = found.get(name);
      if (!sum) found.set(name, (sum = { places, networks: 0, counts: outcomes.map(() => 0), examples: outcomes.map(() => null), shortest: null }));
      sum.networks += group[start];
      if (shortest !== null && (sum.shortest === null || shortest < sum.shortest)) sum.shortest = shortest;
      outcomes.forEach((_, j) => {
        sum.counts[j] += group[start + 1 + j];
        const cell = group[start + 1 + outcomes.length + j];
        if (cell !== null && (sum.examples[j] === null || cell < sum.examples[j])) sum.examples[j] = cell;
      });
    }
    return found;
  }

  /** How many networks have an outcome, the rate, its interval, and an example. */
  rate(sum, outcome = this.outcome) {
    const i = this.outcomes.indexOf(outcome), count = sum.counts[i], { networks } = sum;
    const [low, high] = this.model.intervals[`${count}/${networks}`];
    return { count, networks, rate: count / networks, low, high, example: sum.examples[i] };
  }

  /** Bins for each place on a key, or for all in one: lists that hold [bin, count, bin, count, ...]. */
  bins(lists, key) {
    const found = new Map();
    for (const [i, [place = 0]] of this.chosen(key === null ? [] : [key])) {
      if (!lists[i].length) continue;
      if (!found.has(place)) found.set(place, new Map());
      const bins = found.get(place), list = lists[i];
      for (let j = 0; j < list.length; j += 2) bins.set(list[j], (bins.get(list[j]) ?? 0) + list[j + 1]);
    }
    return new Map([...found].sort(([a], [b]) => a - b));
  }

  /** What a cell of the plan was trained by, as carrynet train takes it: the command's parts. */
  command(cell) {
    const values = [];
    for (const axis of [...this.model.axes].reverse()) {
      const count = axis.count ?? axis.values.length, place = cell % count;
      cell = Math.floor(cell / count);
      values.unshift([axis.key, axis.values ? axis.values[place] : axis.first + place]);
    }
    const quoted = (text) => (/^[\w.,:=+/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
    return ["carrynet train", ...values.map(([key, value]) => (key === "recipe" ? `--recipe ${quoted(value)}` : `--set ${quoted(`${key}=${value}`)}`))];
  }
}

/** At most some of a list, evenly spread. */
export function spread(list, most = 6) {
  if (list.length <= most) return list;
  return Array.from({ length: most }, (_, i) => list[Math.round((i * (list.length - 1)) / (most - 1))]);
}

export const percent = (rate) => `${(100 * rate).toFixed(1)}%`;

/** In whole percent, where 0 and 100 are said of none and of all alone. */
export const whole = (rate) => `${rate > 0 && rate < 1 ? Math.min(99, Math.max(1, Math.round(100 * rate))) : 100 * rate}%`;
