// How it learned, and up to which length it was tested.

import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear, scaleLog } from "d3-scale";
import { line } from "d3-shape";
import { axis, h, s, watchWidth } from "./dom.mjs";

/** An element that is drawn anew for each width that it gets. */
export function drawn(draw, signal) {
  const element = h("div", { class: "wide" });
  watchWidth(element, () => element.clientWidth && element.replaceChildren(draw(element.clientWidth)), signal);
  return element;
}

const raised = (number) => [...String(number)].map((sign) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(sign)]).join("");

/** Labels of a logarithmic axis; of what is small, the power. */
const power = (usual) => (value, ...rest) => {
  const text = usual(value, ...rest);
  return text && value < 0.001 ? `10${raised(Math.round(Math.log10(value)))}` : text;
};

/** How broad a label is, about. */
const broad = (label) => [...label].reduce((sum, sign) => sum + (sign > "\u2e80" ? 15 : 8.5), 0);

export function curve(scene, say, signal) {
  const { metrics, page, snapshots } = scene.subject;
  if (!metrics.problem.length) return [h("p", { class: "prose" }, say(page.mechanism ? "curve.compiled" : "curve.none"))];
  const { problem, error, right, stage } = metrics, last = problem.at(-1);
  const ends = [error[0], error.at(-1)].map((e) => e.toPrecision(2));

  const draw = (width) => {
    const left = 58, plot = { upper: 220, lower: 110, gap: 40, top: 26 }, height = plot.top + plot.upper + plot.gap + plot.lower + 44;
    const x = scaleLinear([0, last], [left, width - 14]);
    const low = Math.min(...error.filter((e) => e > 0)), high = Math.max(...error, 1e-9);
    const y = scaleLog([Math.max(low, 1e-9), high], [plot.top + plot.upper, plot.top]).nice().clamp(true);
    const below = plot.top + plot.upper + plot.gap, share = scaleLinear([0, 1], [below + plot.lower, below]);
    const svg = s("svg", { width, height, role: "img", "aria-label": say("curve.label", { first: ends[0], last: ends[1] }) });
    const stages = stage.flatMap((name, i) => (i && name === stage[i - 1] ? [] : [{ label: say.or(`curve.stage.${name.replace(/_again\d+$/, "_again")}`, name), at: x(i ? problem[i - 1] : 0) }]));
    stages.forEach(({ label, at }, i) => {
      if (i) svg.append(s("line", { class: "rule", x1: at, x2: at, y1: 8, y2: below + plot.lower }));
      const long = 6 + broad(label), { at: until = Infinity } = stages[i + 1] ?? {};
      if (at + long > until) return; // there is no room before the next one
      const late = at + long > width - 14;
      svg.append(s("text", { x: late ? at - 6 : at + 6, y: 16, class: "strong", "text-anchor": late ? "end" : "start" }, label));
    });
    const ticks = Math.max(3, Math.floor(width / 120));
    axis(svg, axisLeft(y).ticks(4).tickFormat(power(y.tickFormat(4, "~g"))), left, 0);
    axis(svg, axisLeft(share).ticks(3, "%"), left, 0);
    axis(svg, axisBottom(x).ticks(ticks).tickFormat(say.tick), 0, below + plot.lower);
    svg.append(
      s("text", { x: width - 24, y: plot.top + 14, "text-anchor": "end" }, say("curve.error")),
      s("text", { x: width - 24, y: below + plot.lower - 10, "text-anchor": "end" }, say("curve.right")),
      s("text", { x: width - 14, y: height - 6, "text-anchor": "end" }, say(page?.about.specified ? "about.edges" : page?.about.edges ? "curve.both" : "curve.problems")),
      s("path", { class: "curve", stroke: "var(--s1)", d: line((_, i) => x(problem[i]), (e) => y(Math.max(e, 1e-9)))(error) }),
      s("path", { class: "curve", stroke: "var(--s0)", d: line((_, i) => x(problem[i]), (r) => share(r))(right) }),
    );
    const marker = s("line", { y1: plot.top, y2: below + plot.lower, stroke: "var(--ink)", "stroke-width": 1.5 });
    const place = () => {
      const at = x(snapshots[scene.moment]?.problem ?? last);
      marker.setAttribute("x1", at);
      marker.setAttribute("x2", at);
    };
    scene.follow(["moment"], place, signal);
    svg.append(marker);
    return svg;
  };
  const text = say.all([page?.about.specified && "curve.specified", "curve.text", page?.about.hardens && "curve.harden", page?.about.edges && "curve.edges", page?.about.again && "curve.again"], { again: page?.about.again });
  return [h("p", { class: "prose" }, text), h("div", { class: "card" }, drawn(draw, signal))];
}

