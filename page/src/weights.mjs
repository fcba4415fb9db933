// The weights as pictures; which moment's, the error map's slider says.

import { h, paint, pixels, watchWidth } from "./dom.mjs";
import { inRow, nameOf } from "./maps.mjs";
import { unitOrder } from "./order.mjs";

/** Where the weights of the simplest cell stand, beside each other: what units hear, and what they say. */
const SIMPLE = [["Wxh", "bh", "Whh"], ["by", "Why"]];
const GAP = 28, CAPTION = 170; // in pixels: between pictures, and what one needs for its name

/** From orange (-1) through white to blue (1). */
function diverging(value) {
  const t = Math.max(-1, Math.min(1, value)), [r, g, b] = t > 0 ? [0, 84, 159] : [190, 76, 0];
  const mix = (c) => Math.round(250 + (c - 250) * Math.sqrt(Math.abs(t)));
  return [mix(r), mix(g), mix(b)];
}

export function weights(scene, say, signal) {
  const { network } = scene, { activation } = network.formulas, names = namesOf(network);
  const shapes = Object.fromEntries(names.map((name) => [name, shapeOf(network, name)]));
  const hint = h("p", { class: "hint" }), axes = h("p", { class: "hint" }), when = h("p", { class: "prose" }), size = Math.max(3, Math.min(26, Math.floor((activation ? 660 : 300) / network.hidden)));
  const orders = Object.fromEntries(names.map((name) => [name, ordersOf(network, name, shapes[name])]));
  // where there is no room beside the widest picture, a tall one lies on its side, as wide as that is
  const room = network.hidden * size + GAP + Math.max(CAPTION, network.task.neurons * size);
  let narrow = false;
  const lies = (name) => narrow && shapes[name][0] > shapes[name][1];
  const canvases = Object.fromEntries(names.map((name) => {
    const canvas = pixels(1, 1, () => [250, 250, 250], { role: "img" });
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect(), [down, along] = orders[name];
      const at = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width], [y, x] = lies(name) ? at.reverse() : at;
      const place = (share, order) => order[Math.max(0, Math.min(order.length - 1, Math.floor(share * order.length)))];
      const row = place(y, down), column = place(x, along);
      hint.textContent = say("weights.value", { name, row, column, value: chosen().weights[name][row * shapes[name][1] + column].toPrecision(3) });
    });
    return [name, canvas];
  }));
  const { snapshots } = scene.subject, chosen = () => snapshots[scene.moment].network;
  const about = (name) => say.or(`weights.${name}`, say(name.endsWith("_start") ? "weights.start" : "weights.other"));
  const draw = () => {
    const shown = chosen().weights, most = Math.max(...names.map((name) => shown[name].reduce((m, w) => Math.max(m, Math.abs(w)), 0)), 1e-9);
    for (const name of names) {
      const columns = shapes[name][1], [down, along] = orders[name], canvas = canvases[name], turned = lies(name);
      const colour = (x, y) => diverging(shown[name][down[y] * columns + along[x]] / most);
      [canvas.width, canvas.height] = turned ? shapes[name] : [columns, shapes[name][0]];
      canvas.style = `width:${canvas.width * size}px;max-width:100%`;
      paint(canvas, turned ? (x, y) => colour(y, x) : colour);
      canvas.setAttribute("aria-label", `${activation ? "" : `${name}: `}${about(name)}, ${shapes[name].join(" × ")}`);
    }
    const turned = names.filter(lies);
    axes.textContent = say.all(["weights.axes", turned.length && "weights.turned"], { names: say.list(turned) });
    when.textContent = `${nameOf(snapshots[scene.moment], inRow(snapshots, say))} · ${say("weights.largest", { value: most.toPrecision(2) })}`;
  };
  scene.follow(["moment"], draw, signal);
  const figure = (name) => h("figure", {}, h("figcaption", {}, h("b", {}, name), ` ${activation ? about(name) : shapes[name].join(" × ")}`), canvases[name]);
  const panels = activation ? SIMPLE.map((column) => h("div", { style: "display:grid;gap:16px;min-width:0" }, column.map(figure))) : names.map(figure);
  const grid = h("div", { class: "grid" }, panels);
  watchWidth(grid, () => {
    narrow = grid.clientWidth < room;
    draw();
  }, signal);
  return [
    h("p", { class: "prose" }, say("weights.text")),
    h("div", { class: "card" }, when, grid, axes, hint),
  ];
}

/** All weights: the cell's, the readout's, and the start's where that is learned. */
function namesOf({ cell, reading, weights }) {
  const starts = cell.state.map((part) => `${part}_start`).filter((name) => name in weights);
  return [...cell.parameters, ...reading.formula.parameters, ...starts];
}

/** Rows and columns: a vector is a row. */
function shapeOf({ cell, reading, weights }, name) {
  const formula = [cell, reading.formula].find(({ parameters }) => parameters.includes(name));
  const shape = formula ? formula.shape(name) : [weights[name].length];
  return shape.length === 1 ? [1, ...shape] : shape;
}

/** In which order the rows and the columns of a picture stand: hidden units sorted, all else as it is in the file. */
function ordersOf(network, name, shape) {
  const { cell, reading } = network, formula = [cell, reading.formula].find(({ parameters }) => parameters.includes(name));
  const units = cell.state_dims[0], dims = formula ? formula.dims[name] : [name === `${cell.state[0]}_start` ? units : null];
  return [dims.length === 1 ? null : dims[0], dims.at(-1)].map((dim, i) => (dim === units ? unitOrder(network) : Array.from({ length: shape[i] }, (_, k) => k)));
}
