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

# %%
import time
from collections import Counter
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import SVG
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

plt.rcParams |= {
    "figure.figsize": (8, 2.6),
    "figure.dpi": 80,
    "figure.constrained_layout.use": True,
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

fig, (left, right) = plt.subplots(1, 2)
left.plot(z, y)
left.set(xlabel="$z$", title=r"$\sigma(z)$")
right.plot(z, diff_sigmoid(y), color="C1")
right.set(xlabel="$z$", title=r"$\sigma'(z)$", ylim=(0, 0.27))
plt.show()
# %% [markdown] lang="en"
# In the package these are `arrays.sigmoid` and `arrays.sigmoid_slope`. And the derivative is what it
# claims to be, which a **central difference** tells without any calculus:
#
# $$\sigma'(z) \approx \frac{\sigma(z + \varepsilon) - \sigma(z - \varepsilon)}{2\,\varepsilon}.$$

# %% [markdown] lang="zh"
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

fig, axes = plt.subplots(1, 3, width_ratios=[32, 32, 6])
for axis, W, name in zip(axes, (Wxh, Whh, Why), ("W_{xh}", "W_{hh}", "W_{hy}")):
    image = axis.imshow(W, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
    axis.set(title=f"${name}$", xticks=[], yticks=[])
fig.colorbar(image)
plt.show()
# %% [markdown] lang="en"
# In the package: `weights.initialise`. Its random numbers are others, but they have the same shapes
# and the same distribution, uniform with mean 0 and standard deviation $1/\sqrt 3$. We go on with
# those of the package, so that in chapter 9 your network and the package's, which begin alike, can be
# compared after 20,000 sums.

# %% [markdown] lang="zh"
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

fig, axis = plt.subplots(figsize=(8, 1.3))
axis.imshow(binary.T, cmap="Greys", aspect="auto", interpolation="nearest")
axis.set(yticks=[0, 7], yticklabels=["$2^7$", "$2^0$"], xticks=[0, 64, 128, 192, 255])
print(118, int2bin[118], "   ", 8, int2bin[8])

# %% [markdown] lang="en"
# In the package: `tasks.to_digits`, for integers of any size and any base. It puts the **least**
# significant digit first, the order in which one adds.

# %% [markdown] lang="zh"
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
SVG(drawing.svg(adding.machine))

# %% [markdown] lang="en"
# So what the network has to learn is this machine, from sums alone. It is told neither that there are
# two states nor when it is in which.

# %% [markdown] lang="zh"
# 所以，网络要从一道道加法题里学出来的就是这台机器。没有人告诉它一共有两个状态，也没有人告诉它什么时候处在哪个状态。

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

fig, (top, middle, bottom) = plt.subplots(
    3, 1, figsize=(8, 4.2), height_ratios=[2, 10, 2], sharex=True
)
top.imshow(x.T[:, ::-1], cmap="Greys", aspect="auto")
middle.imshow(h[1:].T[:, ::-1], cmap="viridis", vmin=0, vmax=1, aspect="auto")
bottom.imshow(np.hstack([y, c]).T[:, ::-1], cmap="Greys", vmin=0, vmax=1, aspect="auto")
top.set_yticks([0, 1], ["$a_t$", "$b_t$"])
middle.set_ylabel("$h_t$")
bottom.set_yticks([0, 1], ["$y_t$", "$c_t$"])
bottom.set_xticks(range(8), range(8, 0, -1))
bottom.set_xlabel("$t$")
plt.show()
# %% [markdown] lang="en"
# The columns stand as in a written sum, so time runs from right to left. The weights are still
# random, and so are the answers: $y_t$ has nothing to do with $c_t$ below it. In the package:
# `bptt.unroll`, and the network's own `read`. Its cell is an equation, as above: `fresh.cell`.

# %% [markdown] lang="zh"
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

fig, axis = plt.subplots(figsize=(3.6, 3.2))
axis.plot(numeric, flat, ".", markersize=3)
axis.axline((0, 0), slope=1, color="0.8", zorder=0)
axis.set(xlabel=r"$-\Delta E\,/\,2\varepsilon$", ylabel=r"$\delta$")
plt.show()
# %% [markdown] lang="en"
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
fig, axis = plt.subplots()
axis.plot(errors)
axis.set(ylabel="$E$", ylim=(0, None), title="118 + 8")
plt.show()
# %% [markdown] lang="en"
# It has learned one sum by heart. That is not yet adding.
#
# ## 9. 20,000 problems
#
# Now a new sum each time: pose it, go forward, go backward, update. That is all of training.
#
# So that your network and the package's see the same sums, we take them from `draw`: pairs
# of random numbers below $2^7$, as in chapter 4. The bar takes some seconds.

# %% [markdown] lang="zh"
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
fig, axis = plt.subplots()
axis.plot(100 * np.arange(1, 201), mean)
axis.set(ylabel=r"$\sum_t |e_t|$", ylim=(0, None))
plt.show()
# %% [markdown] lang="en"
# For the first two thousand sums or so hardly anything happens: eight bits at 50:50 give an error of 4.
# Then the network discovers the carry, and the error falls.
#
# In the package: `training.fit`. The same initial weights, the same sums, the same arithmetic: after
# 20,000 updates the weights must still be the same, up to rounding. Then the same job in machine code
# made for exactly this network, in single precision, and how many times faster it was than your loop.

# %% [markdown] lang="zh"
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

# %%
y = np.linspace(0.005, 0.995, 199)
fig, axes = plt.subplots(1, 2, sharey=True)
for axis, c_t in zip(axes, (0, 1)):
    e = c_t - y
    axis.axhline(0, color="0.8")
    axis.plot(y, e * diff_sigmoid(y), linewidth=4, alpha=0.5, label="$e\\cdot y(1-y)$")
    axis.plot(y, e * diff_sigmoid(e), color="C3", label="$e\\cdot e(1-e)$")
    axis.set(title=f"$c = {c_t}$", xlabel="$y$")
    assert (e * diff_sigmoid(e) >= 0).all()
axes[0].legend()
plt.show()

# %% [markdown] lang="en"
# ### The first sums
#
# A direction of descent makes a small angle with minus the gradient; beyond 90° it goes uphill. We
# train by the printed line and stop after each of the first sums. Left: the eight outputs for 118 + 8.
# Right: the angle, in all 1,120 dimensions at once, between minus the central differences and your
# direction (blue) or the printed one (red), for 8 sums each time.

# %% [markdown] lang="zh"
# ### 最初几道题
#
# 下降方向与负梯度的夹角应当很小；一旦超过 90°，就是在上坡。我们照旧教程那一行来训练，最初几道题每做一道就停下来看一看。
# 左图：118 + 8 的八个输出。右图：以中心差分的相反方向为准，你的方向（蓝色）和旧教程的方向（红色）各偏了多少度；
# 1,120 个维度一起算，每次取 8 道题。


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

fig, (left, right) = plt.subplots(1, 2)
left.plot(outputs, "o-", color="C3", markersize=3, linewidth=0.6)
left.set(xlabel="$n$", ylabel="$y_t$")
right.axhspan(90, 180, color="0.93")
for delta, colour in ((true_delta, "C0"), (printed_delta, "C3")):
    right.plot(angles[delta], ".", color=colour)
    right.plot(np.mean(angles[delta], axis=1), color=colour)
ticks = [0, 45, 90, 135, 180]
right.set(
    xlabel="$n$",
    xticks=range(4),
    yticks=ticks,
    yticklabels=[f"{d}°" for d in ticks],
    ylim=(-5, 180),
)

for n, (right_ones, printed_ones) in enumerate(zip(*angles.values())):
    print(
        f"n = {n}   {np.mean(right_ones):4.1f}°   {np.mean(printed_ones):5.1f}°   y > {min(outputs[n]):.4f}"
    )
assert np.max(angles[true_delta]) < 1
assert np.min(angles[printed_delta][1:]) > 90
assert min(outputs[4]) > 0.9999999

# %% [markdown] lang="en"
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

# %% [markdown] lang="zh"
# 在初始权重上看不出问题：输出碰巧偏低，大多数本来就该往上走。做了**一道**题之后，旧教程的方向就已经是上坡；做了四道题，一切都结束了：
# 不管读入什么，每个输出都是 1，至少精确到小数点后七位。这时 $y (1 - y)$ 几乎为零，真正的梯度也消失了，就算换上正确的那一行也很难回来。
# 再做完剩下的 19,996 道题，它的回答仍然是 255，见下一幅图。
#
# ### 并排训练，以及第二个输出
#
# 旧代码还有一处奇怪：有两个输出单元，却共用一个目标值。毛病究竟出在哪里？用同样的初始权重、同样的 20,000 道题训练四个网络：
# 导数用旧的或用对的，输出用两个或用一个。（有两个输出时，NumPy 的广播机制会把同一个 $c_t$ 给两个输出，而读答案时只读第一个。）

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

fig, axis = plt.subplots()
for (delta, outputs), curve in curves.items():
    colour, line = "C3" if delta is printed_delta else "C0", "--" if outputs == 2 else "-"
    axis.plot(
        100 * np.arange(1, 201), curve, line, color=colour, label=f"{delta.__name__}, Y={outputs}"
    )
axis.set(ylabel=r"$\sum_t |e_t|$", ylim=(0, None))
axis.legend(loc="lower left")

for (delta, outputs), four in trained.items():
    print(f"{delta.__name__:14} Y = {outputs}   118 + 8 = {answer(four, 118, 8)}")
for outputs in (2, 1):
    assert answer(trained[printed_delta, outputs], 118, 8) == 255
    assert answer(trained[true_delta, outputs], 118, 8) == 126
for mine_W, other_W in zip(trained[true_delta, 1], weights):
    assert (mine_W == other_W).all()

# %% [markdown] lang="en"
# There is the old result, **118 + 8 = 255**: every output has been pushed up until every bit is 1, and
# eight ones are 255. It is the derivative alone. The second output does no harm, and no good: with the
# right derivative both outputs learn the same thing. One wrong word in 80 lines, and code that runs,
# draws a progress bar and prints a number: only a check against the truth could have told.

# %% [markdown] lang="zh"
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

# %% [markdown] lang="zh"
# ## 12. 全部 65,536 道题
#
# 做对几道题，算不算好？8 位数一共只有 $256 \times 256$ 对，那就**全部**试一遍。算法不变，只是把单个向量换成矩阵的各行，一次算完。
# 多读一个第九位，这样最高位的进位也算在内。每幅图是训练中的一个时刻，每个点是一对 $(a, b)$：浅色表示正确，颜色越深，错的位数越多。


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


fig, axes = plt.subplots(1, 4, figsize=(9, 2.7), sharey=True)
for axis, (number, moment) in zip(axes, moments.items()):
    wrong = wrong_bits(moment)
    axis.imshow(wrong.T, origin="lower", cmap="magma_r", vmin=0, vmax=9)
    axis.set(title=f"{number:,}:  {(wrong == 0).sum():,} / {wrong.size:,}", xlabel="$a$")
axes[0].set_ylabel("$b$")
plt.show()
# %% [markdown] lang="en"
# In the package: `cn.evaluate`. Its `margin` is the smallest distance of any of the answers from the
# border between 0 and 1 (in units of $v_t = h_t W_{hy}$).

# %% [markdown] lang="zh"
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

# %% [markdown] lang="zh"
# 这就完整回答了一个问题：8 位数的加法是不是全对。但对第九位以后，它什么也没说。这种结论叫**穷举**。
#
# ## 13. 4,096 位
#
# 网络里没有任何东西知道训练只到第八位。那它能算多长的数？4,096 位的数不可能逐一试完，只能**抽样**：一种是均匀抽取（`uniform`），
# 另一种是长进位链（`chains`），要把进位记住几百位。对不对由 Python 的整数来判。

# %%
a, b = (int.from_bytes(rng.bytes(512), "little") for _ in range(2))
total = mine.add(a, b)
print(f"{str(a)[:20]}... + {str(b)[:20]}... = {str(total)[:20]}...")
assert total == a + b

samples = cn.by_length(mine)
fig, axis = plt.subplots()
for kind, mark in (("uniform", "o-"), ("chains", "s--")):
    some = [sample for sample in samples if sample.kind == kind]
    axis.plot([s.digits for s in some], [s.margin for s in some], mark, label=kind)
axis.axhline(0, color="0.8")
axis.set_xscale("log", base=2)
axis.set(xlabel="$T$", ylabel="margin")
axis.legend()
for sample in samples:
    print(
        f"{sample.kind:8} {sample.digits:5}  {sample.right} / {sample.pairs}   {sample.margin:6.2f}"
    )

# %% [markdown] lang="en"
# ## 14. Right on every test, and wrong
#
# Is that enough to trust a network? Train more of them, by the same recipe, with 16 hidden units;
# keep those that are right on **all** 65,536 pairs; and look for one that is wrong at some longer sum.

# %% [markdown] lang="zh"
# ## 14. 通过了所有测试，却是错的
#
# 这样的测试足以让人相信一个网络吗？用同样的配方再训练一批有 16 个隐藏单元的网络，只留下 65,536 道题**全部**做对的，
# 然后在其中找一个会算错更长加法的。

# %%
recipes = [cn.Recipe(hidden=16, seed=seed) for seed in range(100)]
networks = training.fit_many(recipes)
perfect = [n for n in networks if cn.evaluate(n, digits=8).right == VALUE_MAX**2]
print(f"{len(perfect)} / {len(networks)}")

for suspect in perfect:
    verdict = cn.prove(suspect, budget=0)
    if isinstance(verdict, cn.Refuted) and verdict.digits <= 32:
        break
worked = work(suspect, verdict.operands, verdict.digits)
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

# %%
fig, axis = plt.subplots()
positions = range(1, len(worked.margins) + 1)
axis.bar(positions, worked.margins, color=["C0" if hit else "C3" for hit in worked.hits])
axis.axhline(0, color="0.3", linewidth=0.8)
labels = [adding.machine.symbols[symbol].replace(",", "\n") for symbol in worked.word]
axis.set_xticks(positions, labels)
axis.set_ylabel("margin")
axis.invert_xaxis()

for sample in cn.by_length(suspect):
    print(
        f"{sample.kind:8} {sample.digits:5}  {sample.right} / {sample.pairs}   {sample.margin:6.2f}"
    )

# %% [markdown] lang="en"
# The memory of this network fades, a little with every place that the carry is handed on; in eight bits
# there was no room for it to show. Uniform samples hardly ever meet so long a chain. Samples tell of the
# sums that were drawn, exhaustive tests of the lengths that were tried. **No test speaks for all
# lengths**. `cn.prove` tries something else: it looks for a wrong answer, and for a proof. What does it
# find for 20 of these networks, and for yours? (`undecided` means neither.)

# %% [markdown] lang="zh"
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
# it to any run; here it trains *your* network on, with biases, which begin at 0. Look at the margin
# before and after.

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
# 比较一下前后的间隔。

# %%
run = cn.train(training.hardening(single, mine), origin=mine, progress=False)
firm = run.network
print(f"{run.seconds:.1f} s   {run!r}")

fig, axis = plt.subplots()
for net, mark in ((mine, "o--"), (firm, "o-")):
    some = [sample for sample in cn.by_length(net) if sample.kind == "chains"]
    axis.plot([s.digits for s in some], [s.margin for s in some], mark)
axis.axhline(0, color="0.8")
axis.set_xscale("log", base=2)
axis.set(xlabel="$T$", ylabel="margin", ylim=(0, None))
plt.show()
# %% [markdown] lang="en"
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
fig = plt.figure(figsize=(5, 4))
plots.hidden_space(run, fig)
plt.show()

# %% [markdown] lang="en"
# Dots are hidden states, seen along the two directions in which they differ most; outlines are the
# boxes. You need not believe the search that found them: check them yourself, in twenty lines.

# %% [markdown] lang="zh"
# 点是隐藏状态，沿差异最大的两个方向看过去；轮廓线就是盒子。你不必相信找到它们的搜索程序：自己检验就行，二十行就够。


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

# %% [markdown] lang="zh"
# 除了你自己算术中的舍入误差，这就是证明。包里的检验程序做的是同样的事，但用的是**球算术**：每个结果都是一个区间，真值一定在里面。
# 它与搜索程序没有任何共用的代码，也是唯一必须相信的部分。它还会确认容许误差盖得住网络自身的舍入误差。
# 另外，检验程序只有对错误的东西说“不”，才有价值。下面试三样：把一个盒子缩小一点；把权重改动一点；改动权重，同时把证书上的名字也改成它的。

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
        print(refusal)
assert len(refusals) == 3

# %% [markdown] lang="en"
# So this is **proved**: the network adds numbers of *any* length rightly. Not one test was needed for it.
#
# ## 17. The machine that it became
#
# What has it learned? We ask it, and look at nothing but its answers: hidden states from which it
# answers alike are one state of a machine (Angluin's algorithm L*, 1987).

# %% [markdown] lang="zh"
# 所以这是**已证明**的结论：**任意**长度的数，这个网络都加得对。为此一次测试也不需要。
#
# ## 17. 它变成的自动机
#
# 它究竟学会了什么？我们只管提问，只看它的回答：如果从两个隐藏状态出发，网络的回答总是一样，它们就是自动机的同一个状态（Angluin 的 L* 算法，1987 年）。

# %%
extraction = extract.extract(firm)
comparison = extract.compare(firm, extraction.machine)
print(extraction.machine)
print(
    f"{extraction.agreed} / {extraction.tested}   {dict(zip(extraction.machine.states, comparison.names))}"
)
assert comparison.word is None and len(extraction.machine.states) == 2
SVG(drawing.svg(extraction.machine))

# %% [markdown] lang="en"
# Two states, and the very machine of chapter 4. From sums alone the network has found the carry.
#
# ## 18. Look inside
#
# A run shows itself as its page: the verdict, a calculator that works before your eyes, all 65,536
# pairs at several moments, the machine, hidden space and boxes, the weights, and a fresh network to
# train. (Where you see only text below, mark this notebook as trusted; the command line writes the same
# page to a file with `carrynet train`.)

# %% [markdown] lang="zh"
# 两个状态，正是第 4 章的那台机器。只靠做加法题，网络自己发现了进位。
#
# ## 18. 看看里面
#
# 一次训练的结果会以网页的形式展示自己：结论、当面演算的计算器、几个时刻的全部 65,536 道题、自动机、隐藏空间和盒子、权重，
# 还有一个可以当场训练的新网络。（如果下面只看到一行文字，请把本笔记本设为受信任；在命令行用 `carrynet train` 会把同样的网页写成文件。）

# %%
run

# %% [markdown] lang="en"
# ## What thousands of networks say
#
# - **Tests are not enough.** Of 10,000 networks trained as in this tutorial 4,380 pass all 65,536 pairs of
#   8-digit numbers, and 29 % of these are wrong at some length: `studies/tutorial`.
# - **Not even long ones.** On regular tasks of the literature, 392 networks are right on every word drawn, of 500 symbols;
#   210 of these are wrong on some other word: `studies/regular`.
# - **Little is enough to be proved.** Of networks that were shown thirty random sums, over and over, and no
#   others, 20 of 20 are proved right for numbers of any length: `studies/smallest`.
# - **Seeing is not knowing.** Where the mechanism is known, because the network was built, the plane in which it
#   varies most prefers units that mean nothing, in 12 of 15 networks: `studies/compiled`.
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
# - **只靠测试是不够的。** 照本教程训练的 10,000 个网络里，有 4,380 个把 8 位数的 65,536 道题全部做对，其中 29 % 在某个长度上是错的：`studies/tutorial`。
# - **测长题也不够。** 在文献里的正则任务上，有 392 个网络对抽到的每个 500 个符号的词都答对；其中 210 个会答错别的词：`studies/regular`。
# - **很少的样例就够证明。** 只看三十道随机加法题、反复看，别的都不看，这样训练的 20 个网络，20 个都已证明对任意长度的数都算得对：`studies/smallest`。
# - **看得见不等于知道。** 网络是构造出来的，机制已知；即便如此，15 个里有 12 个，变化最大的平面偏爱毫无意义的单元：`studies/compiled`。
#
# ## 接下来
#
# - 别的任务：`cn.train("certified", task="subtract")`、`task="add:base=3"`、`task="compare"`。
# - 更小的加法器：至少要几个隐藏单元？（手工设定权重，两个就够；靠**训练**，三个做到了。）
# - 照本教程的配方训练，有多少网络最后是对的？`studies/tutorial` 里的 10,000 个网络给出了答案；你自己的方案可以用 `carrynet sweep` 来跑。
# - 定理以及它的全部假设：`docs/proof.md`。包自带的一课：`carrynet/nets/network.py`。
