// The weights as pictures; which moment's, the error map's slider says.

import { h, paint, pixels } from "./dom.mjs";
import { nameOf } from "./maps.mjs";

const NAMES = ["Wxh", "Whh", "bh", "Why", "by"];

/** From orange (-1) through white to blue (1). */
function diverging(value) {
  const t = Math.max(-1, Math.min(1, value)), [r, g, b] = t > 0 ? [0, 84, 159] : [190, 76, 0];
  const mix = (c) => Math.round(250 + (c - 250) * Math.sqrt(Math.abs(t)));
  return [mix(r), mix(g), mix(b)];
}

export function weights(scene, say, signal) {
  const { task, network } = scene, H = network.hidden, Y = task.neurons;
  const shapes = { Wxh: [task.inputs, H], Whh: [H, H], bh: [1, H], Why: [H, Y], by: [1, Y] };
  const hint = h("p", { class: "hint" }), when = h("p", { class: "prose" }), size = Math.max(3, Math.min(26, Math.floor(660 / H)));
  const canvases = Object.fromEntries(NAMES.map((name) => {
    const [rows, columns] = shapes[name];
    const canvas = pixels(columns, rows, () => [250, 250, 250], { role: "img", style: `width:${columns * size}px;max-width:100%` });
    canvas.addEventListener("pointermove", (event) => {
      const box = canvas.getBoundingClientRect();
      const place = (offset, length, count) => Math.max(0, Math.min(count - 1, Math.floor((offset / length) * count)));
      const row = place(event.clientY - box.top, box.height, rows), column = place(event.clientX - box.left, box.width, columns);
      hint.textContent = say("weights.value", { name, row, column, value: chosen().weights[name][row * columns + column].toPrecision(3) });
    });
    return [name, canvas];
  }));
  const chosen = () => scene.subject.snapshots[scene.moment].network;
  scene.follow(["moment"], () => {
    const shown = chosen().weights, most = Math.max(...NAMES.map((name) => shown[name].reduce((m, w) => Math.max(m, Math.abs(w)), 0)), 1e-9);
    for (const name of NAMES) {
      const columns = shapes[name][1];
      paint(canvases[name], (x, y) => diverging(shown[name][y * columns + x] / most));
      canvases[name].setAttribute("aria-label", `${say(`weights.${name}`)}, ${shapes[name].join(" × ")}`);
    }
    when.textContent = `${nameOf(scene.subject.snapshots[scene.moment], say)} · ${say("weights.largest", { value: most.toPrecision(2) })}`;
  }, signal);
  const figure = (name) => h("figure", {}, h("figcaption", {}, h("b", {}, name), ` ${say(`weights.${name}`)}`), canvases[name]);
  return [
    h("p", { class: "prose" }, say("weights.text")), 
    h("div", { class: "card" }, when, h("div", { class: "grid" }, h("div", { style: "display:grid;gap:16px;min-width:0" }, figure("Wxh"), figure("bh"), figure("Whh")), h("div", { style: "display:grid;gap:16px;min-width:0" }, figure("by"), figure("Why"))), hint),
  ];
}
