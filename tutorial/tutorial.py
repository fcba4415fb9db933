# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] lang="en"
# # A small network learns to add, and is proved right
#
# You will write a recurrent network in plain NumPy: two inputs, 32 hidden units, one output. It is
# shown 20,000 sums of 8-bit numbers, one pair of bits at a time, and has to find out by itself that
# there is such a thing as a carry.
#
# This tutorial follows an older one, chapter by chapter. That one printed `118 + 8 = 255` at its end,
# and its last line reads: *"The logic of the code may be wrong; the results are poor."* Chapters 1 to
# 10 build the network that works. Chapter 11 shows why the old one could not. The rest asks what no
# test can answer: is the network right for **all** numbers, however long?
#
# For each piece that you write you also meet the function of the package `carrynet` that does the
# same, and a check that both agree. Every check is an `assert`: a chapter that runs to its end is right.
#
# Where a result surprises most people, you are asked to **predict first**; the result is folded away
# until you have. So are the answers to the **exercises**, and the code that only draws a figure.

# %% [markdown] lang="zh"
# # 一个小网络学会了加法，并且被证明是对的
#
# 你将用纯 NumPy 写一个循环神经网络：2 个输入、32 个隐藏单元、1 个输出。我们给它看 20,000 道 8 位二进制加法题，
# 每次只看一对二进制位。世上有“进位”这回事，要靠它自己去发现。
#
# 本教程按章节顺序重写了一份旧教程。旧教程最后打印的是 `118 + 8 = 255`，全文最后一行是：
# *“模型代码逻辑可能存在错误，模型训练结果不理想。”* 第 1 到 10 章写出一个真正能用的网络；第 11 章说明旧的那个为什么学不会；
# 其余各章回答一个靠测试回答不了的问题：对**所有**的数，无论多长，这个网络都算得对吗？
#
# 你每写完一部分，都会见到 `carrynet` 包里做同一件事的函数，并检查两者结果一致。每个检查都是一条 `assert`：
# 一章能运行到底，就说明它是对的。
#
# 遇到多数人会意外的结果，本教程请你**先猜一猜**，结果先折叠起来，猜过再看。**练习**的答案，以及只用来画图的代码，也都折叠着。

# %%
import time
from collections import Counter
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import SVG
from matplotlib.patches import Patch
from tqdm import tqdm

import carrynet as cn
from carrynet import tasks
from carrynet.data.drawn import draw
from carrynet.judge import extraction as extract
from carrynet.judge.work import work
from carrynet.learn import training
from carrynet.nets import arrays, bptt, losses, optim
from carrynet.nets.network import Network
from carrynet.nets.weights import Weights, initialise
from carrynet.proof import check, search
from carrynet.report import drawing, plots
from carrynet.report.worked import columns, explanation

# %% role="figure"
plt.rcParams |= {
    "figure.figsize": (8, 2.6),
    "figure.dpi": 80,
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
}
plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False}

# %% [markdown] lang="en"
# ## 1. The functions of a layer
#
# The hidden units and the output pass what they receive through the sigmoid
#
# $$y = \sigma(z) = \frac{1}{1 + e^{-z}},$$
#
# which maps every number into $(0, 1)$. Its derivative is convenient: it can be had from the
# **output** $y$, without knowing $z$,
#
# $$\sigma'(z) = y\,(1 - y).$$
#
# Mind what `diff_sigmoid` takes: the output $y$, and nothing else. Chapter 11 comes back to this.

# %% [markdown] lang="zh"
# ## 1. 网络层的函数
#
# 隐藏单元和输出单元都用 sigmoid 函数处理收到的值：
#
# $$y = \sigma(z) = \frac{1}{1 + e^{-z}},$$
#
# 它把任何实数映射到 $(0, 1)$ 之内。它的导数很方便：只要知道**输出** $y$ 就能算出来，不必知道 $z$，
#
# $$\sigma'(z) = y\,(1 - y).$$
#
# 请记住 `diff_sigmoid` 的自变量是什么：是输出 $y$，不是别的。第 11 章还会回到这一点。


# %%
def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def diff_sigmoid(y):  # y = σ(z)
    return y * (1 - y)


z = np.linspace(-8, 8, 161)
y = sigmoid(z)

# %% role="figure"
fig, (left, right) = plt.subplots(1, 2)
left.plot(z, y, label=r"$y = \sigma(z)$")
left.set(xlabel="$z$", ylabel="$y$")
right.plot(z, diff_sigmoid(y), color="C1", label=r"$\sigma'(z) = y\,(1-y)$")
right.set(xlabel="$z$", ylabel=r"$\sigma'$", ylim=(0, 0.33))
for axis in (left, right):
    axis.legend(loc="upper left")
plt.show()

# %% [markdown] lang="en"
# *Figure 1.* Left: the sigmoid. Right: its derivative, as had from the output alone. It is 1/4 at most, and
# next to nothing where the output is nearly 0 or 1.
#
# In the package these are `arrays.sigmoid` and `arrays.sigmoid_slope`. And the derivative is what it
# claims to be, which a **central difference** tells without any calculus:
#
# $$\sigma'(z) \approx \frac{\sigma(z + \varepsilon) - \sigma(z - \varepsilon)}{2\,\varepsilon}.$$

# %% [markdown] lang="zh"
# *图 1.* 左：sigmoid 函数。右：它的导数，只由输出算出；最大为 1/4，输出接近 0 或 1 时几乎为零。
#
# 包里对应的函数是 `arrays.sigmoid` 和 `arrays.sigmoid_slope`。至于导数算得对不对，不用微积分也能检查，用**中心差分**就行：
#
# $$\sigma'(z) \approx \frac{\sigma(z + \varepsilon) - \sigma(z - \varepsilon)}{2\,\varepsilon}.$$

# %%
assert np.allclose(y, arrays.sigmoid(z), rtol=1e-15)
assert np.allclose(diff_sigmoid(y), arrays.sigmoid_slope(y), rtol=0, atol=1e-15)

eps = 1e-6
difference = (sigmoid(z + eps) - sigmoid(z - eps)) / (2 * eps)
print(f"max |Δ| = {np.abs(difference - diff_sigmoid(y)).max():.0e}")
assert np.allclose(difference, diff_sigmoid(y), atol=1e-9)

# %% [markdown] lang="en"
# **Exercise 1.** Many networks use $\tanh$ in place of the sigmoid. How is its derivative had from its output,
# and does a central difference agree?
#
# <details><summary>Why</summary>
#
# With $y = \tanh z$, the quotient rule gives $y' = (\cosh^2 z - \sinh^2 z) / \cosh^2 z = 1 - y^2$.
#
# </details>

# %% [markdown] lang="zh"
# **练习 1.** 许多网络不用 sigmoid，而用 $\tanh$。怎样由它的输出求出导数？与中心差分一致吗？
#
# <details><summary>为什么</summary>
#
# 设 $y = \tanh z$，由商的求导法则得 $y' = (\cosh^2 z - \sinh^2 z) / \cosh^2 z = 1 - y^2$。
#
# </details>


# %% role="answer"
def diff_tanh(y):  # y = tanh(z)
    return 1 - y**2


difference = (np.tanh(z + eps) - np.tanh(z - eps)) / (2 * eps)
print(f"max |Δ| = {np.abs(difference - diff_tanh(np.tanh(z))).max():.0e}")
assert np.allclose(difference, diff_tanh(np.tanh(z)), atol=1e-9)

# %% [markdown] lang="en"
# ## 2. Initial weights
#
# The network has three layers, $X = 2$ inputs (one bit of each number), $H = 32$ hidden units,
# $Y = 1$ output (one bit of the sum), and three matrices of weights:
#
# | matrix | shape | from | to |
# |---|---|---|---|
# | $W_{xh}$ | $X \times H$ | input | hidden |
# | $W_{hh}$ | $H \times H$ | hidden, one position earlier | hidden |
# | $W_{hy}$ | $H \times Y$ | hidden | output |
#
# All begin as random numbers between −1 and 1. The second one is what makes the network
# *recurrent*: through it the hidden units hear themselves, one position later. If the network ever
# remembers a carry, it does so there.
#
# (The old tutorial had two outputs and one target for both. One is enough; chapter 11 looks at the
# second.)

# %% [markdown] lang="zh"
# ## 2. 初始权重
#
# 网络有三层：$X = 2$ 个输入（两个数各出一位），$H = 32$ 个隐藏单元，$Y = 1$ 个输出（和的一位）；层与层之间有三个权重矩阵：
#
# | 矩阵 | 形状 | 从 | 到 |
# |---|---|---|---|
# | $W_{xh}$ | $X \times H$ | 输入层 | 隐藏层 |
# | $W_{hh}$ | $H \times H$ | 前一位时的隐藏层 | 隐藏层 |
# | $W_{hy}$ | $H \times Y$ | 隐藏层 | 输出层 |
#
# 初始值都是 −1 到 1 之间的随机数。第二个矩阵使网络成为**循环**网络：通过它，隐藏单元听得到前一位时的自己。
# 网络如果能记住进位，就是靠它。
#
# （旧教程有两个输出，却共用一个目标值。其实一个输出就够了；第 11 章再看多出来的那一个。）

# %%
X, H, Y = 2, 32, 1
rng = np.random.default_rng(seed=0)
Wxh = 2 * rng.random((X, H)) - 1
Whh = 2 * rng.random((H, H)) - 1
Why = 2 * rng.random((H, Y)) - 1

