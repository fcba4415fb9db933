"""How many faults in the trusted base its tests would notice: mutants tried, killed, survived.

nice uv run --group test python -m benchmarks.mutants
nice uv run --group test python -m benchmarks.mutants --modules check tasks --most 50 --seed 1

A mutant is a module of the trusted base with one small change: another operator, an operand or
a statement less, a condition that always or never holds, a number that is off by one.  It is
killed if a test that concerns the module fails, or runs out of time or memory.  A survivor is a
line that no test stands against, or a change that makes no difference (equivalent), or one that
only refuses more: which of them, is for the reader to say.  Left as they are: annotations,
docstrings, decorators, the messages of errors, and the `strict=True` of `zip`.

Each mutant has a process of its own, forked where all but carrynet is imported, and takes the
place of its module by an import hook: nothing on the disk is touched.  Exit code 1 if any
survived, 2 if the tests fail without any mutant.
"""

import argparse
import ast
import importlib
import importlib.abc
import importlib.util
import os
import random
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from tqdm import tqdm

ROOT = Path(__file__).parents[1]
MEMORY = 4 * 2**30  # address space of a mutant, in bytes
# what tests import beside carrynet, once for all mutants
OTHERS = (
    *("autograd", "click", "flint", "hypothesis", "llvmlite.binding", "numpy", "platformdirs"),
    *("pytest", "safetensors.numpy", "threadpoolctl", "tomli_w"),
)


@dataclass(frozen=True)
class Subject:
    """A module, and the tests that concern it, those that fail soonest first."""

    module: str
    file: Path
    tests: tuple[Path, ...]


def _subject(module: str, *tests: str) -> Subject:
    file = ROOT / "src" / Path(*module.split(".")).with_suffix(".py")
    return Subject(module, file, tuple(ROOT / "tests" / f"test_{name}.py" for name in tests))


SUBJECTS = {
    "check": _subject("carrynet.proof.check", "false_claims", "allowances", "check"),
    "check_trees": _subject("carrynet.proof.check_trees", "allowances", "tree", "false_claims"),
    "check_affine": _subject("carrynet.proof.check_affine", "affine_trees"),
    "ellipsoids": _subject("carrynet.proof.ellipsoids", "allowances", "tree", "false_claims"),
    "check_formula": _subject("carrynet.proof.check_formula", "check_formula"),
    "check_states": _subject("carrynet.proof.check_states", "states"),
    "balls": _subject("carrynet.proof.balls", "check_formula"),
    "certificate": _subject("carrynet.proof.certificate", "certificate", "check"),
    "model": _subject("carrynet.proof.model", "certificate", "check", "check_formula"),
    "mealy": _subject("carrynet.spec.machine", "mealy", "tasks"),
    "tasks": _subject("carrynet.spec.task", "tasks", "mealy"),
    "codec": _subject("carrynet.spec.codec", "tasks", "builtin"),
    "encoding": _subject("carrynet.spec.encoding", "tasks", "automata_files"),
    "rules": _subject("carrynet.spec.rules", "builtin", "tasks"),
    "builtin": _subject("carrynet.spec.builtin", "builtin", "tasks"),
    "tables": _subject("carrynet.spec.tables", "automata_files", "own_machines"),
}


# What a mutant is -------------------------------------------------------------------------

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
    ast.USub: ast.UAdd,
}  # fmt: skip
PAIRS = [("all", "any"), ("min", "max"), ("minimum", "maximum"), ("lower", "upper")]
NAMES = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
SPARED = {"annotation", "returns", "decorator_list"}


@dataclass(frozen=True)
class Mutant:
    """One change of a module's source: at which place, and which of those that are possible."""

    line: int
    before: str
    after: str
    place: int
    choice: int

    def __str__(self) -> str:
        before, after = (text.partition("\n")[0] for text in (self.before, self.after))
        return f"{self.line}: `{before}` became `{after}`"


def mutants(source: str) -> list[Mutant]:
    """Every mutant of a module's source, in the order of its lines."""
    found = []
    for place, (owner, field, index) in enumerate(_places(ast.parse(source))):
        node = _get(owner, field, index)
        # an operand or an operator is shown with the expression that it is in
        shown = owner if isinstance(owner, ast.expr | ast.AugAssign) else node
        line, before = getattr(shown, "lineno", getattr(owner, "lineno", 0)), ast.unparse(shown)
        for choice, other in enumerate(_rewrites(node)):
            _set(owner, field, index, other)
            after = ast.unparse(owner if shown is owner else other)
            found.append(Mutant(line, before, after, place, choice))
        _set(owner, field, index, node)
    return sorted(found, key=lambda mutant: mutant.line)


def mutated(source: str, mutant: Mutant) -> ast.Module:
    """The syntax tree with the change made."""
    tree = ast.parse(source)
    owner, field, index = list(_places(tree))[mutant.place]
    _set(owner, field, index, list(_rewrites(_get(owner, field, index)))[mutant.choice])
    return ast.fix_missing_locations(tree)


def drawn(found: Sequence[Mutant], most: int | None, seed: int) -> list[Mutant]:
    """All of them, or `most` that a seed draws, in the order of their lines."""
    if most is None or most >= len(found):
        return list(found)
    chosen = random.Random(seed).sample(range(len(found)), most)
    return [found[i] for i in sorted(chosen)]


