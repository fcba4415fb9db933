/** What a checker does not accept, by the key of a text that says why, and the values in it. */
export class Refused extends Error {
  constructor(key, values = {}) {
    super(key);
    Object.assign(this, { key, values });
  }
}

export function require(condition, key, values) {
  if (!condition) throw new Refused(key, values);
}
