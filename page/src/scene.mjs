// What the views share: which network is looked at, the problem on the table, and where in it one is.

export class Scene extends EventTarget {
  /**
   * @param subject what `decode` returns, or a network that was trained in the page; null for none yet
   * @param {Session} [session] the training in the page
   */
  constructor(subject, session = null) {
    super();
    this.session = session;
    this.show(subject);
  }

  /** Look at another network. */
  show(subject) {
    this.subject = subject;
    if (!subject) return;
    this.task = subject.task;
    this.network = subject.network;
    this.moment = subject.snapshots.length - 1;
    this.pose(firstProblem(this.task));
  }

  /** Put a problem on the table, worked but with nothing shown yet. */
  pose(operands, digits = 1) {
    this.operands = operands;
    this.digits = digits; // at least, in the task's base
    this.work = this.network.work(this.task.encode(operands, digits));
    this.position = this.work.steps.length - 1;
    this.tell("problem");
  }

  /** Show the columns up to a position; -1 for none. */
  go(position) {
    this.position = Math.max(-1, Math.min(position, this.work.steps.length - 1));
    this.tell("position");
  }

  /** Look at one of the snapshots of the training. */
  choose(moment) {
    this.moment = moment;
    this.tell("moment");
  }

  tell(what) {
    this.dispatchEvent(new Event(what));
  }

  /** Call now, and whenever any of some things change. */
  follow(whats, draw, signal) {
    for (const what of whats) this.addEventListener(what, draw, { signal });
    draw();
  }
}

const FIRST = new Map([["subtract", [118n, 8n]], ["compare", [118n, 126n]], ["multiply_by", [42n]]]);

/** A problem in which something is to be remembered, such as a carry. */
export function firstProblem(task) {
  if (!task.numeric) return task.problem(telling(task));
  const usual = (FIRST.get(task.family) ?? [118n, 45n, 8n, 7n]).slice(0, task.operands), last = usual.length - 1;
  const others = Array.from({ length: 12 }, (_, k) => usual.map((number, j) => (j === last ? number + 11n * BigInt(k) : number)));
  return others.find((operands) => task.run(task.encode(operands)).states.some(Boolean)) ?? usual;
}

/**
 * A beginning of one of the words along which hidden states are shown, its last symbol changed where
 * that brings another answer: which is answered in most ways, leads through most states, and then
 * most often to another.
 */
function telling(task, length = 8) {
  const tries = task.words.flatMap((long) => {
    const word = long.slice(0, length), { states, outputs } = task.run(word);
    const ends = word.slice(2).map((_, i) => {
      const seen = new Set([null, ...outputs.slice(0, i + 2)]);
      return [...word.slice(0, i + 2), task.output[states[i + 2]].findIndex((output) => !seen.has(output))];
    });
    return [word, ...ends.filter((end) => end.at(-1) >= 0)];
  });
  const scored = tries.map((word) => {
    const { states, outputs } = task.run(word);
    const answers = new Set(outputs.filter((output) => output !== null)).size;
    const moves = states.filter((state, t) => t && state !== states[t - 1]).length;
    return { word, score: (answers * length + new Set(states).size) * 2 * length + moves };
  });
  return scored.reduce((best, each) => (each.score > best.score ? each : best)).word;
}
