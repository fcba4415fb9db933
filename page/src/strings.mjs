// Every sentence of the page, in both languages; {names} are filled in.  Keys must be alike.

export const LANGUAGES = { en: "English", zh: "中文" };

export const STRINGS = {
  en: {
    language: "中文", "language.label": "切换到中文", theme: "Light or dark", skip: "To the calculator",
    tagline: "A recurrent network that {does}, one digit at a time",
    "does.add": "adds", "does.subtract": "subtracts", "does.compare": "compares numbers", "does.multiply_by": "multiplies",
    back: "Back to the run", trainedHere: "You are looking at a network that was trained in this page.",
    "memory.carry": "carry", "memory.borrow": "borrow", "memory.so far": "so far",

    verdict: "Verdict",
    "proved.head": "Proved right for numbers of every length.",
    "proved.text": "Not tested: proved. {regions} regions of the network’s hidden space were found such that every symbol leads from each of them into another, and all over each the answer is right. An error of up to {slack} in every hidden unit at every step would do no harm, and every output is at least {margin} on the right side. An independent checker has redone every step of the proof with exact bounds.",
    "refuted.head": "Wrong for some numbers: here is one.",
    "refuted.text": "Read as numbers of {digits} digits, it answers digit {position} wrongly. {shortest}",
    "refuted.shortest": "No shorter problem is answered wrongly: all were tried.",
    "refuted.maybe": "It was shortened as far as a search could; shorter ones may exist.",
    "refuted.answered": "The network says {answered}", "refuted.expected": "right is {expected}",
    "undecided.head": "Undecided: no proof was found, and no wrong answer either.",
    "undecided.text": "It may be right for all lengths or wrong at some. What was tried:",
    "wrong.head": "Wrong: {wrong} of {pairs} problems of up to {digits} digits fail.",
    "right.head": "Right on all {pairs} problems of up to {digits} digits.",
    "right.text": "Every one of them was tried. That says nothing of longer numbers: no proof was looked for.",
    "unproved.head": "Nobody has looked for a proof.",
    "fact.exhaustive": "tried, all of them: {right} of {pairs} problems of up to {digits} digits right",
    "fact.regions": "regions", "fact.slack": "slack", "fact.margin": "smallest margin", "fact.checked": "checked",
    "fact.boxes": "boxes", "fact.trees": "trees of words", "fact.method": "method",
    watch: "Watch it fail",

    calculator: "Calculator",
    "calculator.text": "Type any whole numbers, hundreds of digits long if you like. The network reads one column at a time, from the right, and answers each before it sees the next.",
    operand: "Number {number}", digits: "digits", "digits.label": "At least this many digits, with zeros in front",
    play: "Play", pause: "Pause", next: "Next column", previous: "Previous column", first: "To the start", last: "To the end", speed: "Speed",
    "speed.unit": "{n} columns a second", position: "Column",
    "input.empty": "Type a whole number in each field.",
    "input.bad": "“{text}” is not a whole number: only digits 0 to 9 are accepted.",
    "input.long": "That has {n} digits; at most {most} are accepted.",
    "input.digits": "Digits must be a whole number from 1 to {most}.",
    "answer.right": "Right.", "answer.wrong": "Wrong: right is {answer}.",
    "answer.digit": "Wrong in a digit below the answer’s sign.",
    "column.reads": "reads", "column.held": "holds before", "column.after": "and after", "column.says": "answers", "column.margin": "margin",
    "column.none": "Nothing is read yet: every hidden unit is 0. Press play.",
    "column.units": "hidden units", "column.title": "Column {t}", "column.wrong": "wrong, right is {right}",
    "column.margin.help": "how far the output is on the right side of the decision",
    "column.count": "column {t} of {n}", "table.label": "The sum in columns",

    errors: "Every problem at once",
    "errors.text": "Each point of the picture is one problem with numbers of up to {digits} digits: the first number runs to the right, the second upwards. Move the slider to see the picture at other moments of the training. Click a point to work it in the calculator.",
    "errors.text1": "Each point of the picture is one number of up to {digits} digits, row by row from below. Move the slider to see other moments of the training.",
    "errors.rest": "The other numbers are 0.",
    "errors.moment": "Moment of the training", "errors.after": "after {problems} problems", "errors.start": "before training", "errors.now": "the network as it is",
    "errors.count": "{right} of {pairs} right", "errors.legend": "wrong digits", "errors.busy": "working…", "errors.point": "{problem}: {outcome}",
    "errors.right": "right", "errors.wrong": "{n} digits wrong", "errors.none": "none",

    curve: "How it learned",
    "curve.text": "Error is the sum of |target − output| over the digits of a problem, the mean over the problems between two points. A stage that hardens makes the problems as hard as they can be.",
    "curve.none": "This network was trained elsewhere: how it learned is not known.",
    "curve.error": "error (log scale)", "curve.right": "problems right", "curve.problems": "problems shown", "curve.label": "Error and share of right problems while training: {first} at first, {last} at the end",

    lengths: "Right up to which length?",
    "lengths.text": "Dots are tests: a square is every problem of that length, a circle a random sample, with the interval that holds the true share with 95 % confidence. Samples say nothing for certain.",
    "lengths.proof": "The band is a proof: it covers every length, and needs no sample.",
    "lengths.exhaustive": "all problems", "lengths.uniform": "random digits", "lengths.chains": "long carries", "lengths.proved": "proved for every length", "lengths.refuted": "wrong at {digits} digits",
    "lengths.axis": "digits of the numbers", "lengths.share": "right", "lengths.row": "{kind}, {digits} digits: {right} of {pairs} right", "lengths.none": "Only the problems in the picture above were tried.",

    automaton: "The machine that it became",
    "automaton.text": "Found by asking the network and nothing else: hidden states from which it answers alike are one state of a machine. The state that the calculator is in is lit.",
    "automaton.same": "It has {n} states, and is the very machine of the task.",
    "automaton.differs": "It has {n} states, and is not the machine of the task.",
    "automaton.partial": "It answers only {agreed} of {tested} test words as the network does: the network has more states than were looked for.",
    "automaton.tested": "It answers all {tested} test words as the network does; of others nothing is claimed here.",
    "automaton.label": "Drawing of the machine; the state now is {state}", "automaton.edges": "symbol read / answer",
    "automaton.many": "The machine has {n} states, too many to be drawn.",

    space: "Inside: hidden space",
    "space.text": "Every dot is a hidden state that the network comes to, seen along the two directions in which they differ most ({share} of all variance), coloured by what the task’s machine holds there.",
    "space.regions": "Outlines are the regions of the proof: no word, however long, ever leaves them.", "space.path": "The line is the way of the sum in the calculator.",
    "space.label": "Hidden states in two dimensions, in {n} colours", "space.axis": "component {n}",

    weights: "The weights",
    "weights.text": "Blue pulls up, orange down. From top to bottom and left to right the units stand in the order of the weights’ file.",
    "weights.Wxh": "input to hidden", "weights.Whh": "hidden to hidden", "weights.bh": "hidden bias", "weights.Why": "hidden to output", "weights.by": "output bias",
    "weights.value": "{name} [{row}, {column}] = {value}", "weights.largest": "strongest colour: ±{value}",

    train: "Train one yourself",
    "train.text": "A fresh network of the same kind learns before your eyes, in this page, from random problems: {batch} at a time, by backpropagation through time and Adam.",
    "train.hidden": "Hidden units", "train.step": "Step size", "train.seed": "Seed", "train.speed": "Speed", "train.fast": "as fast as it goes", "train.slow": "{n} updates a second",
    "train.start": "Start", "train.pause": "Pause", "train.go": "Go on", "train.reset": "Start afresh", "train.look": "Look inside this network",
    "train.state": "{updates} updates, {problems} problems · error {error}", "train.bad": "{name} must be from {low} to {high}.",
    "train.done": "All {pairs} problems of the picture are right.", "train.map": "all problems, as it learns", "train.failed": "Training cannot be started here: {reason}",

    about: "How this was made",
    "about.command": "To make it again, save recipe.toml and run", "about.copy": "Copy", "about.copied": "Copied",
    "about.recipe": "recipe", "about.seed": "seed", "about.engine": "engine", "about.problems": "problems shown", "about.seconds": "seconds of training", "about.dtype": "arithmetic", "about.weights": "weights, SHA-256", "about.versions": "versions", "about.task": "task", "about.cell": "network", "about.origin": "began with the weights",
    "about.units": "{hidden} {activation} units", "about.imported": "These weights were trained elsewhere and imported.", "about.here": "Trained in this page: {hidden} units, step {step}, seed {seed}, {updates} updates. Reload with the same settings to get the same network.",
    "about.downloads": "Take it with you", "about.none": "The certificate is too long for a page: it lies beside it, in the run’s folder.",
    "about.random": "random weights",
  },
  zh: {
    language: "English", "language.label": "Switch to English", theme: "浅色或深色", skip: "跳到计算器",
    tagline: "一个逐位{does}的循环神经网络",
    "does.add": "做加法", "does.subtract": "做减法", "does.compare": "比较大小", "does.multiply_by": "做乘法",
    back: "回到原来的网络", trainedHere: "现在看到的是在本页中训练出来的网络。",
    "memory.carry": "进位", "memory.borrow": "借位", "memory.so far": "目前",

    verdict: "结论",
    "proved.head": "已证明：任意长度的数都算得对。",
    "proved.text": "这不是抽样测试，而是证明。在网络的隐藏空间里找到了 {regions} 个区域：从每个区域出发，读入任何符号都会落进另一个区域，而且在整个区域内答案都正确。即使每一步每个隐藏单元都有不超过 {slack} 的误差，结论依然成立；每个输出离判定边界至少 {margin}。一个独立的检验程序用严格的区间界重新核对了证明的每一步。",
    "refuted.head": "有的数会算错：这就是一个例子。",
    "refuted.text": "按 {digits} 位数来读，第 {position} 位的答案是错的。{shortest}",
    "refuted.shortest": "更短的题目全部试过，都没有错。",
    "refuted.maybe": "这个反例已经尽量缩短，但可能还有更短的。",
    "refuted.answered": "网络的答案是 {answered}", "refuted.expected": "正确答案是 {expected}",
    "undecided.head": "尚无定论：没有找到证明，也没有找到错误。",
    "undecided.text": "它可能对所有长度都正确，也可能在某个长度上出错。已经尝试过：",
    "wrong.head": "有错：不超过 {digits} 位的 {pairs} 道题中，{wrong} 道做错。",
    "right.head": "不超过 {digits} 位的 {pairs} 道题全部正确。",
    "right.text": "每一道题都试过了。但这不能说明更长的数：这里没有寻找证明。",
    "unproved.head": "还没有人寻找过证明。",
    "fact.exhaustive": "逐一试过：不超过 {digits} 位的 {pairs} 道题中 {right} 道正确",
    "fact.regions": "区域", "fact.slack": "容许误差", "fact.margin": "最小间隔", "fact.checked": "已检验",
    "fact.boxes": "盒形区域", "fact.trees": "词树", "fact.method": "方法",
    watch: "看它怎样出错",

    calculator: "计算器",
    "calculator.text": "输入任意非负整数，几百位也可以。网络从右边开始，每次只读一列，读完一列就给出这一列的答案，然后才看下一列。",
    operand: "第 {number} 个数", digits: "位数", "digits.label": "至少按这么多位来读，前面补零",
    play: "播放", pause: "暂停", next: "下一列", previous: "上一列", first: "回到开头", last: "跳到结尾", speed: "速度",
    "speed.unit": "每秒 {n} 列", position: "列",
    "input.empty": "请在每一格里输入一个整数。",
    "input.bad": "“{text}”不是非负整数：只能用数字 0 到 9。",
    "input.long": "这个数有 {n} 位；最多接受 {most} 位。",
    "input.digits": "位数必须是 1 到 {most} 之间的整数。",
    "answer.right": "正确。", "answer.wrong": "错误：正确答案是 {answer}。",
    "answer.digit": "最终答案之前有一位是错的。",
    "column.reads": "读入", "column.held": "读之前记着", "column.after": "读之后记着", "column.says": "答案", "column.margin": "间隔",
    "column.none": "还没有读入任何一列：所有隐藏单元都是 0。请按播放。",
    "column.units": "隐藏单元", "column.title": "第 {t} 列", "column.wrong": "错误，应为 {right}",
    "column.margin.help": "输出离判定边界有多远（正数表示在正确的一侧）",
    "column.count": "第 {t} 列，共 {n} 列", "table.label": "竖式",

    errors: "一眼看遍所有题目",
    "errors.text": "图中每一个点是一道不超过 {digits} 位的题目：第一个数向右增大，第二个数向上增大。拖动滑块，看训练过程中不同时刻的样子。点一个点，就在计算器里演算这道题。",
    "errors.text1": "图中每一个点是一个不超过 {digits} 位的数，从下往上逐行排列。拖动滑块，看训练过程中不同时刻的样子。",
    "errors.rest": "其余的数都是 0。",
    "errors.moment": "训练的时刻", "errors.after": "学过 {problems} 道题之后", "errors.start": "训练之前", "errors.now": "网络现在的样子",
    "errors.count": "{pairs} 道题中 {right} 道正确", "errors.legend": "错误的位数", "errors.busy": "计算中……", "errors.point": "{problem}：{outcome}",
    "errors.right": "正确", "errors.wrong": "{n} 位错误", "errors.none": "无",

    curve: "它是怎样学会的",
    "curve.text": "误差是一道题各位上 |目标 − 输出| 之和，取相邻两点之间所有题目的平均。“加固”阶段会把题目变得尽可能难。",
    "curve.none": "这个网络是在别处训练的，学习过程未知。",
    "curve.error": "误差（对数刻度）", "curve.right": "做对的题目", "curve.problems": "学过的题目数", "curve.label": "训练中的误差和正确率：开始时 {first}，结束时 {last}",

    lengths: "到多少位都正确？",
    "lengths.text": "点是测试结果：方块是该长度的全部题目，圆点是随机抽样，竖线是 95 % 置信区间。抽样不能保证什么。",
    "lengths.proof": "色带是证明：它覆盖所有长度，不需要抽样。",
    "lengths.exhaustive": "全部题目", "lengths.uniform": "随机数字", "lengths.chains": "长进位链", "lengths.proved": "已证明：任意长度", "lengths.refuted": "{digits} 位时出错",
    "lengths.axis": "数的位数", "lengths.share": "正确率", "lengths.row": "{kind}，{digits} 位：{pairs} 道题中 {right} 道正确", "lengths.none": "只试过上图中的题目。",

    automaton: "它变成的自动机",
    "automaton.text": "只靠向网络提问得到：如果从两个隐藏状态出发，网络的回答总是一样，它们就是自动机的同一个状态。计算器当前所处的状态会亮起。",
    "automaton.same": "它有 {n} 个状态，与任务的自动机完全相同。",
    "automaton.differs": "它有 {n} 个状态，与任务的自动机不同。",
    "automaton.partial": "它只对 {tested} 个测试词中的 {agreed} 个与网络回答一致：网络的状态比找到的更多。",
    "automaton.tested": "它对全部 {tested} 个测试词都与网络回答一致；对其他词这里不作断言。",
    "automaton.label": "自动机示意图；当前状态是 {state}", "automaton.edges": "读入的符号 / 答案",
    "automaton.many": "自动机有 {n} 个状态，太多，画不下。",

    space: "内部：隐藏空间",
    "space.text": "每个点是网络到达过的一个隐藏状态，沿差异最大的两个方向看过去（占全部方差的 {share}），颜色表示任务的自动机此时记着什么。",
    "space.regions": "轮廓线是证明中的区域：无论多长的词都不会离开它们。", "space.path": "折线是计算器中这道题走过的路。",
    "space.label": "二维投影中的隐藏状态，共 {n} 种颜色", "space.axis": "第 {n} 主成分",

    weights: "权重",
    "weights.text": "蓝色向上拉，橙色向下拉。各单元从上到下、从左到右按权重文件中的顺序排列。",
    "weights.Wxh": "输入到隐藏", "weights.Whh": "隐藏到隐藏", "weights.bh": "隐藏偏置", "weights.Why": "隐藏到输出", "weights.by": "输出偏置",
    "weights.value": "{name} [{row}, {column}] = {value}", "weights.largest": "最深的颜色：±{value}",

    train: "亲手训练一个",
    "train.text": "一个同类的新网络就在本页、在你眼前学习：每次 {batch} 道随机题目，用随时间反向传播和 Adam。",
    "train.hidden": "隐藏单元", "train.step": "步长", "train.seed": "随机种子", "train.speed": "速度", "train.fast": "全速", "train.slow": "每秒 {n} 次更新",
    "train.start": "开始", "train.pause": "暂停", "train.go": "继续", "train.reset": "重新开始", "train.look": "看看这个网络的内部",
    "train.state": "{updates} 次更新，{problems} 道题 · 误差 {error}", "train.bad": "{name}必须在 {low} 到 {high} 之间。",
    "train.done": "图中 {pairs} 道题全部正确。", "train.map": "学习中的全部题目", "train.failed": "此处无法开始训练：{reason}",

    about: "它是怎样得到的",
    "about.command": "要重新得到它，保存 recipe.toml 并运行", "about.copy": "复制", "about.copied": "已复制",
    "about.recipe": "配方", "about.seed": "随机种子", "about.engine": "引擎", "about.problems": "学过的题目", "about.seconds": "训练秒数", "about.dtype": "算术", "about.weights": "权重的 SHA-256", "about.versions": "版本", "about.task": "任务", "about.cell": "网络", "about.origin": "起始权重",
    "about.units": "{hidden} 个 {activation} 单元", "about.imported": "这些权重是在别处训练后导入的。", "about.here": "在本页中训练：{hidden} 个单元，步长 {step}，种子 {seed}，{updates} 次更新。用同样的设置重新训练会得到同样的网络。",
    "about.downloads": "带走它", "about.none": "证书太长，没有放进本页：它在同一文件夹里。",
    "about.random": "随机权重",
  },
};

/** A function that says things in one language. */
export function speaker(language) {
  const table = STRINGS[language], number = new Intl.NumberFormat(language === "zh" ? "zh-CN" : "en");
  const say = (key, values = {}) => {
    if (!(key in table)) throw new Error(`no text for ${key}`);
    return table[key].replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name];
      return typeof value === "number" && Number.isInteger(value) ? number.format(value) : String(value);
    });
  };
  say.language = language;
  say.number = (value) => number.format(value);
  return say;
}
