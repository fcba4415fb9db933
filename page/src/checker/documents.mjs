// JSON with whole numbers as they are, of any size, as Python writes and reads it; and SHA-256.

import { require } from "./refused.mjs";

const SIGN = /([{}[\],:])/, TEXT = /("(?:[^"\\\u0000-\u001f]|\\.)*")/, WORD = /(true|false|null)/;
const NUMBER = /(-?(?:0|[1-9]\d*))(\.\d+)?([eE][+-]?\d+)?/;
const TOKEN = new RegExp(`[ \\t\\n\\r]*(?:${[SIGN, TEXT, NUMBER, WORD].map(({ source }) => source).join("|")})`, "y");
const END = Symbol("end"), MOST_DEPTH = 500;

/** What a text in JSON says: tables as Maps, in their order; whole numbers as BigInts. */
export function fromJson(text) {
  let at = 0, sign;
  /** The next value, or END where there is a sign, which is kept. */
  const next = () => {
    TOKEN.lastIndex = at;
    const found = TOKEN.exec(text);
    require(found, "form");
    at = TOKEN.lastIndex;
    const [, mark, string, whole, part, power, word] = found;
    sign = mark;
    if (mark) return END;
    if (string) return JSON.parse(string);
    if (word) return { true: true, false: false, null: null }[word];
    return part || power ? Number(`${whole}${part ?? ""}${power ?? ""}`) : BigInt(whole);
  };
  const value = (first, depth) => {
    if (first !== END) return first;
    require("{[".includes(sign) && depth < MOST_DEPTH, "form");
    const close = sign === "{" ? "}" : "]", table = close === "}" ? new Map() : [];
    for (let item = next(), empty = true; !(empty && item === END && sign === close); item = next(), empty = false) {
      if (close === "}") {
        require(typeof item === "string" && !table.has(item) && next() === END && sign === ":", "form");
        table.set(item, value(next(), depth + 1));
      } else table.push(value(item, depth + 1));
      require(next() === END && (sign === close || sign === ","), "form");
      if (sign === close) break;
    }
    return table;
  };
  const found = value(next(), 0);
  require(!text.slice(at).trim(), "form");
  return found;
}

// What values are.
export const isText = (value) => typeof value === "string";
export const isWhole = (value) => typeof value === "bigint";
export const isNumber = (value) => isWhole(value) || Number.isFinite(value);
export const isList = (value, of) => Array.isArray(value) && value.every(of);
export const hasKeys = (value, keys) =>
  value instanceof Map && value.size === keys.length && keys.every((key) => value.has(key));

/** As Python writes JSON without spaces: of numbers, BigInts are whole and others floats. */
export function toJson(value) {
  if (typeof value === "string") return JSON.stringify(value).replace(/[\x7f-\uffff]/g, escaped);
  if (typeof value === "number") return float(value);
  if (value instanceof Map) return `{${[...value].map(([key, each]) => `${toJson(key)}:${toJson(each)}`).join(",")}}`;
  return Array.isArray(value) ? `[${value.map(toJson).join(",")}]` : String(value);
}

const escaped = (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;

/** A float as Python writes it: the same digits, but with an exponent for others. */
export function float(x) {
  const [digits, exponent] = x.toExponential().split("e"), e = Number(exponent);
  if (x && (e < -4 || e >= 16)) return `${digits}e${e < 0 ? "-" : "+"}${String(Math.abs(e)).padStart(2, "0")}`;
  const text = Object.is(x, -0) ? "-0" : String(x);
  return Number.isInteger(x) ? `${text}.0` : text;
}

// SHA-256 (FIPS 180-4).  crypto.subtle is not there wherever pages are opened from a disk.

const PRIMES = [];
for (let n = 2; PRIMES.length < 64; n++) if (PRIMES.every((p) => n % p)) PRIMES.push(n);

/** The first 32 binary digits of the fraction of a root, by halving. */
function fraction(n, degree) {
  const wanted = BigInt(n) << BigInt(32 * degree);
  let root = 0n;
  for (let bit = 1n << 40n; bit; bit >>= 1n) if ((root + bit) ** BigInt(degree) <= wanted) root += bit;
  return Number(BigInt.asUintN(32, root));
}

const ROUNDS = PRIMES.map((p) => fraction(p, 3)), BEGIN = PRIMES.slice(0, 8).map((p) => fraction(p, 2));
const turned = (x, by) => (x >>> by) | (x << (32 - by));

/** Of bytes, or of a text in UTF-8: 64 hexadecimal digits. */
export function sha256(data) {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data, length = bytes.length;
  const whole = new Uint8Array((((length + 8) >> 6) << 6) + 64), view = new DataView(whole.buffer);
  const w = new Int32Array(64), sums = Int32Array.from(BEGIN);
  whole.set(bytes);
  whole[length] = 0x80;
  view.setBigUint64(whole.length - 8, BigInt(length) * 8n);
  for (let block = 0; block < whole.length; block += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(block + 4 * i);
    for (let i = 16; i < 64; i++) {
      const p = w[i - 15], q = w[i - 2];
      const first = turned(p, 7) ^ turned(p, 18) ^ (p >>> 3), second = turned(q, 17) ^ turned(q, 19) ^ (q >>> 10);
      w[i] = w[i - 16] + first + w[i - 7] + second;
    }
    let [a, b, c, d, e, f, g, h] = sums;
    for (let i = 0; i < 64; i++) {
      const one = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + ROUNDS[i] + w[i]) | 0;
      const two = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => (sums[i] += x));
  }
  return [...sums].map((x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
}
