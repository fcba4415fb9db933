// Principal components, by power iteration on the covariance matrix: two directions are enough.

/** @param points Float64Array[] (N, H) @returns {{mean, axes: [v1, v2], share: [s1, s2]}} */
export function principal(points) {
  const H = points[0].length, N = points.length, mean = new Float64Array(H);
  for (const p of points) for (let i = 0; i < H; i++) mean[i] += p[i] / N;
  const C = Array.from({ length: H }, () => new Float64Array(H));
  for (const p of points)
    for (let i = 0; i < H; i++) {
      const d = (p[i] - mean[i]) / N;
      for (let j = 0; j < H; j++) C[i][j] += d * (p[j] - mean[j]);
    }
  const total = C.reduce((sum, row, i) => sum + row[i], 0) || 1, axes = [], share = [];
  for (let k = 0; k < 2; k++) {
    let v = Float64Array.from({ length: H }, (_, i) => 1 + (i % 7) / 10 + (k && i % 2)), size = 0;
    for (let round = 0; round < 300; round++) {
      for (const u of axes) along(v, u, -dot(v, u));
      const w = C.map((row) => dot(row, v));
      size = Math.hypot(...w);
      if (!(size > 1e-12)) break;
      v = Float64Array.from(w, (x) => x / size);
    }
    for (const u of axes) along(v, u, -dot(v, u)); // a space of one dimension has no second
    const length = Math.hypot(...v) || 1;
    v = v.map((x) => x / length);
    // of the two signs, the one that makes the largest entry positive
    const largest = v.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
    axes.push(largest < 0 ? v.map((x) => -x) : v);
    share.push(size > 1e-12 ? size / total : 0);
  }
  return { mean, axes, share };
}

export function project({ mean, axes }, point) {
  return axes.map((axis) => point.reduce((sum, x, i) => sum + (x - mean[i]) * axis[i], 0));
}

/** The outline of a box's projection: a zonotope, whose edges are its generators by angle. */
export function outlineOfBox({ mean, axes }, lower, upper) {
  const centre = project({ mean, axes }, lower.map((low, i) => (low + upper[i]) / 2));
  const edges = lower.map((low, i) => {
    const side = upper[i] - low, [x, y] = axes.map((axis) => axis[i] * side);
    return y < 0 || (y === 0 && x < 0) ? [-x, -y] : [x, y];
  });
  edges.sort((a, b) => Math.atan2(a[1], a[0]) - Math.atan2(b[1], b[0]));
  let point = centre.map((c, k) => c - edges.reduce((sum, edge) => sum + edge[k], 0) / 2);
  const outline = [];
  for (const sign of [1, -1])
    for (const edge of edges) {
      outline.push(point);
      point = point.map((p, k) => p + sign * edge[k]);
    }
  return outline;
}

/** The outline of the projection of { c + x : x x^T <= Q }, an ellipse. */
export function outlineOfEllipsoid(frame, centre, Q) {
  const H = centre.length, [u, v] = frame.axes, at = project(frame, centre);
  const form = (a, b) => {
    let sum = 0;
    for (let i = 0; i < H; i++) for (let j = 0; j < H; j++) sum += a[i] * Q[i * H + j] * b[j];
    return sum;
  };
  const A = form(u, u), B = form(u, v), D = form(v, v), first = Math.sqrt(Math.max(A, 1e-30));
  const second = Math.sqrt(Math.max(D - (B * B) / (first * first), 0)); // Cholesky
  return Array.from({ length: 48 }, (_, i) => {
    const [c, s] = [Math.cos((i * Math.PI) / 24), Math.sin((i * Math.PI) / 24)];
    return [at[0] + first * c, at[1] + (B / first) * c + second * s];
  });
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);

function along(v, u, amount) {
  for (let i = 0; i < v.length; i++) v[i] += amount * u[i];
}
