"""What is refused, by the command line alone: one line, exit code 2, soon, and nothing is lost."""

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import carrynet as cn
from carrynet import files
from carrynet.errors import InputError
from carrynet.proof.certificate import from_json
from tests.test_cli import carrynet, process

FEW = ("--hidden", 4, "--digits", 4, "--set", "learn.steps=5")
SHORT = (*FEW, "--set", "harden.steps=2")
STEP = "h = tanh(x @ Wxh + bh + h @ Whh)"
GIGABYTE = 2**30


def everything(folder: Path) -> dict[str, bytes]:
    """All files below a folder, and what is in them."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size < GIGABYTE
    }


def refused(*arguments: object, cwd: Path) -> str:
    """The one line by which something is refused; what is on disk stays as it was."""
    before = everything(cwd)
    done = carrynet(*arguments, cwd=cwd)
    assert (done.returncode, done.stdout) == (2, ""), done.stdout + done.stderr
    assert done.stderr.startswith("carrynet: ")
    assert done.stderr.count("\n") == 1, done.stderr
    assert len(done.stderr) < 700
    assert everything(cwd) == before
    return done.stderr


# Formulas ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("h = tanh(x @ Wxh + q + h @ Whh)", ("line 1", "reads q, which is not known")),
        ("# a gate\nz = sine(x @ Wxz)\nh = z", ("line 2", "calls sine", "mix, relu, sigmoid")),
        ("h = tanh(x @ Wxh + h + x)", ("line 1", "different widths, H and X")),
        ("state = h, c\nh = tanh(x @ Wxh + c @ Wch)", ("no line sets the state's part c",)),
        ("g = tanh(x @ Wxh)", ("no line sets the state's part h",)),
        ("u = tanh(v @ Wv)\nv = tanh(u @ Wu)\nh = u", ("reads v before a line sets it",)),
        ("h = h(x)", ("calls h: the functions are",)),
        ("def h(x):\n    return h(x)", ("line 1", "is no equation such as h = tanh")),
        ("h = x @ Wxh + " + "(" * 9_000 + "h" + ")" * 9_000, ("line 1", "is no equation")),
        ("h = " + "-" * 50_000 + "h", ("too many brackets",)),
        ("#\n" * 30_000, ("in 30,000 lines is too long: at most 65,536 in 1,000 are accepted",)),
        ("h = tanh(x @ Wxh)\n" * 10**5, ("larger than 64 KB, the most that is read",)),
        ("", ("no line sets the state's part h",)),
        ("h = x @ Wxh\0", ("null characters",)),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_formulas(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "my.cell").write_text(text)
    said = refused("train", "--cell", "my.cell", *SHORT, cwd=tmp_path)
    assert all(part in said for part in ("my.cell", *words)), said


def test_readouts(tmp_path: Path) -> None:
    for readout, words in {
        "logits = tanh(h @ Why + by)": "ends in a linear layer, as in logits = h @ Why + by",
        "logits = h @ Why + by + x @ Wxy": "reads x, which is not known",
        "u = h @ Why + by": "no line sets logits",
        "logits = h @ Wxh + bxy": "both have weights Wxh",
    }.items():
        settings = ("--cell", STEP, "--set", f"readout={readout}")
        assert words in refused("train", *settings, *FEW, cwd=tmp_path)


# Machines ----------------------------------------------------------------------------

START = '__start0 [shape="none"]; __start0 -> a;'
MACHINES = {
    "incomplete.toml": (
        '[transitions.a]\n0 = ["a", "1"]\n1 = ["b", "0"]\n[transitions.b]\n0 = ["a", "1"]\n',
        "state b, symbol 1: the transition is missing, a machine must be complete",
    ),
    "incomplete.dot": (
        f'digraph {{ {START} a -> a [label="0/1"]; a -> b [label="1/0"]; b -> a [label="0/1"]; }}',
        "state b, symbol 1: the transition is missing, a machine must be complete",
    ),
    "incomplete.fst": ("0 1 a x\n0 0 b x\n1 0 a y\n0\n1\n", "the transition is missing"),
    "twice.toml": (
        '[transitions.a]\n0 = ["a", "1"]\n0 = ["a", "0"]\n',
        "Cannot overwrite a value (at line 3",
    ),
    "twice.dot": (
        f'digraph {{ {START} a -> a [label="0/1"]; a -> a [label="0/0"]; }}',
        "state a, symbol 0",
    ),
    "twice.fst": ("0 1 a x\n0 0 a y\n1 0 a y\n0\n1\n", "state 0, symbol a"),
    "none.toml": ("symbols = []\n[transitions.a]\n", "needs at least one of its symbols"),
    "empty.toml": ("", "needs transitions: a table [transitions.STATE] for each state"),
    "none.dot": (f"digraph {{ {START} a; }}", ""),
    "million.toml": (
        "".join(f'[transitions.{q}]\n0 = ["{q}", "1"]\n' for q in range(10**6)),
        "larger than 1 MB, the most that is read",
    ),
    "million.dot": (
        f"digraph {{ {START} {'; '.join(f'q{q} -> q{q}' for q in range(10**6))} }}",
        "larger than 1 MB, the most that is read",
    ),
    "many.toml": (
        f"symbols = {[*map(str, range(70_000))]}\noutputs = ['0', '1']\n[transitions.a]\n",
        "state a, symbol 0: the transition is missing",
    ),
    "wide.toml": (
        "[transitions.a]\n" + "".join(f'{a} = ["a", "{a % 2}"]\n' for a in range(5_000)),
        "encoding one-hot has 5,000 inputs for 5,000 symbols: at most 4,096 are accepted",
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_machines(tmp_path: Path, name: str) -> None:
    text, words = MACHINES[name]
    (tmp_path / name).write_text(text)
    said = refused("train", "--task", name, *SHORT, cwd=tmp_path)
    assert said.startswith(f"carrynet: {name}: ")
    assert words in said


def test_states_that_no_word_leads_to_are_told(tmp_path: Path) -> None:
    (tmp_path / "doors.toml").write_text(
        '[transitions.shut]\n0 = ["shut", "1"]\n1 = ["shut", "0"]\n'
        '[transitions.ajar]\n0 = ["shut", "1"]\n1 = ["open", "0"]\n'
        '[transitions.open]\n0 = ["ajar", "1"]\n1 = ["open", "1"]\n'
    )
    done = carrynet("train", "--task", "doors.toml", *SHORT, cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert "unreached   no word leads to ajar, open\n" in done.stdout
    done = carrynet("train", "--task", "parity", *SHORT, cwd=tmp_path)
    assert "unreached" not in done.stdout


# Files that are none -----------------------------------------------------------------


@contextmanager
def bounded(size: int) -> Iterator[None]:
    """No more memory than there is by now, and so many bytes."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)  # which nobody writes into: to open it would be to wait for ever


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(GIGABYTE)