def _rewrites(node: ast.AST) -> Iterator[ast.AST]:
    """What a node may become."""
    if type(node) in OPERATORS:
        yield OPERATORS[type(node)]()
    match node:
        case ast.BinOp(left, ast.Add(), _):
            yield left
        case ast.BoolOp(values=values):
            yield from values
        case ast.UnaryOp(ast.Not(), inner) | ast.Call(ast.Name("abs"), [inner]):
            yield inner
        case ast.Call(ast.Attribute(attr="abs"), [inner]):
            yield inner
        case ast.Compare(left, [*ops, _], [*others, _]) if ops:
            yield ast.Compare(left, ops, others)  # a chain, one shorter at either end
            yield ast.Compare(node.comparators[0], node.ops[1:], node.comparators[1:])
        case ast.Name(id=name) if name in NAMES:
            yield ast.Name(NAMES[name], ast.Load())
        case ast.Attribute(value, name) if name in NAMES:
            yield ast.Attribute(value, NAMES[name], ast.Load())
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield ast.Constant(value + 1)
        case ast.Constant(float(value)):
            yield ast.Constant(value / 2 if value else 1.0)
        case ast.Constant(str(value)) if value:
            yield ast.Constant(value[:-1] + chr(ord(value[-1]) ^ 1))
        case ast.IfExp(_, body, other):
            yield from (body, other)
        case ast.If():
            yield ast.If(ast.Constant(True), node.body, node.orelse)
            yield ast.If(ast.Constant(False), node.body, node.orelse)
        case ast.comprehension(target, iterated, [_, *_]):
            yield ast.comprehension(target, iterated, [], node.is_async)
        case ast.Expr(ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Break():
            yield ast.Pass()


Place = tuple[ast.AST, str, int | None]


def _places(tree: ast.AST) -> Iterator[Place]:
    """Where nodes are that may be changed: the owner, its field, and the index in a list."""
    for field, value in ast.iter_fields(tree):
        if field in SPARED:
            continue
        for index, node in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(node, ast.AST) and not _spared(tree, field, index, node):
                yield tree, field, index if isinstance(value, list) else None
                yield from _places(node)


def _spared(owner: ast.AST, field: str, index: int, node: ast.AST) -> bool:
    """Whether a node is a docstring, an error's message, or one of a `zip`'s `strict=True`."""
    match owner, node:
        case _, ast.Expr(ast.Constant(str())) | ast.keyword("strict"):
            return True
        case ast.Raise(), _:
            return True
        case ast.Call(ast.Name("require" | "_require")), _:
            return field == "args" and index == 1
    return False


def _get(owner: ast.AST, field: str, index: int | None) -> ast.AST:
    value = getattr(owner, field)
    return value if index is None else value[index]


def _set(owner: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(owner, field, node)
    else:
        getattr(owner, field)[index] = node


# What becomes of it -----------------------------------------------------------------------


class _Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a mutant in place of its module."""

    def __init__(self, subject: Subject, tree: ast.Module) -> None:
        self.subject, self.tree = subject, tree

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        if name != self.subject.module:
            return None
        return importlib.util.spec_from_file_location(name, self.subject.file, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, str(self.subject.file), "exec"), vars(module))


def passes(subject: Subject, tree: ast.Module, seconds: int) -> bool:
    """Whether the tests of a module pass with a syntax tree in its place.

    They do not if they take more seconds of a processor, or twenty times as long on the clock.
    """
    child = os.fork()
    if child == 0:
        try:
            code = _test(subject, tree, seconds)
        except BaseException:
            code = 1
        os._exit(code)
    _, status = os.waitpid(child, 0)
    return status == 0


def _test(subject: Subject, tree: ast.Module, seconds: int) -> int:
    import hypothesis
    import pytest

    # no failure needs to be made small, or kept
    hypothesis.settings.register_profile(
        "mutants",
        deadline=None,
        database=None,
        derandomize=True,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    )
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(20 * seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    sys.meta_path.insert(0, _Hook(subject, tree))
    options = ["-x", "-q", "-o", "addopts=", "-p", "no:cacheprovider"]
    options += ["--assert=plain", "--hypothesis-profile=mutants"]
    for file in subject.tests:
        code = pytest.main([*options, str(file)])
        if code != pytest.ExitCode.OK:
            return int(code)
    return 0


def survivors(subject: Subject, most: int | None, seed: int) -> tuple[int, list[Mutant]]:
    """How many mutants of a module were tried, and those that its tests did not notice.

    Raises `ValueError` if the tests fail without any mutant.
    """
    source, before = subject.file.read_text(), os.times()
    if not passes(subject, ast.parse(source), seconds=3600):
        raise ValueError(f"the tests of {subject.module} fail without any mutant")
    now = os.times()
    taken = now.children_user + now.children_system - before.children_user - before.children_system
    seconds = 10 + 5 * int(taken)
    tried = drawn(mutants(source), most, seed)
    turns = tqdm(tried, desc=subject.module, leave=False)
    return len(tried), [m for m in turns if passes(subject, mutated(source, m), seconds)]


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"not one of 1, 2, 3, ...: {text!r}")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--modules", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--most", type=_count, help="mutants of each module; by default all")
    parser.add_argument("--seed", type=int, default=0, help="which, if not all")
    arguments = parser.parse_args()

    os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    for name in OTHERS:
        importlib.import_module(name)
    lines = []
    with tempfile.TemporaryDirectory() as place:
        # of all but mutants, which are never written
        sys.pycache_prefix, sys.dont_write_bytecode = place, False
        print("| module | tried | killed | survived |\n|---|---:|---:|---:|", flush=True)
        for name in arguments.modules:
            try:
                tried, alive = survivors(SUBJECTS[name], arguments.most, arguments.seed)
            except ValueError as error:
                parser.error(str(error))
            print(f"| {name} | {tried} | {tried - len(alive)} | {len(alive)} |", flush=True)
            lines += [f"{SUBJECTS[name].file.name}:{mutant}" for mutant in alive]
    print("", *lines, sep="\n")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