# %% role="figure"
fig, axes = plt.subplots(1, 3, width_ratios=[32, 32, 6])
for axis, W, name in zip(axes, (Wxh, Whh, Why), ("W_{xh}", "W_{hh}", "W_{hy}")):
    image = axis.imshow(W, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    rows, cols = W.shape
    axis.set(title=f"${name}$", xlabel="$j$", xticks=[0, cols - 1], yticks=[0, rows - 1])
    axis.set(xticklabels=[1, cols] if cols > 1 else [1, 1], yticklabels=[1, rows])
axes[0].set_ylabel("$i$")
fig.colorbar(image, label="$W_{ij}$")
plt.show()

# %% [markdown] lang="en"
# *Figure 2.* The three matrices: the weight from unit $i$ to unit $j$, red below and blue above zero.
#
# In the package: `weights.initialise`. Its random numbers are others, but they have the same shapes
# and the same distribution, uniform with mean 0 and standard deviation $1/\sqrt 3$. We go on with
# those of the package, so that in chapter 9 your network and the package's, which begin alike, can be
# compared after 20,000 sums.

# %% [markdown] lang="zh"
# *图 2.* 三个矩阵：从单元 $i$ 到单元 $j$ 的权重，红色为负，蓝色为正。
#
# 包里对应的函数是 `weights.initialise`。它用的是另一批随机数，但形状相同，分布也相同：均匀分布，均值为 0，标准差为 $1/\sqrt 3$。
# 下面改用包里生成的初始权重。这样，到了第 9 章，你的网络和包里的网络从同一起点出发，学完 20,000 道题之后还可以逐个权重地比较。

# %%
adding = tasks.add()
initial = initialise(adding, H, seed=0, dtype="float64")
for mine, theirs in zip((Wxh, Whh, Why), (initial.Wxh, initial.Whh, initial.Why)):
    assert mine.shape == theirs.shape
    assert theirs.min() >= -1 and theirs.max() < 1
    print(
        f"{mine.shape!s:9} {mine.mean():6.2f} {theirs.mean():6.2f}  {mine.std():.2f} {theirs.std():.2f}"
    )
assert abs(initial.Whh.mean()) < 0.1 and abs(initial.Whh.std() - 3**-0.5) < 0.05
assert not initial.bh.any() and not initial.by.any()

# %% [markdown] lang="en"
# ## 3. The binary table
#
# The network reads bits, so we look up each number from 0 to 255 in a table of its eight bits, the
# most significant on the left, as one writes them.

# %% [markdown] lang="zh"
# ## 3. 二进制表
#
# 网络读的是二进制位，所以先做一张表，查出 0 到 255 每个数的八位二进制表示；和书写习惯一样，最高位在左边。

# %%
bin_digits = 8
VALUE_MAX = 2**bin_digits
binary = np.unpackbits(np.arange(VALUE_MAX, dtype=np.uint8).reshape(-1, 1), axis=1)
int2bin = dict(enumerate(binary))
print(118, int2bin[118], "   ", 8, int2bin[8])

# %% role="figure"
fig, axis = plt.subplots(figsize=(8, 1.5))
axis.imshow(binary.T, cmap="Greys", aspect="auto", interpolation="nearest")
axis.set(xlabel="$n$", xticks=[0, 64, 128, 192, 255])
axis.set(yticks=[0, 7], yticklabels=["$2^7$", "$2^0$"])
bits = [Patch(facecolor=colour, edgecolor="k", label=bit) for bit, colour in enumerate(("w", "k"))]
axis.legend(handles=bits, loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown] lang="en"
# *Figure 3.* The table: a column for each number $n$, its bits from the most significant, $2^7$, down to $2^0$.
#
# In the package: `tasks.to_digits`, for integers of any size and any base. It puts the **least**
# significant digit first, the order in which one adds.

# %% [markdown] lang="zh"
# *图 3.* 这张表：每个数 $n$ 占一列，从上到下是它的各位，从最高位 $2^7$ 到最低位 $2^0$。
#
# 包里对应的函数是 `tasks.to_digits`，整数多大都行，什么进制都行。它把**最低位**放在最前面，也就是做加法时的顺序。

# %%
for number, bits in int2bin.items():
    digits = tasks.to_digits(number, base=2)
    assert digits + [0] * (bin_digits - len(digits)) == list(bits[::-1])

# %% [markdown] lang="en"
# ## 4. Posing a sum
#
# A problem is a pair of random numbers below $2^7$, so that the sum fits into eight bits. What the
# network is given at position $t$ are the two bits $a_t$ and $b_t$; what it is to answer is the bit
# $c_t$ of the sum. The carry $\kappa_t$ is shown here for you. The network never sees it.

# %% [markdown] lang="zh"
# ## 4. 出一道题
#
# 一道题就是两个小于 $2^7$ 的随机数，这样和一定放得进八位。在第 $t$ 位，网络得到的是 $a_t$ 和 $b_t$ 这两位，应当回答的是和的这一位 $c_t$。
# 下面列出的进位 $\kappa_t$ 只是给你看的，网络从来看不到。


# %%
def show(a, b):
    carry = [((a & (2**t - 1)) + (b & (2**t - 1))) >> t for t in range(bin_digits)]
    for name, bits in (
        ("κ", carry[::-1]),
        ("a", int2bin[a]),
        ("b", int2bin[b]),
        ("c", int2bin[a + b]),
    ):
        print(f"{name}  ", *bits)
    print(f"{a} + {b} = {a + b}\n")


show(118, 8)
show(*rng.integers(VALUE_MAX // 2, size=2))

# %% [markdown] lang="en"
# What *is* adding, bit by bit? A machine with two states, *no carry* and *carry*, that reads a pair
# of bits, answers a bit, and moves on: a **Mealy machine**. An edge of the drawing is labelled
# *bits read / bit answered*. In the package a task *is* its machine, and nothing else says what is
# right; `task.encode` makes a problem the word that the machine reads, one symbol $2 a_t + b_t$ for
# each position.

# %% [markdown] lang="zh"
# 逐位做加法，究竟是在做什么？其实就是一台有两个状态的机器，状态是**没有进位**和**有进位**；它读入一对二进制位，回答一位，然后转移到下一个状态。
# 这叫 **Mealy 机**。图中每条边上标的是“读入的两位 / 回答的一位”。在包里，一个任务**就是**它的 Mealy 机，什么是对的只由它说了算；
# `task.encode` 把一道题变成机器要读的词，每一位对应一个符号 $2 a_t + b_t$。

# %%
print(adding.machine)
for _ in range(1000):
    a, b = map(int, rng.integers(VALUE_MAX // 2, size=2))
    word = adding.encode((a, b), 7)
    assert word == [int(2 * p + q) for p, q in zip(int2bin[a][::-1], int2bin[b][::-1])]
    assert adding.machine.transduce(word) == list(int2bin[a + b][::-1])

# %% role="figure"
SVG(drawing.svg(adding.machine))

# %% [markdown] lang="en"
# *Figure 4.* The adding machine. State 0 is *no carry*, where it starts, and state 1 is *carry*.
#
# So what the network has to learn is this machine, from sums alone. It is told neither that there are
# two states nor when it is in which.

# %% [markdown] lang="zh"
# *图 4.* 加法机。状态 0 是**没有进位**，也是起点；状态 1 是**有进位**。
#
# 所以，网络要从一道道加法题里学出来的就是这台机器。没有人告诉它一共有两个状态，也没有人告诉它什么时候处在哪个状态。

# %% [markdown] lang="en"
# **Exercise 2.** How many states does a machine need that adds *three* numbers bit by bit? And one that
# subtracts?
#
# <details><summary>Why</summary>
#
# Three bits and a carry of 2 make at most 5, of which 1 is written and 2 carried: the carry can be 0, 1 or 2, and
# so there are three states. Subtracting needs two, *borrowed* and *not borrowed*.
#
# </details>

# %% [markdown] lang="zh"
# **练习 2.** 一台逐位把**三个**数相加的机器需要几个状态？做减法的机器呢？
#
# <details><summary>为什么</summary>
#
# 三个二进制位加上进位 2，最多是 5，写下 1，进位 2；进位可以是 0、1 或 2，所以有三个状态。减法需要两个：**借了位**和**没有借位**。
#
# </details>

# %% role="answer"
sizes = [len(tasks.parse(name).machine.states) for name in ("add:operands=3", "subtract")]
print(sizes)
assert sizes == [3, 2]

# %% [markdown] lang="en"
# ## 5. Forward through time, read right to left
#
# We begin with $h_0 = 0$ and go through the bits from right to left, the least significant first:
#
# $$z_t = x_t W_{xh} + h_{t-1} W_{hh}, \qquad h_t = \sigma(z_t), \qquad y_t = \sigma(h_t W_{hy}), \qquad t = 1 \dots T.$$
#
# Here $x_t = (a_t, b_t)$, and $h_{t-1}$ is the only way by which the past can speak to the present.
# The hidden states are kept: the way back needs them all. Rounded, $y_t$ is the network's answer.

# %% [markdown] lang="zh"
# ## 5. 正向传播：从右往左读
#
# 从 $h_0 = 0$ 开始，从右往左读，最低位在前：
#
# $$z_t = x_t W_{xh} + h_{t-1} W_{hh}, \qquad h_t = \sigma(z_t), \qquad y_t = \sigma(h_t W_{hy}), \qquad t = 1 \dots T.$$
#
# 其中 $x_t = (a_t, b_t)$；过去要影响现在，只有 $h_{t-1}$ 这一条路。每个隐藏状态都要留下来，反向传播时全都用得着。
# 把 $y_t$ 四舍五入，就是网络的回答。


# %%
def read(a, b):
    x = np.array([int2bin[a][::-1], int2bin[b][::-1]], dtype=float).T  # x_t = (a_t, b_t)
    c = np.array(int2bin[a + b][::-1], dtype=float).reshape(-1, 1)  # c_t
    return x, c


def forward(weights, x):
    Wxh, Whh, Why = weights
    h = [np.zeros(len(Whh))]  # h_0 = 0
    y = []
    for x_t in x:
        h.append(sigmoid(x_t @ Wxh + h[-1] @ Whh))  # h_t = σ(x_t Wxh + h_{t-1} Whh)
        y.append(sigmoid(h[-1] @ Why))  # y_t = σ(h_t Why)
    return np.array(h), np.array(y)


weights = [initial.Wxh.copy(), initial.Whh.copy(), initial.Why.copy()]
x, c = read(118, 8)
h, y = forward(weights, x)

# %% role="figure"
fig, (top, middle, bottom) = plt.subplots(
    3, 1, figsize=(8, 4.2), height_ratios=[2, 10, 2], sharex=True
)
top.imshow(x.T[:, ::-1], cmap="Greys", aspect="auto")
states = middle.imshow(h[1:].T[:, ::-1], cmap="viridis", vmin=0, vmax=1, aspect="auto")
shades = bottom.imshow(np.hstack([y, c]).T[:, ::-1], cmap="Greys", vmin=0, vmax=1, aspect="auto")
fig.colorbar(states, ax=middle, label="$h_t$", ticks=[0, 0.5, 1])
fig.colorbar(shades, ax=bottom, ticks=[0, 1])
top.set_yticks([0, 1], ["$a_t$", "$b_t$"])
middle.set(ylabel="$i$", yticks=[0, H - 1], yticklabels=[1, H])
bottom.set_yticks([0, 1], ["$y_t$", "$c_t$"])
bottom.set_xticks(range(8), range(8, 0, -1))
bottom.set_xlabel("$t$")
plt.show()

# %% [markdown] lang="en"
# *Figure 5.* 118 + 8, position by position: above the bits that are read, then the 32 hidden units, and below
# them the answers $y_t$ and what they should be, $c_t$.
#
# The columns stand as in a written sum, so time runs from right to left. The weights are still
# random, and so are the answers: $y_t$ has nothing to do with $c_t$ below it. In the package:
# `bptt.unroll`, and the network's own `read`. Its cell is an equation, as above: `fresh.cell`.

# %% [markdown] lang="zh"
# *图 5.* 逐位来看 118 + 8：上面是读入的各位，中间是 32 个隐藏单元，下面是回答 $y_t$ 和应有的回答 $c_t$。
#
# 图中各列和竖式的写法一样，所以时间从右往左走。权重还是随机的，回答当然也是乱的：$y_t$ 和它下面的 $c_t$ 毫无关系。
# 包里对应的是 `bptt.unroll` 和网络自己的 `read`。它的单元就是上面那样一个式子：`fresh.cell`。

# %%
fresh = Network(adding, "sigmoid", initial)
print(fresh.cell)
states = bptt.unroll(fresh, x).along(0)
logits = fresh.read(states)
print(f"max |Δ| = {np.abs(h[1:] - states).max():.0e}, {np.abs(y - sigmoid(logits)).max():.0e}")
assert np.allclose(h[1:], states, atol=1e-14) and np.allclose(y, sigmoid(logits), atol=1e-14)
assert (losses.predict(logits) == np.round(y[:, 0])).all()

# %% [markdown] lang="en"
# **Exercise 3.** Suppose that $W_{hh} = 0$. Then $y_t$ is some function of the two bits $a_t$ and $b_t$ alone. Of all
# such functions, how many of the 65,536 sums of 8-bit numbers does the best one get right?
#
# <details><summary>Why</summary>
#
# The best are "exactly one of the two" and "at least one", which are right as long as nothing is ever carried: in
# no position may both bits be 1, which leaves three of the four pairs in each of eight positions, $3^8 = 6{,}561$
# sums.
#
# </details>

# %% [markdown] lang="zh"
# **练习 3.** 假设 $W_{hh} = 0$，那么 $y_t$ 只是 $a_t$ 和 $b_t$ 这两位的某个函数。8 位数的加法一共 65,536 道，在所有这样的函数里，最好的那个能做对几道？
#
# <details><summary>为什么</summary>
#
# 最好的是“两位里恰好有一个 1”和“两位里至少有一个 1”。只要从头到尾没有进位，它们就是对的：哪一位上都不能两个数同时是 1，八位里每一位在四种组合中剩下三种，一共 $3^8 = 6{,}561$ 道。
#
# </details>

# %% role="answer"
a, b = np.meshgrid(np.arange(VALUE_MAX), np.arange(VALUE_MAX))
places = range(bin_digits + 1)  # the ninth takes the last carry
read_bits = [2 * (a >> t & 1) + (b >> t & 1) for t in places]
right_sums = []
for function in np.ndindex(2, 2, 2, 2):  # all 16 functions of two bits
    answers = sum(np.array(function)[pair] << t for t, pair in enumerate(read_bits))
    right_sums.append((answers == a + b).sum())
print(sorted(map(int, right_sums))[::-1])
assert max(right_sums) == 3**8

# %% [markdown] lang="en"
# ## 6. The error
#
# How wrong is an answer? At position $t$ by $e_t = c_t - y_t$. The tutorial prints
# $\sum_t |e_t|$; what training makes small is
#
# $$E = \tfrac12 \sum_{t=1}^{T} (c_t - y_t)^2.$$

# %% [markdown] lang="zh"
# ## 6. 误差
#
# 回答错得有多远？第 $t$ 位的误差是 $e_t = c_t - y_t$。教程打印的是 $\sum_t |e_t|$；训练要减小的则是
#
# $$E = \tfrac12 \sum_{t=1}^{T} (c_t - y_t)^2.$$


# %%
def error(weights, x, c):
    return 0.5 * ((c - forward(weights, x)[1]) ** 2).sum()


print("  t   c_t    y_t    e_t")
for t, (c_t, y_t) in enumerate(zip(c[:, 0], y[:, 0]), start=1):
    print(f"{t:3}   {c_t:.0f}    {y_t:5.2f}  {c_t - y_t:5.2f}")
print(f"Σ|e_t| = {np.abs(c - y).sum():.2f}    E = {error(weights, x, c):.2f}")

assert np.isclose(error(weights, x, c), losses.SQUARED.value(logits, c).sum(), rtol=1e-12)
assert np.isclose(np.abs(c - y).sum(), work(fresh, (118, 8), 7).error, rtol=1e-6)

# %% [markdown] lang="en"
# ## 7. Backpropagation through time
#
# ### On paper
#
# In which direction should each weight move so that $E$ falls fastest? Against the gradient. We
# follow $E$ back to the weights, from the last position to the first, by the chain rule, and write
# $\delta$ for *minus* a derivative, the direction in which to move.
#
# **The output.** With $v_t = h_t W_{hy}$ and $y_t = \sigma(v_t)$, of which $E$ contains
# $\tfrac12 (c_t - y_t)^2$,
#
# $$\delta^y_t = -\frac{\partial E}{\partial v_t} = (c_t - y_t)\,\sigma'(v_t) = e_t\; y_t (1 - y_t).$$
#
# **The hidden units.** $h_t$ acts on $E$ in two ways: through the output $v_t$ of its own position, and
# through $z_{t+1} = x_{t+1} W_{xh} + h_t W_{hh}$, and so through everything after it. Both add up:
#
# $$\delta^h_t = -\frac{\partial E}{\partial z_t} = \left(\delta^y_t W_{hy}^\top + \delta^h_{t+1} W_{hh}^\top\right) \circ h_t (1 - h_t), \qquad \delta^h_{T+1} = 0.$$
#
# This is why we go backwards: $\delta^h_t$ needs $\delta^h_{t+1}$. ($\circ$ multiplies unit by unit.)
#
# **The weights.** All positions use the same matrices, so each matrix gathers its share from all:
#
# $$-\frac{\partial E}{\partial W_{hy}} = \sum_t h_t^\top \delta^y_t, \qquad -\frac{\partial E}{\partial W_{hh}} = \sum_t h_{t-1}^\top \delta^h_t, \qquad -\frac{\partial E}{\partial W_{xh}} = \sum_t x_t^\top \delta^h_t.$$
#
# ### In code
#
# Each line stands beside its formula.

# %% [markdown] lang="zh"
# ## 7. 随时间反向传播
#
# ### 在纸上
#
# 要让 $E$ 下降得最快，每个权重该往哪边动？逆着梯度的方向。我们用链式法则，从最后一位往第一位走，由 $E$ 一路追溯到权重。
# 下面用 $\delta$ 表示导数的**相反数**，也就是该移动的方向。
#
# **输出层。** 记 $v_t = h_t W_{hy}$，$y_t = \sigma(v_t)$。$E$ 中与它有关的项是 $\tfrac12 (c_t - y_t)^2$，所以
#
# $$\delta^y_t = -\frac{\partial E}{\partial v_t} = (c_t - y_t)\,\sigma'(v_t) = e_t\; y_t (1 - y_t).$$
#
# **隐藏层。** $h_t$ 通过两条路影响 $E$：一条经过本位的输出 $v_t$，另一条经过 $z_{t+1} = x_{t+1} W_{xh} + h_t W_{hh}$，从而影响后面的每一位。两条路的贡献相加：
#
# $$\delta^h_t = -\frac{\partial E}{\partial z_t} = \left(\delta^y_t W_{hy}^\top + \delta^h_{t+1} W_{hh}^\top\right) \circ h_t (1 - h_t), \qquad \delta^h_{T+1} = 0.$$
#
# 算 $\delta^h_t$ 要先有 $\delta^h_{t+1}$，所以必须倒着走。（$\circ$ 表示逐个单元相乘。）
#
# **权重。** 各位共用同样的矩阵，所以每个矩阵要把各位的贡献加起来：
#
# $$-\frac{\partial E}{\partial W_{hy}} = \sum_t h_t^\top \delta^y_t, \qquad -\frac{\partial E}{\partial W_{hh}} = \sum_t h_{t-1}^\top \delta^h_t, \qquad -\frac{\partial E}{\partial W_{xh}} = \sum_t x_t^\top \delta^h_t.$$
#
# ### 写成代码
#
# 每一行旁边就是它的公式。


# %%
def backward(weights, x, h, delta_y):
    _, Whh, Why = weights
    dWxh, dWhh, dWhy = (np.zeros_like(W) for W in weights)
    delta_h = np.zeros(len(Whh))  # δh_{T+1} = 0
    for t in range(len(x), 0, -1):  # t = T ... 1
        heard = delta_y[t - 1] @ Why.T + delta_h @ Whh.T  # δy_t Whyᵀ + δh_{t+1} Whhᵀ
        delta_h = heard * diff_sigmoid(h[t])  # δh_t = (...) ∘ h_t (1 - h_t)
        dWhy += np.outer(h[t], delta_y[t - 1])  # Σ_t h_tᵀ δy_t
        dWhh += np.outer(h[t - 1], delta_h)  # Σ_t h_{t-1}ᵀ δh_t
        dWxh += np.outer(x[t - 1], delta_h)  # Σ_t x_tᵀ δh_t
    return dWxh, dWhh, dWhy


delta_y = (c - y) * diff_sigmoid(y)  # δy_t = e_t y_t (1 - y_t)
moves = backward(weights, x, h, delta_y)
print([move.shape for move in moves])

# %% [markdown] lang="en"
# Is it right? Two judges. The first knows nothing of the chain rule: it moves one weight by
# $\pm\varepsilon$, lets the network run, and looks how much $E$ changes, for each of the 1,120
# weights. The second is `bptt.bptt` of the package, which gives the gradient itself, thus with the
# other sign.

# %% [markdown] lang="zh"
# 推对了吗？请两位裁判。第一位不懂链式法则：它把一个权重移动 $\pm\varepsilon$，让网络跑一遍，看 $E$ 变了多少；1,120 个权重一个不漏。
# 第二位是包里的 `bptt.bptt`，它给出的是梯度本身，所以符号相反。


# %%
def central_differences(weights, x, c, eps=1e-5):
    differences = []
    for W in weights:
        difference = np.empty_like(W)
        for place in np.ndindex(W.shape):
            kept = W[place]
            W[place] = kept + eps
            above = error(weights, x, c)
            W[place] = kept - eps
            below = error(weights, x, c)
            W[place] = kept
            difference[place] = (above - below) / (2 * eps)
        differences.append(difference)
    return differences


differences = central_differences(weights, x, c)
gradients, _ = bptt.bptt(fresh, losses.SQUARED, x, c, biases=False)

flat = np.concatenate([move.ravel() for move in moves])
numeric = -np.concatenate([difference.ravel() for difference in differences])
package = -np.concatenate([g.ravel() for g in (gradients.Wxh, gradients.Whh, gradients.Why)])
print(
    f"{flat.size}   max |Δ| = {np.abs(flat - numeric).max():.0e}, {np.abs(flat - package).max():.0e}"
)
assert np.allclose(flat, numeric, rtol=1e-6, atol=1e-9)
assert np.allclose(flat, package, rtol=1e-10, atol=1e-14)

# %% role="figure"
fig, axis = plt.subplots(figsize=(5.2, 3.2))
for move, difference, name in zip(moves, differences, ("W_{xh}", "W_{hh}", "W_{hy}")):
    axis.plot(-difference.ravel(), move.ravel(), ".", markersize=3, label=f"${name}$")
axis.axline((0, 0), slope=1, color="0.8", zorder=0)
axis.set(xlabel=r"$-\Delta E\,/\,2\varepsilon$", ylabel=r"$-\partial E\,/\,\partial W$")
axis.legend(markerscale=3)
plt.show()

# %% [markdown] lang="en"
# *Figure 6.* The move of each of the 1,120 weights, by the chain rule and by central differences. All lie on
# the diagonal.
#
# ## 8. Updating
#
# One step of **gradient descent** moves every weight a little, by the step size 0.1, in the direction
# found:
#
# $$W \leftarrow W + 0.1 \cdot \left(-\frac{\partial E}{\partial W}\right).$$
#
# To see that it works: the same sum again and again, one update each time. In the package:
# `optim.sgd`.

# %% [markdown] lang="zh"
# *图 6.* 1,120 个权重各该移动多少：纵轴由链式法则算出，横轴由中心差分算出。所有的点都在对角线上。
#
# ## 8. 更新权重
#
# **梯度下降**每走一步，就让每个权重沿着刚才求出的方向移动一点，步长为 0.1：
#
# $$W \leftarrow W + 0.1 \cdot \left(-\frac{\partial E}{\partial W}\right).$$
#
# 看看管不管用：把同一道题反复给它做，每做一次更新一次。包里对应的函数是 `optim.sgd`。

# %%
step = 0.1


def update(weights, moves):
    for W, move in zip(weights, moves):
        W += step * move


practised = [W.copy() for W in weights]
errors = []
for _ in range(300):
    h, y = forward(practised, x)
    errors.append(0.5 * ((c - y) ** 2).sum())
    update(practised, backward(practised, x, h, (c - y) * diff_sigmoid(y)))

    if len(errors) == 1:
        once, _ = optim.sgd(initial, gradients, (), step, 1)
        for mine, theirs in zip(practised, (once.Wxh, once.Whh, once.Why)):
            assert np.allclose(mine, theirs, rtol=0, atol=1e-14)

assert errors[1] < errors[0] and errors[-1] < 0.1 * errors[0]

# %% role="figure"
fig, axis = plt.subplots()
axis.plot(errors, label="118 + 8")
axis.set(xlabel="$n$", ylabel="$E$", ylim=(0, None))
axis.legend()
plt.show()

# %% [markdown] lang="en"
# *Figure 7.* The error $E$ of the one sum after $n$ updates.
#
# It has learned one sum by heart. That is not yet adding.
#
# ## 9. 20,000 problems
#
# Now a new sum each time: pose it, go forward, go backward, update. That is all of training.
#
# So that your network and the package's see the same sums, we take them from `draw`: pairs
# of random numbers below $2^7$, as in chapter 4. The bar takes some seconds.

# %% [markdown] lang="zh"
# *图 7.* 更新 $n$ 次之后，这一道题的误差 $E$。
#
# 它把一道题背下来了。这还不叫会做加法。
#
# ## 9. 20,000 道题
#
# 现在每次换一道新题：出题、正向传播、反向传播、更新。训练就是这些，没有别的。
#
# 为了让你的网络和包里的网络做同样的题，题目由 `draw` 来出：和第 4 章一样，是两个小于 $2^7$ 的随机数。进度条要走几秒钟。

# %%
recipe = cn.Recipe(hidden=H, digits=bin_digits, seed=0, dtype="float64")
words = draw(recipe, stage=0, first=0, count=20_000)[:, 0]  # 2 a_t + b_t
powers = 2 ** np.arange(bin_digits)
problems = [(int(a), int(b)) for a, b in zip(words // 2 @ powers, words % 2 @ powers)]
print(problems[:5], "...")
assert max(max(pair) for pair in problems) < VALUE_MAX // 2

# %% [markdown] lang="en"
# > **Predict first.** Who guesses eight bits at 50:50 has an error $\sum_t |e_t|$ of 4. Sketch the curve of the network's from there, over 20,000 sums. Will it fall from the first sum on, and will it be steepest at the beginning?

# %% [markdown] lang="zh"
# > **先猜一猜。** 八位全靠猜，误差 $\sum_t |e_t|$ 是 4。请画出网络做 20,000 道题时误差的曲线：是不是从第一道题就开始下降？是不是一开始降得最快？

# %%
errors, moments = [], {}
started = time.perf_counter()
for number, (a, b) in enumerate(tqdm(problems)):
    if number in (0, 2_000, 4_000):
        moments[number] = [W.copy() for W in weights]
    x, c = read(a, b)
    h, y = forward(weights, x)
    errors.append(np.abs(c - y).sum())
    update(weights, backward(weights, x, h, (c - y) * diff_sigmoid(y)))
seconds = time.perf_counter() - started
moments[len(problems)] = weights
mean = np.mean(np.reshape(errors, (-1, 100)), axis=1)

# %% role="result"
fig, axis = plt.subplots()
axis.plot(100 * np.arange(1, 201), mean, label=r"$\sum_t |e_t|$")
axis.axhline(4, color="0.6", linestyle=":", label=r"$8 \times \frac{1}{2}$")
axis.set(xlabel="$n$", ylabel=r"$\sum_t |e_t|$", ylim=(0, None))
axis.legend()
plt.show()
assert mean[:10].min() > 3.5 and mean[-10:].max() < 0.5

# %% [markdown] lang="en"
# *Figure 8.* The error while $n$ sums are learned, the mean of 100 at a time. Dotted: guessing.
#
# For the first two thousand sums or so hardly anything happens: eight bits at 50:50 give an error of 4.
# Then the network discovers the carry, and the error falls.
#
# In the package: `training.fit`. The same initial weights, the same sums, the same arithmetic: after
# 20,000 updates the weights must still be the same, up to rounding. Then the same job in machine code
# made for exactly this network, in single precision, and how many times faster it was than your loop.

# %% [markdown] lang="zh"
# *图 8.* 学过 $n$ 道题时的误差，每 100 道取平均。虚线：全靠猜。
#
# 前两千来道题几乎没有动静：八位里每一位都靠猜，误差就在 4 附近。然后网络发现了进位，误差随即下降。
#
# 包里对应的函数是 `training.fit`。初始权重相同，题目相同，算术相同，那么 20,000 次更新之后，除了舍入误差，权重也应当相同。
# 最后再用专为这个网络生成的机器码（单精度）跑同样的训练，看看它比你的循环快多少倍。

# %%
theirs = training.fit(recipe, engine="numpy").weights
for mine, other in zip(weights, (theirs.Wxh, theirs.Whh, theirs.Why)):
    print(f"max |Δ| = {np.abs(mine - other).max():.0e}")
    assert np.allclose(mine, other, rtol=0, atol=1e-6)

single = replace(recipe, dtype="float32")
training.fit(single, reports=1)
started = time.perf_counter()
fitted = training.fit(single, reports=1)
print(f"× {seconds / (time.perf_counter() - started):.0f}")
assert list(training.last_problem(recipe)) == list(problems[-1])

# %% [markdown] lang="en"
# **Exercise 4.** Leave the second term out of the way back, $\delta^h_{t+1} W_{hh}^\top$, as if no position acted on
# later ones. Then what is followed is no longer the gradient. Does the network still learn?
#
# <details><summary>Why</summary>
#
# It does, but later. The carry into a position is made of the bits just before it, and $h_{t-1}$ still reaches
# $W_{hh}$ as an input; what is lost is the blame of an earlier position for a later error.
#
# </details>

# %% [markdown] lang="zh"
# **练习 4.** 反向传播时去掉第二项 $\delta^h_{t+1} W_{hh}^\top$，就像哪一位都不影响后面的位。这样走的方向不再是梯度。网络还学得会吗？
#
# <details><summary>为什么</summary>
#
# 学得会，只是慢。进到某一位的进位是由它前面几位决定的，而 $h_{t-1}$ 仍然作为输入到达 $W_{hh}$；失去的只是一件事：后面出错时，前面的位不再受到追究。
#
# </details>


# %% role="answer"
def shortened(weights, x, h, delta_y):
    """`backward`, without what later positions say."""
    heard = delta_y @ weights[2].T * diff_sigmoid(h[1:])
    return x.T @ heard, h[:-1].T @ heard, h[1:].T @ delta_y


late = [initial.Wxh.copy(), initial.Whh.copy(), initial.Why.copy()]
late_errors = []
for a, b in problems:
    x, c = read(a, b)
    h, y = forward(late, x)
    late_errors.append(np.abs(c - y).sum())
    update(late, shortened(late, x, h, (c - y) * diff_sigmoid(y)))
late_mean = np.mean(np.reshape(late_errors, (-1, 1000)), axis=1)
print("Σ|e_t|, n = 5,000, 20,000:", late_mean[[4, 19]].round(2), mean[[49, 199]].round(2))
assert late_mean[19] < 0.5 and late_mean[4] > 2 * mean[49]

# %% [markdown] lang="en"
# ## 10. Evaluation
#
# The old tutorial ended by printing the last problem, as here.

# %% [markdown] lang="zh"
# ## 10. 评估
#
# 旧教程最后打印了最后一道题的结果，这里也照样打印。


# %%
def answer(weights, a, b):
    _, y = forward(weights, read(a, b)[0])
    return int(np.round(y[:, 0]) @ powers)


def report(weights, a, b):
    x, c = read(a, b)
    _, y = forward(weights, x)
    print(f"Σ|e_t| = {np.abs(c - y).sum():.2f}")
    print("y  ", np.round(y[::-1, 0]).astype(int))
    print("c  ", c[::-1, 0].astype(int))
    print(f"{a} + {b} = {answer(weights, a, b)}\n")


report(weights, *problems[-1])
report(weights, 118, 8)
assert answer(weights, 118, 8) == 126

# %% [markdown] lang="en"
# `118 + 8 = 126`: the sum with which the old tutorial failed. Give your weights to `carrynet`
# and see the same sum in columns, and digit by digit with the hidden units as bars.

# %% [markdown] lang="zh"
# `118 + 8 = 126`：正是旧教程算错的那一道。把你的权重交给 `carrynet`，就能看到同一道题的竖式，以及逐位的过程；小竖条是各个隐藏单元的值。


# %%
Wxh, Whh, Why = (W.astype(np.float32) for W in weights)
none = {"bh": np.zeros(H, "f"), "by": np.zeros(Y, "f")}
mine = Network(adding, "sigmoid", Weights(Wxh=Wxh, Whh=Whh, Why=Why, **none))

worked = work(mine, (118, 8), hidden=True)
print(columns(worked), "\n")
print(explanation(worked, mine).rpartition("\n\n")[0])
assert all(answer(weights, a, b) == mine.add(a, b) == a + b for a, b in problems[-200:])

# %% [markdown] lang="en"
# ## 11. Why the old one failed
#
# Its training loop is the one that you have just written, apart from one word (and one output too many,
# of which below):
#
# ```python
# temp_error = Y - output_layer
# diff_output_layer.append(temp_error * diff_sigmoid(temp_error))    # of the error!
# ```
#
# `diff_sigmoid` wants the output $y$ and was given the error $e$. So the output moves by
#
# $$\tilde\delta^y = e \cdot e\,(1 - e) = e^2 (1 - e) \qquad\text{instead of}\qquad \delta^y = e \cdot y\,(1 - y).$$
#
# As $y$ lies in $(0, 1)$, the error $e = c - y$ is below 1, and $e^2 (1 - e)$ **is never negative**.
# Whatever the target, the output is pushed up. Below, for both targets: the move that was made (red)
# and the one that is right (blue). Where the target is 1 they are the same, since $e = 1 - y$; where it
# is 0 the output is driven away from it, and the harder the more wrong it is.

# %% [markdown] lang="zh"
# ## 11. 旧教程为什么学不会
#
# 旧教程的训练循环就是你刚写的这个，只有一个词不一样（另外多了一个输出，下面再说）：
#
# ```python
# temp_error = Y - output_layer
# diff_output_layer.append(temp_error * diff_sigmoid(temp_error))    # 自变量成了误差！
# ```
#
# `diff_sigmoid` 要的是输出 $y$，给它的却是误差 $e$。于是输出的移动量成了
#
# $$\tilde\delta^y = e \cdot e\,(1 - e) = e^2 (1 - e) \qquad\text{而不是}\qquad \delta^y = e \cdot y\,(1 - y).$$
#
# 因为 $y$ 在 $(0, 1)$ 之内，误差 $e = c - y$ 小于 1，所以 $e^2 (1 - e)$ **永远不会是负数**。
# 不管目标是 0 还是 1，输出总是被往上推。下图对两种目标分别画出实际的移动量（红色）和正确的移动量（蓝色）。
# 目标是 1 时，$e = 1 - y$，两者恰好相同；目标是 0 时，输出被推离目标，而且错得越远，推得越狠。

# %% role="figure"
y = np.linspace(0.005, 0.995, 199)
fig, axes = plt.subplots(1, 2, sharey=True)
for axis, c_t in zip(axes, (0, 1)):
    e = c_t - y
    axis.axhline(0, color="0.8")
    axis.plot(y, e * diff_sigmoid(y), linewidth=4, alpha=0.5, label="$e\\cdot y(1-y)$")
    axis.plot(y, e * diff_sigmoid(e), color="C3", label="$e\\cdot e(1-e)$")
    axis.set(title=f"$c = {c_t}$", xlabel="$y$")
    assert (e * diff_sigmoid(e) >= 0).all()
axes[0].set_ylabel(r"$\delta^y$")
axes[0].legend()
plt.show()

# %% [markdown] lang="en"
# *Figure 9.* How an output $y$ is moved where the target is 0, and where it is 1: rightly (blue), and by the
# printed line (red).
#
# ### The first sums
#
# A direction of descent makes a small angle with minus the gradient; beyond 90° it goes uphill. We
# train by the printed line and stop after each of the first sums. Left: the eight outputs for 118 + 8.
# Right: the angle, in all 1,120 dimensions at once, between minus the central differences and your
# direction (blue) or the printed one (red), for 8 sums each time.
#
# > **Predict first.** After how many sums will the printed direction lead uphill: hundreds, dozens, or fewer?

# %% [markdown] lang="zh"
# *图 9.* 目标是 0 和目标是 1 时，输出 $y$ 怎样移动：正确的（蓝色）和旧教程的（红色）。
#
# ### 最初几道题
#
# 下降方向与负梯度的夹角应当很小；一旦超过 90°，就是在上坡。我们照旧教程那一行来训练，最初几道题每做一道就停下来看一看。
# 左图：118 + 8 的八个输出。右图：以中心差分的相反方向为准，你的方向（蓝色）和旧教程的方向（红色）各偏了多少度；
# 1,120 个维度一起算，每次取 8 道题。
#
# > **先猜一猜。** 做过多少道题之后，旧教程的方向就变成上坡：几百道、几十道，还是更少？


# %%
def true_delta(e, y):
    return e * diff_sigmoid(y)  # e y (1 - y)


def printed_delta(e, y):
    return e * diff_sigmoid(e)  # e e (1 - e)


def angle(one, other):
    one, other = (np.concatenate([W.ravel() for W in vector]) for vector in (one, other))
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


misled = [initial.Wxh.copy(), initial.Whh.copy(), initial.Why.copy()]
outputs, angles = [], {true_delta: [], printed_delta: []}
for a, b in problems[:7]:
    outputs.append(forward(misled, read(118, 8)[0])[1][:, 0])
    if len(outputs) <= 4:
        sums = [(x, c, *forward(misled, x)) for x, c in (read(*pair) for pair in problems[:8])]
        descents = [[-d for d in central_differences(misled, x, c)] for x, c, _, _ in sums]
        for delta, found in angles.items():
            moves = [backward(misled, x, h, delta(c - y, y)) for x, c, h, y in sums]
            found.append([angle(move, d) for move, d in zip(moves, descents)])
    x, c = read(a, b)
    h, y = forward(misled, x)
    update(misled, backward(misled, x, h, printed_delta(c - y, y)))

# %% role="result"
fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2))
for t, line in enumerate(np.transpose(outputs)):
    shade = plt.cm.Reds(0.35 + 0.08 * t)
    left.plot(line, "o-", color=shade, markersize=3, linewidth=0.6, label=f"$y_{t + 1}$")
left.set(xlabel="$n$", ylabel="$y_t$")
left.legend(ncols=2, loc="lower right", fontsize="small")
right.axhspan(90, 180, color="0.93")
for delta, colour in ((true_delta, "C0"), (printed_delta, "C3")):
    right.plot(angles[delta], ".", color=colour)
    right.plot(np.mean(angles[delta], axis=1), color=colour, label=delta.__name__)
right.legend(loc="upper left", fontsize="small")
ticks = [0, 45, 90, 135, 180]
right.set(
    xlabel="$n$",
    ylabel=r"$\angle\,(\delta, -\nabla E)$",
    xticks=range(4),
    yticks=ticks,
    yticklabels=[f"{d}°" for d in ticks],
    ylim=(-5, 215),
)
plt.show()

for n, (right_ones, printed_ones) in enumerate(zip(*angles.values())):
    print(
        f"n = {n}   {np.mean(right_ones):4.1f}°   {np.mean(printed_ones):5.1f}°   y > {min(outputs[n]):.4f}"
    )
assert np.max(angles[true_delta]) < 1
assert np.min(angles[printed_delta][1:]) > 90
assert min(outputs[4]) > 0.9999999

# %% [markdown] lang="en"
# *Figure 10.* After $n$ sums by the printed line. Left: its eight outputs for 118 + 8. Right: the angle between
# a direction and steepest descent, a point for each of 8 sums and a line through their means; grey is uphill.
#
# On the fresh weights nothing looks amiss: the outputs happen to be low, and up is where most of them
# should go. After **one** sum the printed direction leads uphill, and after four it is all over: every
# output is 1 to seven places or more, whatever is read. There $y (1 - y)$ is next to nothing, so the true
# gradient has vanished too, and even the right line could hardly lead back. After the other
# 19,996 sums it still answers 255, as the next figure shows.
#
# ### Side by side, and the second output
#
# There was a second oddity: two output units, and one target for both. Which of the two is to blame?
# Four networks from the same initial weights and the same 20,000 sums: the printed derivative or the
# right one, two outputs or one. (With two, NumPy's broadcasting gives both the same $c_t$, and only the
# first is read.)
#
# > **Predict first.** What will each of the four answer to 118 + 8?

# %% [markdown] lang="zh"
# *图 10.* 照旧教程那一行做过 $n$ 道题之后。左：118 + 8 的八个输出。右：各方向与最速下降方向的夹角，每个点是 8 道题中的一道，线是平均值；灰色区域是上坡。
#
# 在初始权重上看不出问题：输出碰巧偏低，大多数本来就该往上走。做了**一道**题之后，旧教程的方向就已经是上坡；做了四道题，一切都结束了：
# 不管读入什么，每个输出都是 1，至少精确到小数点后七位。这时 $y (1 - y)$ 几乎为零，真正的梯度也消失了，就算换上正确的那一行也很难回来。
# 再做完剩下的 19,996 道题，它的回答仍然是 255，见下一幅图。
#
# ### 并排训练，以及第二个输出
#
# 旧代码还有一处奇怪：有两个输出单元，却共用一个目标值。毛病究竟出在哪里？用同样的初始权重、同样的 20,000 道题训练四个网络：
# 导数用旧的或用对的，输出用两个或用一个。（有两个输出时，NumPy 的广播机制会把同一个 $c_t$ 给两个输出，而读答案时只读第一个。）
#
# > **先猜一猜。** 这四个网络对 118 + 8 各会回答什么？

# %%
second = initialise(adding, H, seed=1, dtype="float64").Why
trained, curves = {}, {}
for outputs in (2, 1):
    for delta in (printed_delta, true_delta):
        Why = np.hstack([initial.Why, second])[:, :outputs]
        four = [initial.Wxh.copy(), initial.Whh.copy(), Why.copy()]
        errors = []
        for a, b in tqdm(problems):
            x, c = read(a, b)
            h, y = forward(four, x)
            errors.append(np.abs(c - y[:, :1]).sum())
            update(four, backward(four, x, h, delta(c - y, y)))
        trained[delta, outputs] = four
        curves[delta, outputs] = np.mean(np.reshape(errors, (-1, 100)), axis=1)

# %% role="result"
fig, axis = plt.subplots()
for (delta, outputs), curve in curves.items():
    colour, line = "C3" if delta is printed_delta else "C0", "--" if outputs == 2 else "-"
    axis.plot(
        100 * np.arange(1, 201), curve, line, color=colour, label=f"{delta.__name__}, Y={outputs}"
    )
axis.set(xlabel="$n$", ylabel=r"$\sum_t |e_t|$", ylim=(0, None))
axis.legend(loc="center right", bbox_to_anchor=(1, 0.4))
plt.show()

for (delta, outputs), four in trained.items():
    print(f"{delta.__name__:14} Y = {outputs}   118 + 8 = {answer(four, 118, 8)}")
for outputs in (2, 1):
    assert answer(trained[printed_delta, outputs], 118, 8) == 255
    assert answer(trained[true_delta, outputs], 118, 8) == 126
for mine_W, other_W in zip(trained[true_delta, 1], weights):
    assert (mine_W == other_W).all()

# %% [markdown] lang="en"
# *Figure 11.* The error of the four while they learn $n$ sums, the mean of 100 at a time: red by the printed
# derivative, blue by the right one; dashed with two outputs.
#
# There is the old result, **118 + 8 = 255**: every output has been pushed up until every bit is 1, and
# eight ones are 255. It is the derivative alone. The second output does no harm, and no good: with the
# right derivative both outputs learn the same thing. One wrong word in 80 lines, and code that runs,
# draws a progress bar and prints a number: only a check against the truth could have told.

# %% [markdown] lang="zh"
# *图 11.* 四个网络学过 $n$ 道题时的误差，每 100 道取平均：红色用旧的导数，蓝色用对的导数；虚线有两个输出。
#
# 旧教程的结果重现了：**118 + 8 = 255**。每个输出都被一直往上推，直到每一位都是 1，而八个 1 就是 255。
# 毛病只在导数上。第二个输出没有坏处，也没有好处：导数写对以后，两个输出学到的东西一样。
# 八十行代码里错了一个词，程序照样运行，进度条照样走，照样打印出一个数；只有拿真值来检查，才能发现它错了。

# %% [markdown] lang="en"
# ## 12. All 65,536 pairs
#
# Some sums right, is that good? There are only $256 \times 256$ pairs of 8-bit numbers, so we try them
# **all**, at once: rows of a matrix instead of single vectors, nothing else changes. A ninth position
# is read, so that the carry out of the top counts too. Each picture is one moment of your training, each
# point one pair $(a, b)$; light is right, the darker the more bits are wrong.
#
# > **Predict first.** After 4,000 of the 20,000 sums, how many of the 65,536 pairs are right? And will the wrong ones be scattered, or follow a pattern?

# %% [markdown] lang="zh"
# ## 12. 全部 65,536 道题
#
# 做对几道题，算不算好？8 位数一共只有 $256 \times 256$ 对，那就**全部**试一遍。算法不变，只是把单个向量换成矩阵的各行，一次算完。
# 多读一个第九位，这样最高位的进位也算在内。每幅图是训练中的一个时刻，每个点是一对 $(a, b)$：浅色表示正确，颜色越深，错的位数越多。
#
# > **先猜一猜。** 学过 20,000 道题中的 4,000 道时，65,536 对里有多少对是对的？错的那些是零散分布，还是有规律？


# %%
def wrong_bits(weights):
    Wxh, Whh, Why = weights
    a, b = np.meshgrid(np.arange(VALUE_MAX), np.arange(VALUE_MAX), indexing="ij")
    a, b = a.ravel(), b.ravel()
    h = np.zeros((a.size, H))
    wrong = np.zeros(a.size, dtype=int)
    for t in range(bin_digits + 1):
        x = np.stack([a >> t & 1, b >> t & 1], axis=1)
        h = sigmoid(x @ Wxh + h @ Whh)
        wrong += np.round(sigmoid(h @ Why)[:, 0]).astype(int) != (a + b) >> t & 1
    return wrong.reshape(VALUE_MAX, VALUE_MAX)


# %% role="result"
fig, axes = plt.subplots(1, 4, figsize=(9, 2.5), sharey=True)
for axis, (number, moment) in zip(axes, moments.items()):
    wrong = wrong_bits(moment)
    image = axis.imshow(wrong.T, origin="lower", cmap="magma_r", vmin=0, vmax=9)
    axis.set_title(f"$n$ = {number:,}\n{(wrong == 0).sum():,} / {wrong.size:,}", fontsize="medium")
    axis.set(xlabel="$a$", xticks=[0, 128, 255], yticks=[0, 128, 255])
axes[0].set_ylabel("$b$")
fig.colorbar(image, label=r"$\#\{t : y_t \neq c_t\}$", ticks=[0, 3, 6, 9], shrink=0.8)
plt.show()

# %% [markdown] lang="en"
# *Figure 12.* The bits that are wrong in each of the 65,536 sums $a + b$, after $n$ sums of training; above each
# picture, how many sums are wholly right. The worst lie along diagonals, where $a + b$ passes a multiple of a
# power of two and a carry runs far.
#
# In the package: `cn.evaluate`. Its `margin` is the smallest distance of any of the answers from the
# border between 0 and 1 (in units of $v_t = h_t W_{hy}$).

# %% [markdown] lang="zh"
# *图 12.* 训练过 $n$ 道题之后，65,536 道题 $a + b$ 各错几位；图的上方是全对的题数。错得最多的排成一条条斜线，在那里 $a + b$ 跨过 2 的某个幂的倍数，进位要传得很远。
#
# 包里对应的函数是 `cn.evaluate`。其中的 `margin`（间隔）是所有回答中，离 0 与 1 的分界最近的那个距离（以 $v_t = h_t W_{hy}$ 计）。

# %%
result = cn.evaluate(mine, digits=8)
print(result)
assert result.right == (wrong_bits(weights) == 0).sum() == VALUE_MAX**2

# %% [markdown] lang="en"
# This is a complete answer to one question, whether all sums of 8-bit numbers are right, and it says
# nothing about the ninth bit. We call it **exhaustive**.
#
# ## 13. 4,096 digits
#
# Nothing in the network knows that training ended at eight bits. How far does it carry? Numbers of
# 4,096 bits are too many to try, so we **sample**: evenly drawn ones (`uniform`), and `chains`, in which
# a carry has to be held for hundreds of places. Python's integers say what is right.
#
# > **Predict first.** It was trained on 8 bits. At which length will it first be wrong: 9, 16, a hundred, a thousand?

# %% [markdown] lang="zh"
# 这就完整回答了一个问题：8 位数的加法是不是全对。但对第九位以后，它什么也没说。这种结论叫**穷举**。
#
# ## 13. 4,096 位
#
# 网络里没有任何东西知道训练只到第八位。那它能算多长的数？4,096 位的数不可能逐一试完，只能**抽样**：一种是均匀抽取（`uniform`），
# 另一种是长进位链（`chains`），要把进位记住几百位。对不对由 Python 的整数来判。
#
# > **先猜一猜。** 它只用 8 位数训练过。到多长时它会第一次出错：9 位、16 位、一百位，还是一千位？

# %%
a, b = (int.from_bytes(rng.bytes(512), "little") for _ in range(2))
total = mine.add(a, b)
samples = cn.by_length(mine)

# %% role="result"
print(f"{str(a)[:20]}... + {str(b)[:20]}... = {str(total)[:20]}...")
assert total == a + b

fig, axis = plt.subplots()
for kind, mark in (("uniform", "o-"), ("chains", "s--")):
    some = [sample for sample in samples if sample.kind == kind]
    axis.plot([s.digits for s in some], [s.margin for s in some], mark, label=kind)
axis.axhline(0, color="0.8")
axis.set_xscale("log", base=2)
axis.set(xlabel="$T$", ylabel="margin")
axis.legend()
plt.show()
for sample in samples:
    print(
        f"{sample.kind:8} {sample.digits:5}  {sample.right} / {sample.pairs}   {sample.margin:6.2f}"
    )

# %% [markdown] lang="en"
# *Figure 13.* The smallest margin of 256 sums of numbers with $T$ bits. Below the line would be wrong.
#
# ## 14. Right on every test, and wrong
#
# Is that enough to trust a network? Train more of them, by the same recipe, with 16 hidden units;
# keep those that are right on **all** 65,536 pairs; and look for one that is wrong at some longer sum.
#
# > **Predict first.** Of a hundred, how many are right on all pairs? And is one of those wrong on numbers of 32 bits or fewer?

# %% [markdown] lang="zh"
# *图 13.* 每次 256 道 $T$ 位数的加法，其中最小的间隔。低于横线就是错。
#
# ## 14. 通过了所有测试，却是错的
#
# 这样的测试足以让人相信一个网络吗？用同样的配方再训练一批有 16 个隐藏单元的网络，只留下 65,536 道题**全部**做对的，
# 然后在其中找一个会算错更长加法的。
#
# > **先猜一猜。** 一百个网络里，有几个能把所有题全部做对？这些当中，有没有哪个会算错不超过 32 位的数？

# %%
recipes = [cn.Recipe(hidden=16, seed=seed) for seed in range(100)]
networks = training.fit_many(recipes)
perfect = [n for n in networks if cn.evaluate(n, digits=8).right == VALUE_MAX**2]

for suspect in perfect:
    verdict = cn.prove(suspect, budget=0)
    if isinstance(verdict, cn.Refuted) and verdict.digits <= 32:
        break
worked = work(suspect, verdict.operands, verdict.digits)

# %% role="result"
print(f"{len(perfect)} / {len(networks)}")
print(columns(worked))
a, b = verdict.operands
assert suspect.add(a, b) == worked.answer != a + b

# %% [markdown] lang="en"
# There it is: right on all 65,536 pairs of 8-bit numbers, and wrong at the sum above. `cn.prove` found
# it, not by luck: it looks for the words that bring the network nearest to an error. Here is what went
# wrong inside: the distance from an error at each position of the sum (0 + 1 or 1 + 0 is a position
# that hands the carry on).

# %% [markdown] lang="zh"
# 找到了：8 位数的 65,536 道题全部做对，却在上面这道题上出错。这不是 `cn.prove` 碰运气碰出来的：它专门去找最容易让网络出错的词。
# 看看里面发生了什么：下图是这道题每一位离出错还有多远（0 + 1 或 1 + 0 就是把进位原样传下去的位）。

# %% role="figure"
fig, axis = plt.subplots()
positions = range(1, len(worked.margins) + 1)
axis.bar(positions, worked.margins, color=["C0" if hit else "C3" for hit in worked.hits])
axis.axhline(0, color="0.3", linewidth=0.8)
labels = [adding.machine.symbols[symbol].replace(",", "\n") for symbol in worked.word]
axis.set_xticks(positions, labels)
axis.set(xlabel="$a_t$ / $b_t$", ylabel="margin")
axis.invert_xaxis()
axis.legend(
    handles=[Patch(color="C0", label="$y_t = c_t$"), Patch(color="C3", label="$y_t \\neq c_t$")]
)
plt.show()

# %%
for sample in cn.by_length(suspect):
    print(
        f"{sample.kind:8} {sample.digits:5}  {sample.right} / {sample.pairs}   {sample.margin:6.2f}"
    )

# %% [markdown] lang="en"
# *Figure 14.* The margin of each bit of that sum, the least significant at the right, where the network begins;
# below each the two bits that are read there. The table: sums that were drawn, as in chapter 13.
#
# The memory of this network fades, a little with every place that the carry is handed on; in eight bits
# there was no room for it to show. Uniform samples hardly ever meet so long a chain. Samples tell of the
# sums that were drawn, exhaustive tests of the lengths that were tried. **No test speaks for all
# lengths**. `cn.prove` tries something else: it looks for a wrong answer, and for a proof. What does it
# find for 20 of these networks, and for yours? (`undecided` means neither.)

# %% [markdown] lang="zh"
# *图 14.* 这道题每一位的间隔；最低位在右边，网络从那里读起；每一位下面是在那里读入的两位。下面的表：像第 13 章那样抽到的题。
#
# 这个网络的记忆会褪色，进位每往前传一位就淡一点；只有八位的时候还来不及露馅。均匀抽样又很少碰到这么长的进位链。
# 抽样只能说明抽到的题，穷举只能说明试过的长度。**没有哪种测试能替所有长度作保**。`cn.prove` 走的是另一条路：它既找反例，也找证明。看看它对其中 20 个网络怎么说，对你的网络又怎么说。
# （`undecided` 表示尚无定论：两样都没有找到。）

# %%
print(dict(Counter(cn.prove(other, budget=0).verdict for other in perfect[:20])))
print(cn.prove(mine, budget=0).verdict)

# %% [markdown] lang="en"
# ## 15. Certified training
#
# A network that remembers firmly would pull its hidden states back, whatever disturbs them. That can be
# trained. Beside each hidden state we carry an interval for each unit, wide enough for an error of up to
# a *slack* in every unit at every step:
#
# $$h \in [c - r,\, c + r] \;\Rightarrow\; z \in [\,c W_{hh} + d - \rho,\; c W_{hh} + d + \rho\,], \qquad d = x W_{xh} + b_h, \quad \rho = r\,|W_{hh}| + \text{slack},$$
#
# and as $\sigma$ is monotone, the sigmoids of the two ends bound the next state. The **worst** output
# over the whole box goes into the loss. In the package this is the stage `harden`, and `cn.harden` does
# it to any run; here it trains *your* network on, with biases, which begin at 0.
#
# > **Predict first.** The network was right on every sum that was drawn, by a margin of about 2.6. Will the training change its margin on numbers of 4,096 bits, and to which side?

# %% [markdown] lang="zh"
# ## 15. 为证明而训练
#
# 记性牢靠的网络，隐藏状态受到扰动时会被拉回来。这是可以训练出来的。在每个隐藏状态旁边，给每个单元带上一个区间，
# 宽到足以容纳每一步、每个单元上不超过**容许误差**（slack）的误差：
#
# $$h \in [c - r,\, c + r] \;\Rightarrow\; z \in [\,c W_{hh} + d - \rho,\; c W_{hh} + d + \rho\,], \qquad d = x W_{xh} + b_h, \quad \rho = r\,|W_{hh}| + \text{slack},$$
#
# 而 $\sigma$ 是单调的，所以两个端点的 sigmoid 就是下一个状态的上下界。把整个盒子里**最坏**的输出放进损失函数。
# 在包里，这个训练阶段叫 `harden`（加固），`cn.harden` 可以加固任何一次训练的结果；这里就用它接着训练**你的**网络，并加上从 0 开始的偏置。
#
# > **先猜一猜。** 抽到的每道题网络都做对了，间隔约为 2.6。这番训练会不会改变 4,096 位数的间隔？往哪边变？

# %%
run = cn.train(training.hardening(single, mine), origin=mine, progress=False)
firm = run.network

# %% role="result"
print(f"{run.seconds:.1f} s   {run!r}")
fig, axis = plt.subplots()
for net, mark, name in ((mine, "o--", "mine"), (firm, "o-", "firm")):
    some = [sample for sample in cn.by_length(net) if sample.kind == "chains"]
    axis.plot([s.digits for s in some], [s.margin for s in some], mark, label=name)
axis.axhline(0, color="0.8")
axis.set_xscale("log", base=2)
axis.set(xlabel="$T$", ylabel="margin", ylim=(0, None))
axis.legend()
plt.show()
assert run.proof.verdict == "proved"

# %% [markdown] lang="en"
# *Figure 15.* The smallest margin of 256 sums with long carries, of numbers with $T$ bits: of your network as it
# was (`mine`, dashed), and after it was trained on (`firm`).
#
# ## 16. The proof, and its check
#
# Now to *all* lengths. Suppose that we find a few boxes in the space of hidden states, each labelled
# with a state of the adding machine, such that
#
# 1. $h_0 = 0$ lies in the first, labelled *no carry*;
# 2. from anywhere in a box, under each symbol, the next hidden state lies in one of the boxes, and that
#    one is labelled with the machine's next state;
# 3. all over that box the output is the machine's.
#
# Then, by induction, whatever the word, the network is always in a box with the right label, and every
# output is right. Such boxes are an **inductive invariant**; written down they are a **certificate**.
# This network has one:

# %% [markdown] lang="zh"
# *图 15.* 每次 256 道带长进位链的 $T$ 位数加法，其中最小的间隔：你原来的网络（`mine`，虚线）和接着训练之后的网络（`firm`）。
#
# ## 16. 证明，以及对证明的检验
#
# 现在来看**所有**长度。假设在隐藏状态的空间里找到了几个盒子，每个盒子都标着加法机的一个状态，并且满足：
#
# 1. $h_0 = 0$ 在第一个盒子里，它标着“没有进位”；
# 2. 从盒子里任何一点出发，读入任何符号，下一个隐藏状态都落在某个盒子里，而那个盒子标着加法机的下一个状态；
# 3. 在那个盒子里处处有：网络的输出等于加法机的输出。
#
# 那么由归纳法，无论读什么词，网络总是处在标签正确的盒子里，每个输出都对。这样的一组盒子叫**归纳不变式**；写下来就是一份**证书**。
# 这个网络就有一份：

# %%
certificate = run.proof.certificate
print(run.proof)
print(certificate.claim)

# %% role="figure"
fig = plt.figure(figsize=(5, 4))
plots.hidden_space(run, fig)
plt.show()

# %% [markdown] lang="en"
# *Figure 16.* Dots are hidden states, seen along the two directions in which they differ most; outlines are the
# boxes. You need not believe the search that found them: check them yourself, in twenty lines.

# %% [markdown] lang="zh"
# *图 16.* 点是隐藏状态，沿差异最大的两个方向看过去；轮廓线就是盒子。你不必相信找到它们的搜索程序：自己检验就行，二十行就够。


# %%
def verify(net, certificate):
    Wxh, Whh, bh, Why, by = (W.astype(float) for W in net.weights.values())
    unit, slack = 2.0**-certificate.bits, certificate.tolerance
    boxes = [(np.array(r.lower) * unit, np.array(r.upper) * unit) for r in certificate.regions]
    machine, inclusions = net.task.machine, 0
    first = certificate.regions[0]
    assert first.state == 0 and (boxes[0][0] <= 0).all() and (boxes[0][1] >= 0).all()  # 1
    for region, (low, high) in zip(certificate.regions, boxes):
        centre, radius = (low + high) / 2, (high - low) / 2
        for symbol, place in enumerate(region.next):
            x = np.array(net.task.digits_of(symbol))
            z, rho = x @ Wxh + centre @ Whh + bh, radius @ abs(Whh)
            lower, upper = boxes[place]
            assert certificate.regions[place].state == machine.delta[region.state][symbol]  # 2
            assert (sigmoid(z - rho) - slack >= lower).all()
            assert (sigmoid(z + rho) + slack <= upper).all()
            middle, spread = (lower + upper) / 2 @ Why + by, (upper - lower) / 2 @ abs(Why)
            wanted = machine.output[region.state][symbol]
            assert (middle - spread > 0).all() if wanted else (middle + spread < 0).all()  # 3
            inclusions += 1
    return inclusions


print(verify(firm, certificate))

# %% [markdown] lang="en"
# That was the proof, up to the rounding of your own arithmetic. The package's checker does the same in
# *ball arithmetic*, whose results are intervals certain to hold the true value, shares no code with the
# search, and is the only part that must be believed. It makes sure, too, that the slack covers the
# rounding of the network itself. And a checker is worth something only if it says *no* to what is
# false: one box a little smaller; weights that are a little different; the same, and the certificate made
# out in their name.
#
# > **Predict first.** Which of the three will it refuse, and for what reason?

# %% [markdown] lang="zh"
# 除了你自己算术中的舍入误差，这就是证明。包里的检验程序做的是同样的事，但用的是**球算术**：每个结果都是一个区间，真值一定在里面。
# 它与搜索程序没有任何共用的代码，也是唯一必须相信的部分。它还会确认容许误差盖得住网络自身的舍入误差。
# 另外，检验程序只有对错误的东西说“不”，才有价值。下面试三样：把一个盒子缩小一点；把权重改动一点；改动权重，同时把证书上的名字也改成它的。
#
# > **先猜一猜。** 三样当中它会拒绝哪几样，理由各是什么？

# %%
print(check.check(search.model(firm), certificate))

last = certificate.regions[-1]
smaller = replace(
    last, lower=tuple((9 * low + high) // 10 for low, high in zip(last.lower, last.upper))
)
forged = replace(certificate, regions=(*certificate.regions[:-1], smaller))
altered = replace(firm, weights=firm.weights.replace(Whh=firm.weights.Whh + np.float32(0.1)))
renamed = replace(certificate, weights_sha256=altered.digest())

refusals = []
for net, claimed in ((firm, forged), (altered, certificate), (altered, renamed)):
    try:
        check.check(search.model(net), claimed)
    except cn.CarrynetError as refusal:
        refusals.append(refusal)

# %% role="result"
print(*refusals, sep="\n")
assert len(refusals) == 3

# %% [markdown] lang="en"
# **Exercise 5.** The wrong network of chapter 14 has no certificate. Give it the one of `firm`, in its own name;
# then harden it, and let it be proved. What does the checker say of each?
#
# <details><summary>Why</summary>
#
# The boxes hold the states of another network, which has 32 units and not 16: already its start is another, and so
# the first is refused.
# Hardening makes a new network, which has a certificate of its own; the sum that was wrong is now right.
#
# </details>

# %% [markdown] lang="zh"
# **练习 5.** 第 14 章里那个算错的网络没有证书。把 `firm` 的证书写上它的名字交给它；然后把它加固，再去证明。检验程序对两者各说什么？
#
# <details><summary>为什么</summary>
#
# 盒子里装的是另一个网络的状态，它有 32 个单元，而不是 16 个：起点就已经不同，所以前者被拒绝。加固得到的是一个新网络，它有自己的证书；原来算错的那道题，现在算对了。
#
# </details>

# %% role="answer"
borrowed = replace(certificate, weights_sha256=suspect.digest())
try:
    check.check(search.model(suspect), borrowed)
    raise AssertionError
except cn.CarrynetError as refusal:
    print(refusal)
mended = cn.harden(suspect, progress=False)
a, b = verdict.operands
print(cn.check(mended))
print(f"{a} + {b} = {suspect.add(a, b)} → {mended.network.add(a, b)}")
assert mended.network.add(a, b) == a + b != suspect.add(a, b)

# %% [markdown] lang="en"
# So this is **proved**: the network adds numbers of *any* length rightly. Not one test was needed for it.
#
# ## 17. The machine that it became
#
# What has it learned? We ask it, and look at nothing but its answers: hidden states from which it
# answers alike are one state of a machine (Angluin's algorithm L*, 1987).
#
# > **Predict first.** It has 32 hidden units, and its proof took more than two boxes. How many states will its machine have?

# %% [markdown] lang="zh"
# 所以这是**已证明**的结论：**任意**长度的数，这个网络都加得对。为此一次测试也不需要。
#
# ## 17. 它变成的自动机
#
# 它究竟学会了什么？我们只管提问，只看它的回答：如果从两个隐藏状态出发，网络的回答总是一样，它们就是自动机的同一个状态（Angluin 的 L* 算法，1987 年）。
#
# > **先猜一猜。** 它有 32 个隐藏单元，证明用的盒子也不止两个。它的自动机会有几个状态？

# %%
extraction = extract.extract(firm)
comparison = extract.compare(firm, extraction.machine)

# %% role="result"
print(extraction.machine)
print(
    f"{extraction.agreed} / {extraction.tested}   {dict(zip(extraction.machine.states, comparison.names))}"
)
assert comparison.word is None and len(extraction.machine.states) == 2
SVG(drawing.svg(extraction.machine))

# %% [markdown] lang="en"
# *Figure 17.* The machine that the network has become.
#
# Two states, and the very machine of chapter 4. From sums alone the network has found the carry.
#
# **Exercise 6.** Teach a network another rule, say subtraction, in one line, and ask for its verdict. How many
# states does it come to?
#
# <details><summary>Why</summary>
#
# A difference needs to know whether one was borrowed, and nothing else: two states again, *borrowed* and *not
# borrowed*.
#
# </details>

# %% [markdown] lang="zh"
# *图 17.* 网络变成的自动机。
#
# 两个状态，正是第 4 章的那台机器。只靠做加法题，网络自己发现了进位。
#
# **练习 6.** 用一行代码教网络学会另一种规则，例如减法，再看结论如何。它变成了几个状态？
#
# <details><summary>为什么</summary>
#
# 做减法只需要知道有没有借位：又是两个状态，**借了位**和**没有借位**。
#
# </details>

# %% role="answer"
taking = cn.train("certified", task="subtract", hidden=16, progress=False)
learned = extract.extract(taking.network).machine
print(taking.proof.verdict, taking.network.subtract(5, 9), len(learned.states))
assert taking.proof.verdict == "proved" and taking.network.subtract(5, 9) == -4
assert len(learned.states) == 2

# %% [markdown] lang="en"
# ## 18. Look inside
#
# A run shows itself as its page: the verdict, a calculator that works before your eyes, all 65,536
# pairs at several moments, the machine, hidden space and boxes, the weights, and a fresh network to
# train. (Where you see only text below, mark this notebook as trusted; the command line writes the same
# page to a file with `carrynet train`.) Each of its pictures says below itself what it shows.

# %% [markdown] lang="zh"
# ## 18. 看看里面
#
# 一次训练的结果会以网页的形式展示自己：结论、当面演算的计算器、几个时刻的全部 65,536 道题、自动机、隐藏空间和盒子、权重，
# 还有一个可以当场训练的新网络。（如果下面只看到一行文字，请把本笔记本设为受信任；在命令行用 `carrynet train` 会把同样的网页写成文件。）

# %%
run

# %% [markdown] lang="en"
# ## What thousands of networks say
#
# What you have seen of one network and of a hundred was counted on many more:
#
# - **Tests are not enough.** Of 10,000 networks trained as in this tutorial 4,380 pass all 65,536 pairs of
#   8-digit numbers, and 30 % of these are wrong at some length: `studies/tutorial`.
# - **Not even long ones.** On regular tasks of the literature, 781 networks are right on every word drawn, of 500 symbols;
#   432 of these are wrong on some other word: `studies/regular`.
# - **Little is enough to be proved.** Of networks that were shown thirty random sums, over and over, and no
#   others, 20 of 20 are proved right for numbers of any length: `studies/smallest`.
# - **Seeing is not knowing.** Where the mechanism is known, because the network was built, the plane in which it
#   varies most prefers units that mean nothing, in 12 of 15 networks: `studies/compiled`.
#
# ## What we did
#
# **What was asked.** Can a small network find out from sums alone that there is a carry? And can one *know*, and not
# only hope, that it adds numbers of every length rightly?
#
# **What was done, and what was seen:**
#
# | chapters | done | seen |
# |---|---|---|
# | 1 to 8 | a recurrent network in plain NumPy: forward, error, backward, update | the gradient is right, by central differences, for each of 1,120 weights |
# | 9, 10 | 20,000 sums, an update after each | the error stays near 4 for two thousand sums, then falls; 118 + 8 = 126 |
# | 11 | the old tutorial's line, put back | with the derivative taken at the error every output is driven to 1: 118 + 8 = 255 |
# | 12 | all 65,536 pairs of 8-bit numbers | all right: **exhaustive** |
# | 13 | numbers of up to 4,096 bits | all right that were drawn: **sampled** |
# | 14 | networks that are right on all pairs, by the same recipe | some are wrong on a longer sum: **refuted** |
# | 15, 16 | training against the worst case; boxes that no word leaves; a check of them in twenty lines | right for every length: **proved** |
# | 17, 18 | questions to the network, and a look inside | two states: the carry |
#
# **What to take along.**
#
# - Code that runs, with a bar that moves and a number at the end, may still be wrong. Compare a gradient with
#   differences, and an answer with the truth.
# - A falling error says that something is learned, not what. Eight bits left no room for a fading memory to show.
# - A test speaks for what was tried. For every length it takes an argument, here by induction, and something
#   to carry the induction: a set of states that is never left.
# - Proofs may be searched for by anything, if what checks them is small, stands apart, and says *no* to what is false.
#
# The old tutorial ended with "the results are poor". It was one argument of one function.
#
# ## Where to go from here
#
# - Other tasks: `cn.train("certified", task="subtract")`, `task="add:base=3"`, `task="compare"`.
# - A smaller adder: how few hidden units are enough? (Two can be set by hand, and three were trained.)
# - How often does the recipe of this tutorial end in a right adder? 10,000 networks answer in
#   `studies/tutorial`; a plan of your own is run by `carrynet sweep`.
# - The theorem with all its assumptions: `docs/proof.md`. The package's own lesson: `carrynet/nets/network.py`.

# %% [markdown] lang="zh"
# ## 几千个网络说明了什么
#
# 你在一个网络、一百个网络上看到的事，在多得多的网络上也数过：
#
# - **只靠测试是不够的。** 照本教程训练的 10,000 个网络里，有 4,380 个把 8 位数的 65,536 道题全部做对，其中 30 % 在某个长度上是错的：`studies/tutorial`。
# - **测长题也不够。** 在文献里的正则任务上，有 781 个网络对抽到的每个 500 个符号的词都答对；其中 432 个会答错别的词：`studies/regular`。
# - **很少的样例就够证明。** 只看三十道随机加法题、反复看，别的都不看，这样训练的 20 个网络，20 个都已证明对任意长度的数都算得对：`studies/smallest`。
# - **看得见不等于知道。** 网络是构造出来的，机制已知；即便如此，15 个里有 12 个，变化最大的平面偏爱毫无意义的单元：`studies/compiled`。
#
# ## 实验总结
#
# **问的是什么。** 只靠做加法题，一个小网络能不能自己发现进位？它对任意长度的数都算得对这件事，能不能**确知**，而不只是希望如此？
#
# **做了什么，看到了什么：**
#
# | 章 | 做了什么 | 看到了什么 |
# |---|---|---|
# | 1 到 8 | 用纯 NumPy 写出循环神经网络：正向传播、误差、反向传播、更新权重 | 用中心差分逐个核对 1,120 个权重，梯度都对 |
# | 9、10 | 20,000 道题，每做一道更新一次 | 前两千来道题误差停在 4 附近，然后下降；118 + 8 = 126 |
# | 11 | 把旧教程的那一行放回去 | 导数的自变量成了误差，每个输出都被推到 1：118 + 8 = 255 |
# | 12 | 8 位数的全部 65,536 道题 | 全对：**穷举** |
# | 13 | 最长 4,096 位的数 | 抽到的全对：**抽样** |
# | 14 | 用同样的配方训练、所有 8 位题全对的网络 | 有的会算错更长的题：**已反驳** |
# | 15、16 | 针对最坏情形训练；任何词都走不出去的盒子；二十行代码来检验 | 任意长度都对：**已证明** |
# | 17、18 | 向网络提问，再看看它的内部 | 两个状态：进位 |
#
# **值得带走的几点。**
#
# - 程序跑得通，进度条在走，最后打印出一个数，仍然可能是错的。梯度要拿差分来核对，答案要拿真值来核对。
# - 误差下降，只说明学到了**某种东西**，没有说明学到的是什么。只有八位的时候，褪色的记忆来不及露馅。
# - 测试只能为试过的题作保。要说任意长度，就需要论证，这里用的是归纳法；还需要一样东西来支撑归纳：一组永远不会离开的状态。
# - 证明用什么办法去找都行，只要检验它的程序短小、独立，并且对错误的东西会说“不”。
#
# 旧教程的最后一句是“模型训练结果不理想”。原因只是一个函数的一个自变量。
#
# ## 接下来
#
# - 别的任务：`cn.train("certified", task="subtract")`、`task="add:base=3"`、`task="compare"`。
# - 更小的加法器：至少要几个隐藏单元？（手工设定权重，两个就够；靠**训练**，三个做到了。）
# - 照本教程的配方训练，有多少网络最后是对的？`studies/tutorial` 里的 10,000 个网络给出了答案；你自己的方案可以用 `carrynet sweep` 来跑。
# - 定理以及它的全部假设：`docs/proof.md`。包自带的一课：`carrynet/nets/network.py`。
