// A task: a Mealy machine, and how problems are written as words of symbols: numbers, digit by
// digit (BigInt, of any size), or words as they are.  The same as spec/task.py and spec/codec.py.
// Where an output is null nothing is asked.

export class Task {
  /** @param {object} facts the `task` of a page's model: names and tables of the machine */
  constructor(facts) {
    Object.assign(this, facts);
    this.inputs = this.vectors ? this.vectors[0].length : this.operands * (this.base === 2 ? 1 : this.base);
  }

  /** How many outputs, digits for most tasks, one symbol of the readout can be. */
  get neurons() {
    return this.readout === "bits" ? 1 : this.outputs.length;
  }

  /** The digit of each operand that a symbol holds. */
  digitsOf(symbol) {
    const digits = new Array(this.operands);
    for (let j = this.operands - 1; j >= 0; j--) {
      digits[j] = symbol % this.base;
      symbol = Math.floor(symbol / this.base);
    }
    return digits;
  }

  /** What the network is fed for a symbol: a vector of its own; else digits in base 2, or one-hot. */
  vectorOf(symbol) {
    if (this.vectors) return Float64Array.from(this.vectors[symbol]);
    const x = new Float64Array(this.inputs);
    this.digitsOf(symbol).forEach((digit, j) => {
      if (this.base === 2) x[j] = digit;
      else x[j * this.base + digit] = 1;
    });
    return x;
  }

  /** The word of a problem: `digits` + headroom symbols; digits default to the longest operand's. */
  encode(operands, digits = 1) {
    if (!this.numeric) return this.symbolsOf(operands[0]);
    const columns = operands.map((value) => [...value.toString(this.base)].reverse());
    const length = Math.max(digits, ...columns.map((column) => column.length)) + this.headroom;
    const word = Array.from({ length }, (_, t) =>
      columns.reduce((symbol, column) => symbol * this.base + parseInt(column[t] ?? "0", 36), 0),
    );
    return this.first === "most" ? word.reverse() : word;
  }

  /** The symbols that a text names; null where it names others, or none. */
  symbolsOf(text) {
    const between = (name) => /[\s,]/.test(name) && !this.symbols.includes(name);
    const names = short(this.symbols) ? [...text].filter((name) => !between(name)) : parted(text);
    const word = names.map((name) => this.symbols.indexOf(name));
    return word.length && !word.includes(-1) ? word : null;
  }

  /** The operands that a word stands for. */
  problem(word) {
    if (!this.numeric) return [spelt(word.map((a) => this.symbols[a]), this.symbols)];
    const digits = (this.first === "most" ? [...word].reverse() : word).map((a) => this.digitsOf(a));
    return Array.from({ length: this.operands }, (_, j) => joined(digits.map((each) => each[j]), BigInt(this.base)));
  }

  /** What is right, of a network's `outputs`: where nothing is asked of a digit, it is its own. */
  rightAnswer(expected, outputs) {
    return this.decode(this.numeric ? expected.map((y, t) => y ?? outputs[t]) : expected);
  }

  /** The answer that outputs spell: an integer, -1, 0 or 1 for a relation, or a word. */
  decode(outputs) {
    if (!this.numeric) return spelt(outputs.map((y) => this.outputs[y] ?? "-"), this.outputs);
    if (this.answer === "relation") return [0n, -1n, 1n][outputs.at(-1)];
    if (this.first === "most") outputs = [...outputs].reverse();
    const base = BigInt(this.base);
    let value = joined(outputs, base);
    const negative = this.answer === "complement" && 2 * outputs.at(-1) >= this.base;
    if (negative) value -= base ** BigInt(outputs.length);
    return value;
  }

  /** Outputs of the machine, and its states before each symbol and after the last. */
  run(word) {
    const states = statesAlong(this, word);
    return { outputs: word.map((symbol, t) => this.output[states[t]][symbol]), states };
  }

  writeAnswer(answer) {
    return this.answer === "relation" ? { 0: "=", "-1": "<", 1: ">" }[answer] : String(answer);
  }

