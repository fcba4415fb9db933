// The verdict in one sentence, above a problem that works itself; what it rests on is one click away.

import { h } from "./dom.mjs";
import { recheck } from "./recheck.mjs";
import { stage } from "./stage.mjs";
import { brief, holding } from "./task.mjs";

/** What was counted of thousands of networks: studies/tutorial and studies/regular. */
const COUNTED = { sums: { passed: 4380, share: 0.3 }, words: { passed: 781, wrong: 432 } };

export function verdict(scene, say, signal) {
  const { proof, page } = scene.subject, { tone = null, head, below = null, grounds = [] } = judged(scene, say);
  const assumed = page?.source?.assumed ?? [], texts = assumed.map((text, i) => [i ? "; " : "", h("span", { lang: "en" }, text)]);
  const asked = proof?.verdict === "undecided" ? "known.undecided" : "known";
  return [
    h("h1", { class: tone }, head),
    stage(scene, say, signal, proof?.verdict === "refuted" ? played(scene.task, proof.counterexample) : null),
    below,
    h("p", { class: "why" }, why(scene, say)),
    proof?.verdict === "proved" ? recheck(scene, say, signal) : null,
    grounds.length ? h("details", { class: "known" }, h("summary", {}, say(asked)), grounds) : null,
    assumed.length ? h("p", { class: "assumed" }, say("assumed"), texts) : null,
  ];
}

/** Why it is not enough to try: what came of other networks that passed. */
function why({ task, subject }, say) {
  if (!task.numeric) return say("why", COUNTED.words);
  const { right, pairs, digits } = subject.evaluation?.exhaustive ?? {};
  const { passed, share } = COUNTED.sums, alike = task.family === "add" && task.base === 2 && task.operands === 2 && digits === 8;
  return say(alike && right === pairs ? "why.passed" : "why", { passed, share: say.percent(share), pairs, digits });
}

/** The verdict: its sentence, and what is behind it. */
function judged(scene, say) {
  const { proof, evaluation, picture } = scene.subject, tested = evaluation?.exhaustive, { base } = scene.task;
  const values = { ...tested, base }, tries = tested && h("p", { class: "hint" }, say("fact.exhaustive", values));
  const text = (words) => h("p", { class: "prose" }, words);
  if (proof?.verdict === "proved") return proved(proof, say, tries);
  if (proof?.verdict === "refuted") return refuted(scene, say, proof.counterexample, tries);
  if (tested && tested.right < tested.pairs)
    return { tone: "bad", head: say("wrong.head", { ...values, wrong: tested.pairs - tested.right }), grounds: [text(say("wrong.text"))] };
  if (proof?.verdict === "undecided") {
    const tried = h("ul", { class: "tried" }, proof.tried.map((text) => h("li", { lang: "en" }, text)));
    return { head: say("undecided.head"), grounds: [text(say("undecided.text")), tried, ways(scene.subject.page?.ways, say), tries] };
  }
  if (tested) return { head: say("right.head", values), grounds: [text(say("right.text"))] };
  if (picture) {
    const head = say("picture.head", picture), tone = picture.right < picture.pairs ? "bad" : null;
    return { tone, head, below: text(say("errors.rest")), grounds: [text(say("right.text"))] };
  }
  return { head: say("unproved.head") };
}

function proved({ checked, regions, method, slack, margin }, say, tries) {
  const fact = (value, name) => h("li", {}, h("b", {}, value), h("span", {}, name));
  const facts = [
    fact(say.number(regions), `${say("fact.regions")} (${say.or(`fact.${method}`, method)})`),
    fact(short(slack), say("fact.slack")),
    typeof margin === "number" ? fact(short(margin), say("fact.margin")) : null,
  ];
  // the words of a checked proof are for proofs that were checked
  const words = checked ? say.or(`proved.${method}`, "", { regions, slack: short(slack), margin: short(margin) }) : say("recorded.text");
  const again = method === "boxes" ? h("p", { class: "hint" }, say("recheck.how")) : null;
  const grounds = [h("ul", { class: "facts" }, facts), h("p", { class: "prose" }, words), again, tries];
  return { tone: checked ? "good" : null, head: say(checked ? "proved.head" : "recorded.head"), grounds };
}

/** The counterexample as a problem to play, which ends where it goes wrong. */
function played(task, { operands, digits, position }) {
  return { operands: operands.map(task.numeric ? BigInt : String), digits, until: position };
}

function refuted(scene, say, found, tries) {
  const { task } = scene, { operands, digits, until } = played(task, found), number = task.numeric ? BigInt : String;
  const name = (text) => brief(task.writeAnswer(number(text)), 30);
  const agrees = scene.network.work(task.encode(operands, digits)).steps[until]?.right; // in double precision
  const right = found.answered === found.expected ? say("refuted.nan") : say("refuted.expected", { expected: name(found.expected) });
  const below = h("p", { class: "answers" },
    h("span", { class: "equation" }, task.write(operands, null)), " ",
    h("span", { class: "bad" }, say("refuted.answered", { answered: name(found.answered) })), say.gap, right,
    agrees ? h("span", { class: "prose" }, say.gap, say("refuted.rounding", { dtype: scene.subject.page.about.dtype })) : null);
  const grounds = [
    h("p", { class: "prose" }, say("refuted.text", { digits: found.digits, position: found.position, base: task.base, shortest: say(found.shortest ? "refuted.shortest" : "refuted.maybe") })),
    found.state ? h("p", { class: "prose" }, say("refuted.where", { symbol: found.symbol, held: holding(task, found.state, say) })) : null,
    shares(found.shares, say),
    tries,
  ];
  return { tone: "bad", head: say("refuted.head"), below, grounds };
}

/** Of random problems, how many are wrong: sampled, and said to be. */
function shares(drawn, say) {
  if (!drawn.length) return null;
  const row = ({ interval, ...share }) => say("refuted.share", { ...share, low: say.percent(interval[0]), high: say.percent(interval[1]) });
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
