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


def test_the_tree_names_every_module() -> None:
    modules = {
        path.relative_to(ROOT / "src" / "carrynet").as_posix()
        for path in (ROOT / "src" / "carrynet").rglob("*.py")
        if not path.name.startswith("__")
    }
    tree = re.search(r"src/carrynet/\n(.*?)```", README, flags=re.DOTALL)
    assert tree
    for module in modules:
        assert module in tree[1] or Path(module).name in tree[1], module