export function lengths(scene, say, signal) {
  const { evaluation, proof } = scene.subject;
  if (!evaluation) return [h("p", { class: "prose" }, say("lengths.none"))];
  const { exhaustive, sampled } = evaluation, { task } = scene, proved = proof?.verdict === "proved", checked = proved && proof.checked;
  const wrongAt = proof?.verdict === "refuted" ? proof.counterexample.digits : null;
  const rows = [{ kind: "exhaustive", ...exhaustive }, ...sampled];
  const longest = Math.max(...rows.map((r) => r.digits), wrongAt ?? 0);
  const worst = Math.min(...rows.map((r) => (r.kind === "exhaustive" ? r.right / r.pairs : r.interval[0])));
  const carries = ["carry", "borrow"].includes(task.memory);
  const nameOf = (kind) => say(kind === "chains" && !carries ? "lengths.held" : `lengths.${kind}`);
  const sentence = (row) => say("lengths.row", { ...row, kind: nameOf(row.kind) });
  const band = checked ? "var(--good)" : "var(--soft)";
  const colours = { exhaustive: "var(--ink)", uniform: "var(--s0)", chains: "var(--s1)" };

  const draw = (width) => {
    const left = 62, top = 34, height = 270, bottom = height - 46, right = width - 16;
    const x = scaleLog([1, longest * 3], [left, right]).base(2);
    const y = scaleLinear([Math.min(0.9, Math.floor(worst * 20) / 20), 1], [bottom, top]);
    const svg = s("svg", { width, height, role: "img", "aria-label": rows.map(sentence).join("; ") });
    if (proved)
      svg.append(
        s("rect", { x: left, y: top - 9, width: right - left, height: 18, fill: band, opacity: 0.25 }),
        s("path", { d: `M${right - 12} ${top - 13}l13 13l-13 13`, fill: "none", stroke: band, "stroke-width": 3 }),
        s("text", { x: right - 20, y: top - 16, "text-anchor": "end", class: "strong", style: `fill:${band}` }, say(checked ? "lengths.proved" : "lengths.recorded")),
      );
    const powers = [1, 4, 16, 64, 256, 1024, 4096, 16384].filter((n) => n <= longest * 3);
    axis(svg, axisBottom(x).tickValues(width < 480 ? powers.filter((_, i) => i % 2 === 0) : powers).tickFormat(say.number), 0, bottom);
    axis(svg, axisLeft(y).ticks(5, "%"), left, 0);
    svg.append(s("text", { x: right, y: height - 6, "text-anchor": "end" }, say("lengths.axis", { base: task.base })), s("text", { x: left + 8, y: bottom - 8 }, say("lengths.share")));
    if (wrongAt !== null)
      svg.append(
        s("line", { x1: x(wrongAt), x2: x(wrongAt), y1: top - 8, y2: bottom, stroke: "var(--bad)", "stroke-width": 2.5 }),
        s("text", { x: Math.max(left + 60, Math.min(right - 60, x(wrongAt))), y: top - 14, "text-anchor": "middle", style: "fill:var(--bad);font-weight:600" }, say("lengths.refuted", { digits: wrongAt })),
      );
    for (const row of rows) {
      const shift = { exhaustive: 0, uniform: -6, chains: 6 }[row.kind], at = x(row.digits) + shift, share = y(row.right / row.pairs);
      const title = s("title", {}, sentence(row));
      if (row.kind === "exhaustive") svg.append(s("rect", { x: at - 6, y: share - 6, width: 12, height: 12, fill: colours.exhaustive }, title));
      else {
        const [low, high] = row.interval;
        svg.append(s("line", { x1: at, x2: at, y1: y(low), y2: y(high), stroke: colours[row.kind], "stroke-width": 2 }), s("circle", { cx: at, cy: share, r: 5, fill: colours[row.kind] }, title));
      }
    }
    return svg;
  };
  const legend = Object.entries(colours).filter(([kind]) => rows.some((row) => row.kind === kind))
    .map(([kind, colour]) => h("li", {}, h("i", { class: kind === "exhaustive" ? "" : "dot", style: `background:${colour}` }), nameOf(kind)));
  return [
    h("p", { class: "prose" }, say.all(["lengths.text", proved && (checked ? "lengths.proof" : "lengths.unchecked")])),
    h("div", { class: "card" }, drawn(draw, signal), h("ul", { class: "legend" }, legend)),
  ];
}
