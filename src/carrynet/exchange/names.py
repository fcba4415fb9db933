"""What a name says of a tensor: a weight's, a bias's, a counter's, an optimiser's or a generator's.

Nobody is bound to such names; these are the habits of PyTorch's users, and of Keras's and Flax's.
"""

import re

_COUNTED = re.compile(
    r"num_batches_tracked|n_averaged|exp_avg(_sq)?|max_exp_avg_sq|square_avg|momentum_buffer|"
    r"((train|training|val|valid|validation|test|eval|best|last|min|max|mean|global|current|n|num"
    r"|model)_)*"
    r"(loss(es)?|accs?|accurac(y|ies)|scores?|epochs?|steps?|iterations?|lrs?|learning_rates?|seed)"
    r"(_(history|curve|log))?",
    re.IGNORECASE,
)
_STATE = re.compile(
    r"(model_)?optim(s|i[sz]ers?)?([_.]?(g|d|\d+))?(_states?)?(_dicts?)?|opt_states?|"
    r"(lr_?)?schedulers?(_states?)?(_dicts?)?|grad_?scaler(_states?)?(_dicts?)?|"
    r"(\w*_)?(rng|random)(_generator)?(_states?)?|callbacks?|history|metrics?|criterion|loss_fn|loss|"
    r"losses",
    re.IGNORECASE,
)
_BIAS = re.compile(r"bias|^b([_\d]|$|[hy]$)", re.IGNORECASE)


def last_part(name: str) -> str:
    """A name's last part, of those that dots and slashes divide it into."""
    return re.split(r"[./]", name)[-1]


def is_bias(name: str) -> bool:
    """Whether a name is that of a bias."""
    return bool(_BIAS.search(last_part(name)))


def is_counter(name: str) -> bool:
    """Whether a name is that of a counter, a score or a loss."""
    return bool(_COUNTED.fullmatch(last_part(name)))


def is_count(name: str, floating: bool) -> bool:
    """Whether a single number counts or scores something: a learned one has another name."""
    best = last_part(name).lower().startswith("best_")
    return not is_bias(name) and (not floating or best or is_counter(name))


def states(name: str) -> list[str]:
    """What of a path, from its beginning, is named as an optimiser's, a loss's or such a state."""
    ends = [match.start() for match in re.finditer(r"[./]|$", name)]
    return [name[:end] for end in ends if _STATE.fullmatch(last_part(name[:end]))]


def is_of_generator(name: str, size: int) -> bool:
    """Whether so many bytes in a row are the state of a random generator."""
    named = re.search(
        r"(^|[._/])(\w*rng\w*|\w*random\w*|(\w*_)?states?)([._/]|$)", name, re.IGNORECASE
    )
    return size in _GENERATORS or bool(named)


_GENERATORS = (16, 816, 5056)  # bytes of PyTorch's, of CUDA and of the processor