def no_text(path: Path) -> None:
    path.write_bytes(b"\xff\xfe\0")


NO_FILES: dict[Callable[[Path], None], str] = {
    folder: "Is a directory",
    pipe: "not a regular file",
    device: "not a regular file",
    loop: "Too many levels of symbolic links",
    huge: "the most that is read",
    no_text: "UTF-8|utf-8",
    lambda path: None: "No such file",
}


@pytest.mark.parametrize("make", NO_FILES, ids=lambda make: make.__name__)
@pytest.mark.parametrize(
    ("option", "name"),
    [
        *(("--task", f"mine{ending}") for ending in (".toml", ".dot", ".gv", ".fst", ".fst.txt")),
        ("--cell", "mine.cell"),
        ("--recipe", "mine.toml"),
    ],
)
def test_files_that_are_none(
    tmp_path: Path, option: str, name: str, make: Callable[[Path], None]
) -> None:
    make(tmp_path / name)
    with bounded(256 * 2**20):
        said = refused("train", option, name, *SHORT, cwd=tmp_path)
    assert name in said
    assert any(words in said for words in NO_FILES[make].split("|")), said


def test_what_is_piped_in_is_not_read(tmp_path: Path) -> None:
    """A link to standard input, which is a pipe or a terminal, has nothing that can be reread."""
    for option, name in (("--task", "in.toml"), ("--cell", "in.cell")):
        (tmp_path / name).symlink_to("/dev/stdin")
        done = process("train", option, name, *FEW, cwd=tmp_path, given="h = x @ Wxh\n")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert name in done.stderr
        assert "not a regular file" in done.stderr
    for option in ("--task", "--cell"):
        said = refused("train", option, "/dev/stdin", *FEW, cwd=tmp_path)
        assert "'/dev/stdin'" in said
        assert "FILE." in said  # what is accepted


# Runs that were changed, or are of another version -------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of a machine of one's own, which is proved."""
    cwd = tmp_path_factory.mktemp("made")
    (cwd / "doors.toml").write_text(
        '[transitions.shut]\n0 = ["shut", "1"]\n1 = ["open", "0"]\n'
        '[transitions.open]\n0 = ["shut", "0"]\n1 = ["open", "1"]\n'
    )
    run = cn.train("certified", task=cwd / "doors.toml", hidden=6, out=cwd / "run", progress=False)
    assert isinstance(run.proof, cn.Proved)
    return cwd


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "place")
    return tmp_path / "place"


