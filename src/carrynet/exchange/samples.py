"""What the owner's network answers to some words: samples that an import is compared with.

An .npz file holds

    words     (N, T)  the symbols' numbers, as the task's machine has them
    outputs   (N, T)  the numbers of the outputs; -1 where nothing is told
    logits    (N, T, y)  what the network's last layer gives; may be left out, or outputs may

A CSV file has a line for each word, with the columns `word`, and `outputs` or `logits` or both: the
symbols' names, or numbers, with spaces between (without, where each name is one letter); the
outputs likewise; the logits of all positions one after another.  Words may be of different lengths.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carrynet import files
from carrynet.errors import InputError, shorten
from carrynet.exchange.found import MAX_BYTES
from carrynet.exchange.tensors import read as read_tensors
from carrynet.nets.arrays import Array
from carrynet.spec.task import Task

TOLERANCE = 1e-4
"""How far a logit may be from the owner's, and relative to it where that is larger than 1."""

UNTOLD = -1
MOST_WORDS = 100_000


@dataclass(frozen=True, eq=False)
class Samples:
    """Words (N, T) of symbols, and what was answered at each position, as far as it is told."""

    words: NDArray[np.int64]  #: shorter ones are filled with symbol 0, of which nothing is told
    outputs: NDArray[np.int64] | None  #: (N, T), `UNTOLD` where nothing is told
    logits: Array | None  #: (N, T, y), NaN where nothing is told

    @property
    def said(self) -> str:
        """What there is of them, in words."""
        parts = [] if self.outputs is None else ["outputs"]
        parts += [] if self.logits is None else ["logits"]
        return f"{' and '.join(parts)} of {len(self.words):,} words"

    @property
    def agreed(self) -> str:
        """That a network answers so, in words."""
        return f"agree: {self.said} to {TOLERANCE:g}"

    def part(self, words: slice) -> "Samples":
        """Some of the words, with what is told of them."""
        outputs = None if self.outputs is None else self.outputs[words]
        logits = None if self.logits is None else self.logits[words]
        return Samples(self.words[words], outputs, logits)

    def fits(self, outputs: Array, answers: NDArray[np.integer]) -> NDArray[np.bool_]:
        """At which positions (N, T) outputs (N, T, y) and answers (N, T) are the owner's."""
        found = np.ones(self.words.shape, bool)
        if self.outputs is not None:
            found &= (self.outputs == UNTOLD) | (self.outputs == answers)
        if self.logits is not None:
            if self.logits.shape[-1] != outputs.shape[-1]:
                raise InputError(
                    f"the samples have {self.logits.shape[-1]} logits at each position, the "
                    f"network has {outputs.shape[-1]}"
                )
            untold = np.isnan(self.logits).all(axis=-1)
            found &= untold | (self._distance(outputs) <= TOLERANCE)
        return found

    def _distance(self, outputs: Array) -> Array:
        """(N, T), relative to the owner's logits where they are large; infinite for NaN."""
        assert self.logits is not None
        with np.errstate(invalid="ignore"):
            scale = np.maximum(1, np.abs(self.logits))
            distance = (np.abs(outputs.astype(np.float64) - self.logits) / scale).max(axis=-1)
        return np.where(np.isnan(distance), np.inf, distance)

    def first_difference(
        self, outputs: Array, answers: NDArray[np.integer], before: int = 0
    ) -> str:
        """Where the owner's network first answers otherwise; so many words come `before` these."""
        rows, positions = np.nonzero(~self.fits(outputs, answers))
        if not len(rows):
            return "as all"
        row, t = int(rows[0]), int(positions[0])
        where = f"first another in word {before + row + 1} at position {t + 1}"
        if self.logits is not None:
            theirs, ours = self.logits[row, t], outputs[row, t]
            k = int(np.argmax(np.abs(theirs - ours)))
            return f"{where}: logit {float(ours[k]):.5g} instead of {float(theirs[k]):.5g}"
        assert self.outputs is not None
        return f"{where}: output {int(answers[row, t])} instead of {int(self.outputs[row, t])}"


def read(path: Path, task: Task) -> Samples:
    """The samples in a file.  Raises `InputError`, one line that names the file."""
    name = files.printable(path)
    try:
        if path.suffix.lower() == ".csv":
            return _of_csv(path, task)
        return of_arrays(read_tensors(path).tensors, task)
    except InputError as error:
        text = str(error)
        raise InputError(text if name in text else f"samples {name}: {text}") from None


