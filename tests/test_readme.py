"""The README's commands do what it says; its Python examples run as doctests."""

import re
import runpy
import shlex
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from carrynet.cli import COMMANDS
from carrynet.nets.cells import ACTIVATIONS, CELLS
from carrynet.spec.builtin import FAMILIES
from carrynet.spec.recipe import RECIPES
from docs import terminal
from tests.test_cli import carrynet

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = ("docs/guide.md", "docs/guide.zh-CN.md")
MOST_WORDS = 1_200


def shell_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]


def test_it_is_read_in_a_few_minutes() -> None:
    assert len(README.split()) < MOST_WORDS


def test_it_counts_the_families_of_tasks() -> None:
    assert f"[{len(FAMILIES)} families of tasks]" in README


def test_every_command_works(tmp_path: Path) -> None:
    started = re.compile(r".*?uv run (?:--extra \w+ )*carrynet (.*)")
    commands = [found[1] for line in shell_lines() if (found := started.fullmatch(line))]
    assert commands[:2] == ["train", "add 118 45"]
    said: dict[str, str] = {}
    for command in commands:
        done = carrynet(*shlex.split(command), cwd=tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        said[command] = done.stdout
    for command, what in PROMISED.items():
        assert re.search(what, said.pop(command), flags=re.MULTILINE), command
    assert not said, "commands of which nothing is asked: say in PROMISED what they promise"


ALL_PAIRS = r"^exhaustive  right on all 65,536 pairs of numbers with up to 8 digits"
PROMISED = {
    "train": (
        rf"(?s)^trained     45,600 problems .*{ALL_PAIRS}.*^proved      right for numbers of any "
        r"length.*^run         runs/0001-"
    ),
    "add 118 45": r"^118 \+ 45 = 163$",
    "explain 7 9": r"^  digit  reads   carry   answers     margin  hidden units\n      0  1,1 ",
    "check": r"\Avalid       For the task add, ",
    "automaton": r"the same machine as the task's: A is carry 0, B is carry 1",
    "report --open": r"\Aruns/0001-certified-add-h32-s0/report.html\n\Z",
}
"""What the README says that its commands do, as what they then print."""


def test_the_picture_shows_what_the_commands_print(tmp_path: Path) -> None:
    """Where it does not: uv run --group docs python docs/terminal.py."""
    printed = []
    for command in terminal.COMMANDS:
        done = carrynet(*shlex.split(command)[1:], cwd=tmp_path)
        assert done.returncode == 0
        printed.append(f"$ {command}\n{done.stdout}")
    picture = terminal.shown(terminal.TARGET.read_text(encoding="utf-8"))
    assert terminal.words(picture) == terminal.words("\n".join(printed))
    commands = [line for line in picture.splitlines() if line.startswith("$ ")]
    assert commands == [f"$ {command}" for command in terminal.COMMANDS]
    # what is the same on every machine
    for told in (ALL_PAIRS, PROMISED["add 118 45"], PROMISED["automaton"]):
        assert re.search(told, picture, flags=re.MULTILINE)
    assert max(map(len, picture.splitlines())) <= terminal.WIDTH


def test_continuous_integration_runs_the_other_commands() -> None:
    """Whatever the README shows besides carrynet's own commands, from the beginning of a line."""
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    others = [line for line in shell_lines() if line and not line.startswith("uv run carrynet")]
    others = [line for line in others if not re.match(r"uv run (--extra \w+ )+carrynet", line)]
    assert len(others) == 3
    for line in others:
        assert any(each == line or each.startswith(f"{line} ") for each in script), line


def test_the_table_of_commands_is_that_of_the_commands() -> None:
    for name in GUIDES:
        table = re.search(r"^\| (?:command|命令) \|.*?\n\n", (ROOT / name).read_text(), re.M | re.S)
        assert table
        heads = [line.split("|")[1] for line in table[0].splitlines()[2:] if line]
        assert sorted(re.findall(r"`(\w+)`", " ".join(heads))) == sorted(COMMANDS)


def test_the_recipes_are_those_that_there_are_and_the_cells_are_some() -> None:
    for name in GUIDES:
        text = (ROOT / name).read_text()
        for each in ("elman", *ACTIVATIONS, *RECIPES):
            assert re.search(rf"(?<![\w-]){each}(?![\w-])", text), each
        # a new cell need not be named here, since the command line lists all; but what is, is one
        said = re.search(r"\*\*(?:Cells|单元)\*\*(.*?)\*\*(?:Recipes|配方)\*\*", text, re.S)
        assert said
        named = {each for each in re.findall(r"`([a-z][a-z-]+)`", said[1]) if each != "train"}
        assert {"elman", "gru", "lstm"} <= named <= {"elman", *CELLS}, named


def in_the_tree(text: str) -> set[str]:
    """The modules in the tree of a document, by their paths below the package."""
    tree = re.search(r"^src/carrynet/\n(.*?)^page/", text, flags=re.DOTALL | re.MULTILINE)
    assert tree
    folders: list[str] = []
    found = set()
    for line in tree[1].splitlines():
        indent, (head, *_) = len(line) - len(line.lstrip()), line.split()
        names = re.findall(r"\b\w+\.py\b", line)
        if indent < 12:  # else it goes on with what is said of the same folder
            folders = folders[: indent // 2 - 1]
            if head.endswith("/"):
                folders.append(head)
            else:
                names = [head]
        found |= {"".join(folders) + name for name in names if not name.startswith("__")}
    return found


def test_the_trees_name_every_module_and_no_other() -> None:
    package = ROOT / "src" / "carrynet"
    modules = {path.relative_to(package).as_posix() for path in package.rglob("*.py")}
    modules = {module for module in modules if not Path(module).name.startswith("__")}
    for name in ("docs/architecture.md", "docs/architecture.zh-CN.md"):
        assert in_the_tree((ROOT / name).read_text()) == modules


# As an index of packages shows it


def described(home: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))["Description"]
    hook(str(ROOT), {"home": home}).update(found)
    return found


def test_an_index_shows_links_that_lead_somewhere() -> None:
    at = "https://example.org/them/carrynet"
    found = described(at + "/")
    text = found["readme"]["text"]
    links = re.findall(r"(!?)\[[^\]]*\]\(([^)\s]+)\)", text)
    assert len(links) > 20
    assert {picture for picture, _ in links} == {"", "!"}
    for picture, link in [*links, *(("", url) for url in found["urls"].values())]:
        kind = "raw" if picture else "blob"
        if link != at:
            assert link.startswith(f"{at}/{kind}/HEAD/"), link
            assert (ROOT / link.removeprefix(f"{at}/{kind}/HEAD/")).exists(), link


def test_without_an_address_an_index_shows_no_links() -> None:
    found = described("")
    assert "urls" not in found
    text = found["readme"]["text"]
    assert "](" not in text
    assert f"{len(FAMILIES)} families of tasks" in text
    installed = distribution("carrynet").read_text("METADATA")
    assert installed
    assert f"{len(FAMILIES)} families of tasks" in installed
    assert "](" not in installed
