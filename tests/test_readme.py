"""The README's commands do what it says; its Python examples run as doctests."""

import re
import shlex
from pathlib import Path

from tests.test_cli import carrynet

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shell_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]


def test_every_command_works(tmp_path: Path) -> None:
    (plan,) = re.findall(r"```toml\n(.*?)```", README, flags=re.DOTALL)
    (tmp_path / "plan.toml").write_text(plan)
    started = re.compile(r".*?uv run (?:--extra \w+ )*carrynet (.*)")
    commands = [found[1] for line in shell_lines() if (found := started.fullmatch(line))]
    assert commands[:2] == ["train", "add 118 8"]
    outputs = {}
    for command in commands:
        done = carrynet(*shlex.split(command), cwd=tmp_path)
        assert done.returncode == 0, command
        outputs[command] = done.stdout
    assert "118 + 8 = 126" in outputs["add 118 8"]
    assert "5 - 9 = -4" in outputs["subtract 5 9"]
    assert "networks    80 of 80" in outputs["sweep plan.toml --out adders"]
    assert len(outputs["table adders --by hidden,steps"].splitlines()) == 5
    assert outputs["plot adders"].splitlines()[-1] == "adders/report.html"


def test_continuous_integration_runs_the_same_commands() -> None:
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    own_setup = [line for line in shell_lines() if line.startswith("pip install")]
    assert len(own_setup) == 2
    for line in own_setup:
        assert line in script


def in_the_tree(text: str) -> set[str]:
    """The modules in the tree of a README, by their paths below the package."""
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
    assert in_the_tree(README) == modules
    assert in_the_tree((ROOT / "README.zh-CN.md").read_text()) == modules
