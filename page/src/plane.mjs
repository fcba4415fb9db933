// Hidden space seen along two directions: which, the page of a run is told; those of a network that
// is or was trained here are chosen here.

/** Where a point of hidden space is in a plane: (point - centre) axes^T. */
export function project({ centre, axes }, point) {
  return axes.map((axis) => axis.reduce((sum, a, i) => sum + a * (point[i] - centre[i]), 0));
}

/**
 * The plane through the middles of three groups of points that lie far apart: the group farthest
 * from the middle of all, the one farthest from that, and the one farthest from the line through both.
 * Where there are fewer, a direction is missing, and is 0.
 * @param points (N, H), and to each the name of its group
 */
export function planeThrough(points, groups) {
  const members = new Map();
  points.forEach((point, i) => (members.has(groups[i]) ? members.get(groups[i]).push(point) : members.set(groups[i], [point])));
  const middles = [...members.values()].map(middleOf), centre = middleOf(points);
  const farthest = (from, lengthOf) => middles.map((middle) => minus(middle, from)).reduce((best, d) => (lengthOf(d) > lengthOf(best) ? d : best));
  const first = plus(centre, farthest(centre, size)), along = unit(farthest(first, size));
  const across = (d) => minus(d, along.map((a) => a * dot(d, along)));
  return { centre, axes: [along, unit(across(farthest(first, (d) => size(across(d)))))] };
}

const AT_FIRST = 30;

/**
 * A plane that turns towards the one in which points vary most, as the points move: by a step of
 * orthogonal iteration for each picture, so that it neither jumps nor flips over.
 */
export class Turning {
  constructor(size) {
    this.centre = new Float64Array(size);
    this.axes = [0, 1].map((k) => unit(Float64Array.from({ length: size }, (_, i) => Math.cos((k + 1) * (i + 1)))));
    this.steps = AT_FIRST;
  }

  towards(points) {
    const centre = (this.centre = middleOf(points)), away = points.map((point) => minus(point, centre));
    const spread = away.reduce((sum, d) => sum + dot(d, d), 0);
    for (; this.steps > 0 && spread > 0; this.steps--) {
      const pulled = this.axes.map((axis) => away.reduce((sum, d) => {
        const along = dot(d, axis) / spread;
        return sum.map((x, i) => x + along * d[i]);
      }, axis.map((x) => x / 4)));
      const first = unit(pulled[0]), along = dot(pulled[1], first);
      this.axes = [first, unit(minus(pulled[1], first.map((x) => x * along)))];
    }
    this.steps = 1;
    return this;
  }
}

const middleOf = (points) => points[0].map((_, i) => points.reduce((sum, point) => sum + point[i], 0) / points.length);
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const size = (a) => Math.sqrt(dot(a, a));
const plus = (a, b) => a.map((x, i) => x + b[i]);
const minus = (a, b) => a.map((x, i) => x - b[i]);
const unit = (a) => (size(a) > 1e-9 ? a.map((x) => x / size(a)) : a.map(() => 0));
