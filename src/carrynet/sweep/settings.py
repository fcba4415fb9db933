"""What a sweep does with the networks that it trains: the table [sweep] of a plan."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from carrynet.errors import InputError, shorten, unknown
from carrynet.spec.stage import accepted, check_fields, setting

MOST_TRIALS = 100_000
"""Of a block, whose rows and weights are held in memory until it is written."""

MOST_LENGTH, MOST_DIGITS = 65_536, 2**24
"""Of the problems of a sample, and of all of them together."""

KEEP = ("none", "refuted", "all")


@dataclass(frozen=True)
class Settings:
    """What a sweep does with the networks that it trains; the table [sweep] of a plan.

    Raises `InputError` for what is not accepted.
    """

    engine: str = setting("auto", "auto, native, numpy, jax")
    exhaustive: int = setting(
        8,
        'try all problems whose operands have up to so many digits; 0 or "none": do not',
        within=(0, 16),
    )
    lengths: tuple[int, ...] = (16, 64, 256)  #: of the samples, in digits; () for none
    pairs: int = setting(256, "problems in a sample of a length and kind", within=(1, 65_536))
    #: the lengths, from and to, of the words of which the share with a right last answer is told;
    #: () for none
    accuracy: tuple[int, ...] = ()
    proof: float | None = 0.0  #: seconds beyond the quick steps; None for no proof at all
    keep: str = setting("none", "whose weights to keep", choices=KEEP)
    block: int = setting(0, "trials in a block; 0: as `seconds` says", within=(0, MOST_TRIALS))
    seconds: float = setting(5.0, "that a block is to take, about", within=(0.001, 86_400))

    def __post_init__(self) -> None:
        check_fields(self)
        lengths: tuple[Any, ...] = tuple(self.lengths)
        between: tuple[Any, ...] = tuple(self.accuracy)
        proof: Any = self.proof
        if any(type(n) is not int or not 1 <= n <= MOST_LENGTH for n in lengths):
            raise InputError(
                f"lengths must be whole numbers from 1 to {MOST_LENGTH:,}, not {list(lengths)}"
            )
        if len(set(lengths)) < len(lengths):
            raise InputError(f"lengths names a length twice: {list(lengths)}")
        if between:
            whole = len(between) == 2 and all(type(n) is int for n in between)
            if not whole or not 1 <= between[0] <= between[1] <= MOST_LENGTH:
                raise InputError(
                    f"accuracy must be two lengths, from and to, of 1 to {MOST_LENGTH:,}, as in "
                    f"[41, 500]; or [], not {shorten(list(between))}"
                )
        longest = max((*lengths, *between), default=0)
        if self.pairs * longest > MOST_DIGITS:
            raise InputError(
                f"a sample of {self.pairs:,} problems of {longest:,} digits is too large: at "
                f"most {MOST_DIGITS:,} digits are accepted"
            )
        if proof is not None:
            number = isinstance(proof, int | float) and not isinstance(proof, bool)
            if not number or not 0 <= proof <= 1e6:
                raise InputError(
                    f'proof must be seconds from 0 to 1e+06, or "none", not {shorten(proof)}'
                )
        object.__setattr__(self, "lengths", lengths)
        object.__setattr__(self, "accuracy", between)
        object.__setattr__(self, "proof", None if proof is None else float(proof))

    @classmethod
    def from_table(cls, table: Any) -> "Settings":
        """Read the table [sweep]."""
        if not isinstance(table, dict):
            raise InputError("sweep must be a table, headed [sweep]")
        known = [f.name for f in fields(cls)]
        for key in table:
            if key not in known:
                raise unknown("key of [sweep]", key, known)
        changes = dict(table)
        for key in ("lengths", "accuracy"):
            if not isinstance(changes.get(key, []), list | tuple):
                raise InputError(f"{key} must be a list, not {shorten(changes[key])}")
        if changes.get("proof") == "none":
            changes["proof"] = None
        if changes.get("exhaustive") == "none":
            changes["exhaustive"] = 0
        return cls(**changes)

    def to_table(self) -> dict[str, Any]:
        """The inverse of `from_table`."""
        proof = "none" if self.proof is None else self.proof
        lists = {"lengths": list(self.lengths), "accuracy": list(self.accuracy)}
        return {**asdict(self), **lists, "proof": proof}


def settings_help() -> list[tuple[str, str, str]]:
    """The keys of [sweep]: name, default, and what it is for and accepts."""
    about = {
        "lengths": "digits of the operands of each sample; [] for no samples",
        "accuracy": "of words of lengths from and to, as in [41, 500], how often the last answer "
        "is right; [] for none",
        "proof": 'seconds for each proof, beyond the quick steps; "none" for no proofs',
    }
    defaults, keys = Settings().to_table(), []
    for f in fields(Settings):
        accepts = f" ({accepted(f)})" if f.metadata and accepted(f) else ""
        default = defaults[f.name]
        shown = f'"{default}"' if isinstance(default, str) else f"{default}"
        keys.append((f.name, shown, about.get(f.name) or f"{f.metadata['help']}{accepts}"))
    return keys