ASKING = (
    *(("evaluate", "run"), ("prove", "run"), ("ask", "run", "0110"), ("explain", "run", "0110")),
    *(("report", "run"), ("harden", "run"), ("automaton", "run"), ("train", "--resume", "run")),
)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def in_model(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tensors, facts = files.read_tensors(run / "model.safetensors")
    change(facts)
    files.write_tensors(run / "model.safetensors", tensors, facts)


@pytest.mark.parametrize("command", ASKING, ids=lambda command: command[0])
def test_a_run_whose_machine_was_edited(place: Path, command: tuple[str, ...]) -> None:
    recipe = place / "run" / "recipe.toml"
    digests = [files.sha256(recipe.read_bytes())]
    edit(recipe, '1 = ["open", "1"]', '1 = ["open", "0"]')
    digests.append(files.sha256(recipe.read_bytes()))
    said = refused(*command, cwd=place)
    assert "recipe.toml" in said
    assert "not the recipe that the run was started with" in said
    # nor is it taken where whoever edits it forges the digest of the recipe, too
    edit(place / "run" / "config.json", *digests)
    said = refused(*command, cwd=place)
    assert "task 'doors@" in said
    assert "is not the machine in the recipe, which is doors@" in said


def test_a_recipe_whose_machine_was_edited(place: Path) -> None:
    shutil.copy(place / "run" / "recipe.toml", place / "mine.toml")
    edit(place / "mine.toml", '1 = ["open", "1"]', '1 = ["open", "0"]')
    said = refused("train", "--recipe", "mine.toml", cwd=place)
    assert "is not the machine in the recipe, which is doors@" in said


def test_a_model_whose_machine_was_edited(place: Path) -> None:
    def change(facts: dict[str, Any]) -> None:
        facts["machine"]["transitions"]["open"]["1"] = ["open", "0"]

    in_model(place / "run", change)
    for command in ASKING:
        assert "its 'machine' is not that of its network" in refused(*command, cwd=place)
    said = refused("check", "run", cwd=place)
    assert "is not its machine, which is doors@" in said
    model = "run/model.safetensors"
    assert "is not its machine" in refused("import", model, "--out", "again", cwd=place)
    assert "is not its machine" in refused("ask", "--run", model, "01", cwd=place)


def test_a_certificate_whose_machine_was_edited(place: Path) -> None:
    edit(place / "run" / "certificate.json", '"open",\n          "1"', '"open",\n          "0"')
    assert "is not its machine, which is doors@" in refused("check", "run", cwd=place)


def test_runs_of_version_1(place: Path) -> None:
    edit(place / "run" / "config.json", '"version": 2', '"version": 1')
    said = "carrynet: run is not a run that can be read: it has version 1, not 2\n"
    for command in ASKING:
        assert refused(*command, cwd=place) == said
    said = refused("train", *SHORT, "--out", "run", "--force", cwd=place)
    assert "run is not a run: --force replaces nothing else" in said


def test_models_of_version_1(place: Path) -> None:
    tensors, facts = files.read_tensors(place / "run" / "model.safetensors")
    old = {"task": "add", "activation": "sigmoid", "weights_sha256": facts["weights_sha256"]}
    for said_of_it, words in (
        (facts | {"version": 1}, "it has version 1, not 2"),
        (old, "its format is not carrynet-model version 2"),  # as version 1 wrote it
    ):
        files.write_tensors(place / "run" / "model.safetensors", tensors, said_of_it)
        files.write_tensors(place / "old.safetensors", tensors, said_of_it)
        for command in (
            *ASKING,
            ("check", "run"),
            ("ask", "--run", "old.safetensors", "01"),
            ("import", "old.safetensors", "--out", "again"),
            ("train", *SHORT, "--origin", "old.safetensors"),
        ):
            assert words in refused(*command, cwd=place), command


def test_certificates_of_version_1(place: Path) -> None:
    edit(place / "run" / "certificate.json", '"version": 2', '"version": 1')
    said = refused("check", "run", cwd=place)
    assert "certificate.json" in said
    assert "it has version 1, not 2" in said


def test_numbers_beyond_all_floats(tmp_path: Path) -> None:
    huge = "1" + "0" * 400
    machine = (
        f'[transitions.a]\n0 = ["a", "1"]\n1 = ["a", "0"]\n[encoding]\n0 = [{huge}]\n1 = [1]\n'
    )
    (tmp_path / "huge.toml").write_text(machine)
    assert "a vector must be of numbers" in refused("train", "--task", "huge.toml", cwd=tmp_path)


@pytest.mark.parametrize("key", ["slack", "start", "cell"])
def test_certificates_with_numbers_or_text_that_are_none(made: Path, key: str) -> None:
    document = json.loads((made / "run" / "certificate.json").read_text())
    document[key] = {"slack": 10**400, "start": [10**400], "cell": "\ud800"}[key]
    with pytest.raises(InputError, match="not a certificate"):
        from_json(document)
