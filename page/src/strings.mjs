// What the page says, in both languages; {names} in a sentence are filled in, and {name|thing|things} goes by
// how many they are.

import { format } from "d3-format";

export const LANGUAGES = ["en", "zh"];

/** A function that says things in one language; of what is said of some things otherwise, their `variant`. */
export function speaker(language, strings, variant) {
  const chinese = language === "zh", number = new Intl.NumberFormat(chinese ? "zh-CN" : "en"), count = chinese ? (value) => counted(value, number) : number.format;
  /** What is between two sentences. */
  const gap = chinese ? "" : " ";
  /** What says things, whole numbers written so. */
  const wording = (write) => {
    const say = (key, values = {}) => {
      const text = strings[`${key}.${variant}`] ?? strings[key];
      if (!text) throw new Error(`no text for ${key}`);
      const worded = text[language].replace(/\{(\w+)\|([^|}]*)\|([^|}]*)\}/g, (_, name, one, more) => (values[name] === 1 ? one : more));
      return worded.replace(/\{(\w+)\}/g, (_, name) => {
        const value = values[name];
        return Number.isInteger(value) ? write(value) : String(value);
      }).replace(/([万亿]) (?=\p{Script=Han})/gu, "$1");
    };
    say.number = write;
    /** Sentences, one after another; no words for none. */
    say.all = (keys, values) => keys.filter(Boolean).map((key) => say(key, values)).join(gap);
    return say;
  };
  const say = wording(count);
  say.gap = gap;
  /** What there are words for, and otherwise another text. */
  say.or = (key, other, values) => (Object.hasOwn(strings, key) ? say(key, values) : other);
  /** The same for things of another kind. */
  say.as = (other) => speaker(language, strings, other);
  /** The same of a number that runs: plainly throughout, since on its way it is short only here and there. */
  say.running = wording(number.format);
  /** The same of numbers that stand in one row: all in the same way, plainly where one of them is not short. */
  say.row = (values) => (chinese && !values.every((value) => Math.abs(value) < 1e4 || unitOf(value)) ? say.running : say);
  /** A number on an axis; those of a scale are round. */
  say.tick = chinese ? count : format("~s");
  /** A share, to two digits that count. */
  say.percent = (share) => `${Number((100 * share).toPrecision(2))}${chinese ? "" : " "}%`;
  say.list = (texts) => new Intl.ListFormat(chinese ? "zh-CN" : "en").format(texts);
  return say;
}

/** A number as Chinese counts it, by 万 and 亿, where it is short so: 4.56 万, and 65,536. */
function counted(value, number) {
  const unit = unitOf(value);
  return unit ? `${number.format(value / unit.size)} ${unit.name}` : number.format(value);
}

/** What a number is short in; null where that is nothing. */
function unitOf(value) {
  const [size, name] = Math.abs(value) >= 1e8 ? [1e8, "亿"] : [1e4, "万"], short = value / size;
  return Math.abs(short) >= 1 && short === Number(short.toFixed(2)) ? { size, name } : null;
}