def of_arrays(arrays: Any, task: Task) -> Samples:
    """Samples from arrays by their names.  Raises `InputError`."""
    if not isinstance(arrays, Mapping):
        raise InputError("samples are arrays by their names: words, and outputs or logits")
    if unknown := sorted(set(arrays) - {"words", "outputs", "logits"}):
        raise InputError(
            f"{shorten(unknown[0])} is not understood; accepted are words, outputs and logits"
        )
    if "words" not in arrays:
        raise InputError("there are no words")
    words = _whole(arrays["words"], "words", 0, len(task.machine.symbols))
    if words.ndim != 2 or not words.size or len(words) > MOST_WORDS:
        raise InputError(
            f"words have shape {words.shape}: (N, T) is accepted, of up to {MOST_WORDS:,} words"
        )
    outputs = logits = None
    told = np.zeros(words.shape, bool)
    if "outputs" in arrays:
        outputs = _whole(arrays["outputs"], "outputs", UNTOLD, len(task.machine.outputs))
        if outputs.shape != words.shape:
            raise InputError(f"outputs have shape {outputs.shape}, not {words.shape} as the words")
        told |= outputs != UNTOLD
    if "logits" in arrays:
        logits = _numbers(arrays["logits"], "logits").astype(np.float64)
        logits = logits[..., None] if logits.ndim == 2 else logits
        if logits.shape[:2] != words.shape or logits.ndim != 3 or not logits.shape[-1]:
            raise InputError(f"logits have shape {logits.shape}: {(*words.shape, 'y')} is accepted")
        untold = np.isnan(logits)
        if np.isinf(logits).any() or (untold.any(axis=-1) != untold.all(axis=-1)).any():
            raise InputError("logits must be finite, or NaN throughout where nothing is told")
        told |= ~untold.all(axis=-1)
    if outputs is None and logits is None:
        raise InputError("there are neither outputs nor logits")
    if not told.any():
        raise InputError("nothing is told of any position: what does the network answer?")
    return Samples(words, outputs, logits)


def _numbers(array: Any, name: str) -> NDArray[Any]:
    """An array of real numbers.  Raises `InputError` for anything else."""
    try:
        found = np.asarray(array)
    except (ValueError, TypeError):
        found = np.asarray(None)
    if found.dtype.kind not in "fiu":
        raise InputError(f"{name} must be an array of numbers, all rows of one length")
    return found


def _whole(array: Any, name: str, low: int, high: int) -> NDArray[np.int64]:
    found = _numbers(array, name)
    whole = found.dtype.kind in "iu" or (
        bool(np.isfinite(found).all()) and bool((found == np.rint(found)).all())
    )
    if not whole or not ((found >= low) & (found < high)).all():
        raise InputError(f"{name} must be whole numbers from {low} to {high - 1}")
    return found.astype(np.int64)


def _of_csv(path: Path, task: Task) -> Samples:
    try:
        text = files.contents(path, MAX_BYTES).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text), strict=True))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise InputError(f"cannot be read: {files.first_line(error)}") from None
    if not rows or len(rows) > MOST_WORDS:
        raise InputError(f"it has {len(rows):,} words: from 1 to {MOST_WORDS:,} are accepted")
    given = set(rows[0]) - {None}
    if (
        "word" not in given
        or not given & {"outputs", "logits"}
        or given - {*("word", "outputs", "logits")}
    ):
        raise InputError("the columns are word, and outputs or logits or both")
    words, outputs, logits = [], [], []
    for number, row in enumerate(rows, 2):
        if None in row:
            raise InputError(f"line {number} has more columns than the first")
        word = _symbols(row["word"], task.machine.symbols, f"line {number}")
        words.append(word)
        if "outputs" in given:
            outputs.append(_symbols(row["outputs"], task.machine.outputs, f"line {number}"))
            if len(outputs[-1]) != len(word):
                raise InputError(
                    f"line {number} has {len(outputs[-1])} outputs for {len(word)} symbols"
                )
        if "logits" in given:
            try:
                numbers = [float(each) for each in (row["logits"] or "").split()]
            except ValueError:
                raise InputError(f"line {number} has logits that are no numbers") from None
            if not word or not numbers or len(numbers) % len(word):
                raise InputError(f"line {number} has {len(numbers)} logits for {len(word)} symbols")
            logits.append(np.array(numbers).reshape(len(word), -1))
    T = max(map(len, words))
    if T * len(words) > MAX_BYTES // 8 or len({each.shape[1] for each in logits}) > 1:
        raise InputError("the words are too long, or have different numbers of logits")
    arrays: dict[str, Any] = {"words": np.zeros((len(words), T), np.int64)}
    if outputs:
        arrays["outputs"] = np.full((len(words), T), UNTOLD)
    if logits:
        arrays["logits"] = np.full((len(words), T, logits[0].shape[1]), np.nan)
    for n, word in enumerate(words):
        arrays["words"][n, : len(word)] = word
        if outputs:
            arrays["outputs"][n, : len(word)] = outputs[n]
        if logits:
            arrays["logits"][n, : len(word)] = logits[n]
    return of_arrays(arrays, task)


def _symbols(text: str | None, names: tuple[str, ...], where: str) -> list[int]:
    """The places of names in a text, or the numbers that it has."""
    parts = (text or "").split()
    if len(parts) == 1 and parts[0] not in names:
        parts = list(parts[0])
    places = {name: place for place, name in enumerate(names)}
    found = [
        places.get(part, int(part) if part.isdecimal() and len(part) < 6 else -2) for part in parts
    ]
    if not found or any(not 0 <= place < len(names) for place in found):
        shown = ", ".join(names[:8])
        raise InputError(f"{where} has {shorten(text or '')}: accepted are {shown}")
    return found