  /** `118 + 8 = 126`; `118 + 8 = ?` where no answer is known. */
  write(operands, answer) {
    const put = (piece) => (typeof piece === "string" ? piece : brief(piece >= 0 ? operands[piece] : answer === null ? "?" : this.writeAnswer(answer)));
    return this.equation.map(put).join("");
  }

  /** What stands before each operand of an equation, `+` or `3 ×`; a `?` is the answer. */
  get signs() {
    return Array.from({ length: this.operands }, (_, operand) => this.before(operand));
  }

  /** What stands before the answer. */
  get equals() {
    return this.before(-1).endsWith("=") ? "=" : "";
  }

  before(place) {
    const at = this.equation.indexOf(place), pieces = this.equation.slice(0, Math.max(at, 0));
    const from = pieces.findLastIndex((piece) => piece >= 0) + 1;
    const text = pieces.slice(from).map((piece) => (piece === -1 ? "?" : piece)).join("").trim();
    if (place >= 0 && /[()[\]{},;]/.test(text)) return ""; // of a function, not of a sum
    return text === "-" ? "−" : text;
  }

  /** Whether outputs are digits of a number, and called so. */
  get digital() {
    return this.numeric && this.outputs.every((name, output) => name === output.toString(16));
  }
}

/** A machine's states before each symbol of a word and after the last. */
export function statesAlong({ delta }, word) {
  const states = [0];
  word.forEach((symbol, t) => states.push(delta[states[t]][symbol]));
  return states;
}

/** Whether names need nothing between them. */
const short = (alphabet) => alphabet.every((name) => [...name].length === 1);

/** A name as it is written where names stand apart. */
const apart = (name) => (/[ ,"]/.test(name) ? `"${name.replace(/[\\"]/g, "\\$&")}"` : name);

/** Names of symbols or outputs as they are written in a word. */
export const written = (names, alphabet) => (short(alphabet) ? names : names.map(apart));

/** Names of symbols or outputs as one text. */
const spelt = (names, alphabet) => written(names, alphabet).join(short(alphabet) ? "" : " ");

/** The names in a text that stand apart; what cannot be read is a name that no symbol has. */
function parted(text) {
  const name = /[\s,]*(?:"((?:[^"\\]|\\["\\])*)"|([^\s,"]+))(?=[\s,]|$)|[\s,]+$/uy, names = [];
  while (name.lastIndex < text.length) {
    const found = name.exec(text);
    if (!found) return [""];
    const [, within, plain] = found;
    if (within !== undefined || plain) names.push(plain ?? within.replace(/\\(.)/gu, "$1"));
  }
  return names;
}

/** A number as it is or, where that is long, its ends. */
export function brief(number, most = 40) {
  const text = String(number), end = Math.min(12, (most - 1) >> 1);
  return text.length <= most ? text : `${text.slice(0, end)}…${text.slice(-end)}`;
}

/** How a task is spoken of: of words, of numbers from their most significant digit, or as usual. */
export const variantOf = ({ numeric, first }) => (numeric ? (first === "most" ? "most" : null) : "words");

/** What a task asks after each symbol, where 1 is yes and 0 no, in the language that is spoken; null where its answers are others. */
export const questionOf = ({ text, family }, say) => say.or(`question.${text}`, say.or(`question.${family}`, null));

/** What the state of a task's machine holds, in the language that is spoken. */
export const memoryOf = (task, say) => say.or(`memory.${task.memory}`, task.memory);

/** That it holds something: `carry 1`. */
export const holding = (task, name, say) => [memoryOf(task, say), name].filter(Boolean).join(" ");

/** The integer of digits, least significant first; halved, so that long ones are fast too. */
function joined(digits, base) {
  if (digits.length > 64) {
    const half = digits.length >> 1;
    return joined(digits.slice(0, half), base) + joined(digits.slice(half), base) * base ** BigInt(half);
  }
  return digits.reduceRight((value, digit) => value * base + BigInt(digit), 0n);
}
