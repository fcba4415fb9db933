// What the page says, in both languages; {names} in a sentence are filled in.

export const LANGUAGES = ["en", "zh"];

/** A function that says things in one language; of what is said of some things otherwise, their `variant`. */
export function speaker(language, strings, variant) {
  const number = new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en");
  const say = (key, values = {}) => {
    const text = strings[`${key}.${variant}`] ?? strings[key];
    if (!text) throw new Error(`no text for ${key}`);
    return text[language].replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      return Number.isInteger(value) ? number.format(value) : String(value);
    });
  };
  /** What there are words for, and otherwise another text. */
  say.or = (key, other, values) => (Object.hasOwn(strings, key) ? say(key, values) : other);
  /** What is between two sentences. */
  say.gap = language === "zh" ? "" : " ";
  /** Sentences, one after another; no words for none. */
  say.all = (keys, values) => keys.filter(Boolean).map((key) => say(key, values)).join(say.gap);
  say.number = (value) => number.format(value);
  say.list = (texts) => new Intl.ListFormat(language === "zh" ? "zh-CN" : "en").format(texts);
  return say;
}
