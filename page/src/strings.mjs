// What the page says, in both languages; {names} in a sentence are filled in.

import STRINGS from "./strings.json";

export const LANGUAGES = ["en", "zh"];

/** A function that says things in one language. */
export function speaker(language) {
  const number = new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en");
  const say = (key, values = {}) => {
    if (!(key in STRINGS)) throw new Error(`no text for ${key}`);
    return STRINGS[key][language].replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      return Number.isInteger(value) ? number.format(value) : String(value);
    });
  };
  say.number = (value) => number.format(value);
  return say;
}
