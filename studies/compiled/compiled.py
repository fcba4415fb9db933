# %% [markdown] lang="en"
# # What do methods find where the mechanism is known?
#
# A method that says how a network works should first be tried on networks of which it is known. Here are
# three kinds of the same machine: **compiled** (a unit stands for a pair of a state and a symbol),
# **obscured** (the same mechanism, shuffled, tripled, flipped, disturbed, beside eight units that mean
# nothing) and **trained** (nobody knows). Each is proved for words of every length, so that what they
# compute is not in doubt; only how.

# %% [markdown] lang="zh"
# # 机制已知时，各种方法找到了什么？
#
# 一种声称能说明网络如何工作的方法，应当先在机制已知的网络上试一试。这里是同一台机器的三种网络：
# **编译的**（每个单元代表一对“状态和符号”）、**遮蔽的**（机制相同，但单元被打乱、复制成三份、翻转、
# 加扰动，旁边还有八个毫无意义的单元），以及**训练的**（没有人知道机制）。每个网络都已证明对任意长度
# 的词都对，所以它们算的是什么没有疑问；有疑问的只是怎么算。

# %%
import csv
import sys
from pathlib import Path

import matplotlib.pyplot as plt

if Path("studies").is_dir():  # started in the folder of the repository
    sys.path.insert(0, "studies/compiled")
import lab

networks = {kind: lab.subject("tomita:4", "gru", kind) for kind in lab.KINDS}
for kind, subject in networks.items():
    print(f"{kind:9} {subject.network.hidden} units, {lab.search.prove(subject.network).verdict}")

# %% [markdown] lang="en"
# ## The ground truth
#
# Tomita's fourth grammar is all words without three zeros in a row. What the compiled network's units mean
# is written beside it.

# %% [markdown] lang="zh"
# ## 真正的机制
#
# Tomita 的第四个文法是所有不含连续三个零的词。编译出的网络的每个单元是什么意思，就写在旁边。

# %%
for unit in networks["compiled"].mechanism.units:
    print(unit.unit, unit.role, unit.state or "", unit.symbol or "", "->", unit.next or "")

# %% [markdown] lang="en"
# ## A picture: two principal components
#
# Predict first: in which of the three pictures will the four states of the machine lie apart?

# %% [markdown] lang="zh"
# ## 画一张图：两个主成分
#
# 先猜一猜：三张图里，机器的四个状态在哪一张会彼此分开？

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
for ax, subject in zip(axes, networks.values(), strict=True):
    h, state = lab.visited(subject.network)
    points = lab.principal_plane(h)(h)
    for q, name in enumerate(subject.network.task.machine.states):
        ax.scatter(*points[state == q].T, s=12, label=name, alpha=0.6)
    told = lab.nearest(points, state, 4)
    ax.set(title=f"{told:.0%}", xlabel="$c_1$", ylabel="$c_2$")
axes[0].legend(title="$q$")
plt.show()

# %% [markdown] lang="en"
# *Figure 1.* The two principal components $c_1$ and $c_2$ of the hidden states, each in the colour of the
# machine's state $q$: on the left of the compiled network, in the middle of the obscured one, on the right of
# the trained one. The percentage is how often the nearest mean in the plane tells the state.
#
# The trained network's picture is the clearest, and the picture of the network whose mechanism is simplest is
# not: a plane shows what varies most, which need not be what is computed with.

# %% [markdown] lang="zh"
# *图 1.* 隐藏状态的两个主成分 $c_1$ 和 $c_2$，颜色是机器的状态 $q$：左边是编译的网络，中间是遮蔽的，右边是
# 训练的。百分数是平面上最近的均值说对状态的比例。
#
# 训练出的网络画出来最清楚，机制最简单的网络反而不是：平面显示的是变化最大的东西，而这未必是网络拿来计算的东西。

# %% [markdown] lang="en"
# ## A linear probe
#
# It reads the state in all three without a mistake. Does it look at what the network computes with? Of the
# obscured network it is known which units mean nothing.

# %% [markdown] lang="zh"
# ## 线性探针
#
# 三个网络的状态它都读得一个不差。可它看的是网络拿来计算的东西吗？在遮蔽的网络里，哪些单元毫无意义是已知的。

# %%
for kind, subject in networks.items():
    found = lab.asked(subject)
    assert found["probe"] == 1
    if subject.mechanism:
        print(
            f"{kind:9} units that mean something {found['true']:.0%}, "
            f"of the probe's weight {found['probe_true']:.0%}, "
            f"of the plane's {found['plane_true']:.0%}"
        )

# %% [markdown] lang="en"
# ## All machines and cells
#
# The same of five machines and three cells, by `lab.py`:

# %% [markdown] lang="zh"
# ## 全部机器和单元
#
# 五台机器、三种单元，由 `lab.py` 同样算出：

# %%
table = Path(lab.__file__).with_name("table.csv")
rows = list(csv.DictReader(table.open(encoding="utf-8")))
for kind in lab.KINDS:
    mine = [row for row in rows if row["kind"] == kind and row["verdict"] == "proved"]
    print(
        f"{kind:9} {len(mine)} proved, machine found by queries "
        f"{sum(row['same'] == 'True' for row in mine)}, probe without a mistake "
        f"{sum(float(row['probe']) == 1 for row in mine)}, plane "
        f"{sum(float(row['plane_tells']) == 1 for row in mine)}"
    )
obscured = [row for row in rows if row["kind"] == "obscured"]
less = [row for row in obscured if float(row["plane_true"]) < float(row["true"])]
print(f"the plane prefers what means nothing in {len(less)} of {len(obscured)}")
most = max(1 - float(row["probe_true"]) for row in obscured)
print(f"of a probe's weight up to {most:.0%} is on it")

# %% [markdown] lang="en"
# **In a sentence**: queries find the right machine in every network that is proved, and a probe reads its
# state from every one; but neither the plane in which a network varies most nor the weights of a probe say
# what it computes with.

# %% [markdown] lang="zh"
# **一句话**：在每个已证明的网络上，提问都找到了正确的机器，探针也都读得出状态；但是，变化最大的平面也好，
# 探针的权重也好，都没有说出网络拿什么来计算。
