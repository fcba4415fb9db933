// The verdict, in one sentence, with what it rests on; a counterexample is played.

import { drawColumns, player } from "./columns.mjs";
import { h, watchWidth } from "./dom.mjs";
import { Scene } from "./scene.mjs";
import { brief, holding } from "./task.mjs";

export function verdict(scene, say, signal) {
  const assumed = scene.subject.page?.source?.assumed ?? [];
  const texts = assumed.map((text, i) => [i ? "; " : "", h("span", { lang: "en" }, text)]);
  return [...judged(scene, say, signal), assumed.length ? h("p", { class: "assumed" }, say("assumed"), texts) : null];
}

function judged(scene, say, signal) {
  const { proof, evaluation, picture } = scene.subject, tested = evaluation?.exhaustive, { base } = scene.task;
  const facts = [];
  const fact = (value, name) => facts.push(h("li", {}, h("b", {}, value), h("span", {}, name)));
  const tries = tested && say("fact.exhaustive", { right: tested.right, pairs: tested.pairs, digits: tested.digits, base });
  if (proof?.verdict === "proved") {
    fact(say.number(proof.regions), `${say("fact.regions")} (${say.or(`fact.${proof.method}`, proof.method)})`);
    fact(short(proof.slack), say("fact.slack"));
    if (typeof proof.margin === "number") fact(short(proof.margin), say("fact.margin"));
    // the words of a checked proof are for proofs that were checked
    const { checked } = proof, values = { regions: proof.regions, slack: short(proof.slack), margin: short(proof.margin) };
    return [
      h("h1", { class: checked ? "good" : null }, say(checked ? "proved.head" : "recorded.head")),
      h("ul", { class: "facts" }, facts),
      h("p", { class: "prose", style: "margin-top:20px" }, checked ? say.or(`proved.${proof.method}`, "", values) : say("recorded.text")),
      tries && h("p", { class: "hint" }, tries),
    ];
  }
  if (proof?.verdict === "refuted") return refuted(scene, say, signal, proof.counterexample, tries);
  if (tested && tested.right < tested.pairs)
    return [h("h1", { class: "bad" }, say("wrong.head", { wrong: tested.pairs - tested.right, pairs: tested.pairs, digits: tested.digits, base }))];
  if (proof?.verdict === "undecided")
    return [
      h("h1", {}, say("undecided.head")),
      h("p", { class: "prose", style: "margin-top:16px" }, say("undecided.text")),
      h("ul", { class: "tried" }, proof.tried.map((text) => h("li", { lang: "en" }, text))),
      ways(scene.subject.page?.ways, say),
      tries && h("p", { class: "hint" }, tries),
    ];
  if (tested)
    return [h("h1", {}, say("right.head", { pairs: tested.pairs, digits: tested.digits, base })), h("p", { class: "prose", style: "margin-top:16px" }, say("right.text"))];
  if (picture) return [h("h1", { class: picture.right < picture.pairs ? "bad" : null }, say("picture.head", picture)), h("p", { class: "prose", style: "margin-top:16px" }, say("errors.rest"))];
  return [h("h1", {}, say("unproved.head"))];
}

function refuted(scene, say, signal, found, tries) {
  const { task } = scene, number = task.numeric ? BigInt : String, operands = found.operands.map(number), own = new Scene(scene.subject);
  own.pose(operands, found.digits);
  own.go(Math.max(-1, found.position - 20)); // of a long one, the way to the error
  const sum = h("div", { class: "sum" }), controls = player(own, say, signal, found.position);
  const draw = () => drawColumns(sum, own, say);
  own.follow(["position"], draw, signal);
  watchWidth(sum, draw, signal);
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const seen = new IntersectionObserver((entries) => {
    if (!entries[0].isIntersecting) return;
    seen.disconnect();
    if (still) own.go(found.position);
    else controls.start();
  });
  seen.observe(sum);
  signal.addEventListener("abort", () => seen.disconnect());
  const agrees = own.work.steps[found.position]?.right; // in double precision
  const name = (text) => brief(task.writeAnswer(number(text)), 30);
  return [
    h("h1", { class: "bad" }, say("refuted.head")),
    h("p", { class: "equation", style: "margin-top:18px" }, task.write(operands, number(found.answered))),
    h("p", {}, h("span", { class: "bad" }, say("refuted.answered", { answered: name(found.answered) })), say.gap, say("refuted.expected", { expected: name(found.expected) })),
    h("p", { class: "prose" }, say("refuted.text", { digits: found.digits, position: found.position, base: task.base, shortest: say(found.shortest ? "refuted.shortest" : "refuted.maybe") })),
    found.state ? h("p", { class: "prose" }, say("refuted.where", { symbol: found.symbol, held: holding(task, found.state, say) })) : null,
    agrees ? h("p", { class: "hint" }, say("refuted.rounding", { dtype: scene.subject.page.about.dtype })) : null,
    h("div", { class: "card counterexample" }, controls.element, sum),
    shares(found.shares, say),
    tries && h("p", { class: "hint" }, tries),
  ];
}

/** Of random problems, how many are wrong: sampled, and said to be. */
function shares(drawn, say) {
  if (!drawn.length) return null;
  const percent = (share) => `${Number((100 * share).toPrecision(2))} %`;
  const row = ({ interval, ...share }) => say("refuted.share", { ...share, low: percent(interval[0]), high: percent(interval[1]) });
  return [h("p", { class: "prose" }, say("refuted.shares")), h("ul", { class: "tried shares" }, drawn.map((share) => h("li", {}, row(share))))];
}

/** Commands that would decide, and what is known of their price. */
function ways(all, say) {
  if (!all?.length) return null;
  const told = (values) => Object.fromEntries(Object.entries(values).map(([key, v]) => [key, Number.isInteger(v) ? v : Number(v.toPrecision(2))]));
  const item = ({ kind, command, values }) => h("li", {}, h("code", { lang: "en" }, command), h("br"), say(`way.${kind}`, told(values)));
  return [h("p", { class: "prose" }, say("undecided.ways")), h("ul", { class: "tried ways" }, all.map(item))];
}

/** Three digits that count. */
export function short(number) {
  return number === null || number === undefined ? "–" : Number(number).toPrecision(2).replace(/e([+-]\d+)/, "·10^$1");
}
