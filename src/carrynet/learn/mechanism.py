"""What is built by construction, in words: how a network is to be made, and what its units mean.

`compile` reads a `Construction`, makes the weights, and gives back a `Mechanism` beside the
network.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from carrynet.errors import InputError, shorten
from carrynet.learn.realised import REALISED
from carrynet.nets import cells
from carrynet.spec.recipe import Recipe
from carrynet.spec.stage import check_fields, setting
from carrynet.spec.task import Task


def _of_recipe(name: str) -> Any:
    """A setting that means what it does in a recipe."""
    its = Recipe.__dataclass_fields__[name]
    return field(default=its.default, metadata=its.metadata)


@dataclass(frozen=True)
class Construction:
    """How a machine is made into weights: what the mechanism is, and what hides it.

    Raises `InputError` for a value that is not accepted.
    """

    cell: str = _of_recipe("cell")
    activation: str = _of_recipe("activation")
    scale: float = setting(0.0, "size of the pre-activations; 0: by rule", within=(0, 1e3))
    copies: int = setting(1, "units for each role", within=(1, 64))
    spare: int = setting(0, "units in each layer that mean nothing", within=(0, 512))
    noise: float = setting(0.0, "every weight is changed by up to this part of it", within=(0, 1))
    shuffle: bool = setting(False, "whether units stand in a random order")
    flip: bool = setting(False, "whether some units, at random, are low where their role holds")
    seed: int = _of_recipe("seed")
    dtype: str = _of_recipe("dtype")

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "cell", ",".join(cells.names_in(self.cell)))
        for name in self.cell.split(","):
            if name not in REALISED:
                raise InputError(
                    f"cell {shorten(name)} is none that a machine can be compiled for: accepted "
                    f"are {', '.join(REALISED)}, and stacks of them"
                )
        if self.flip and "elman" in self.cell.split(",") and self.activation == "relu":
            raise InputError("flip is not for relu: its units say yes by being above 0")


@dataclass(frozen=True)
class Unit:
    """A unit, and what it means."""

    layer: int  #: from 1, the lowest
    unit: int  #: its place in the layer's part `h` of the state, from 0
    role: str  #: 'pair', 'started' or 'spare'
    state: str | None  #: of a pair: the state before, and
    symbol: str | None  #: the symbol that was read in it
    next: str | None  #: the state that follows
    output: str | None  #: what is answered; '-' where that is open
    on: float | None  #: its level where the role holds, and
    off: float | None  #: where it does not; noise and spare units move both a little


COMPILED = "compiled"
"""What the recipe of such a run is called."""
ROLES = ("pair", "started", "spare")


@dataclass(frozen=True)
class Mechanism:
    """What was built: how, and what each unit means."""

    construction: Construction  #: with the scale that was taken
    units: tuple[Unit, ...]
    weights_sha256: str  #: of the network

    def to_json(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            **_HEAD,
            "weights_sha256": self.weights_sha256,
            "construction": asdict(self.construction),
            "units": [asdict(unit) for unit in self.units],
        }

    @classmethod
    def from_json(cls, document: Any) -> "Mechanism":
        """The inverse of `to_json`.  Raises `ValueError`, `KeyError` or `TypeError`."""
        keys = {*_HEAD, "weights_sha256", "construction", "units"}
        if not isinstance(document, dict) or document.keys() != keys:
            raise ValueError(f"a mechanism has {', '.join(sorted(keys))}")
        if any(document[key] != value for key, value in _HEAD.items()):
            raise ValueError(f"it is not {_HEAD['format']} of version {_HEAD['version']}")
        units = tuple(Unit(**unit) for unit in document["units"])
        known = {unit.role for unit in units} <= {*ROLES}
        kinds = Unit.__dataclass_fields__
        sound = all(
            isinstance(value, _KINDS[kinds[key].type])
            for unit in units
            for key, value in vars(unit).items()
        )
        if not (known and sound and type(document["weights_sha256"]) is str):
            raise ValueError("its units are not units")
        return cls(Construction(**document["construction"]), units, document["weights_sha256"])

    @property
    def settings(self) -> dict[str, Any]:
        """What a recipe can say of it."""
        same = ("cell", "activation", "seed")
        return {"name": COMPILED, **{key: getattr(self.construction, key) for key in same}}

    def in_words(self) -> str:
        """What it is, in a line."""
        how = self.construction
        pairs = len({(unit.state, unit.symbol) for unit in self.units if unit.role == "pair"})
        each = "a unit" if how.copies == 1 else f"{how.copies} units"
        layers = how.cell.count(",") + 1
        parts = [
            f"by construction, {each} for each of {pairs} pairs of a state and a symbol",
            *([f"in each of {layers} layers"] if layers > 1 else []),
            f"scale {how.scale:g}",
            *([f"{how.spare} spare"] if how.spare else []),
            *([f"noise {how.noise:g}"] if how.noise else []),
            *(["shuffled"] if how.shuffle else []),
            *(["some flipped"] if how.flip else []),
        ]
        return ", ".join(parts)

    def command(self, task: Task) -> str:
        """What makes the network again; of a machine of one's own, FILE stands for its file."""
        said = ["carrynet compile", "FILE" if task.own else task.text]
        for name, f in Construction.__dataclass_fields__.items():
            value = getattr(self.construction, name)
            if value != f.default:
                text = str(value).removesuffix(".0")
                said.append(f"--{name}" if value is True else f"--{name} {text}")
        return " ".join(said)


_KINDS: Any = {
    int: int,
    str: str,
    str | None: (str, type(None)),
    float | None: (int, float, type(None)),
}
_HEAD = {"format": "carrynet-mechanism", "version": 1}
