"""What is published as source is what Git keeps, and nothing that it is told to ignore."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

ROOT = Path(__file__).parents[1]


@pytest.fixture
def kept() -> set[str]:
    """The files that Git tracks, and those not added yet."""
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("no clone, or no git")
    # the ignored as the repository says, whatever its owner ignores elsewhere
    command = "git ls-files -z --cached --others --exclude-per-directory=.gitignore"
    listed = subprocess.run(command.split(), cwd=ROOT, check=False, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip(f"git lists no files: {listed.stderr}")
    return {name for name in listed.stdout.split("\0") if (ROOT / name).is_file()}


def test_a_source_distribution_is_what_git_keeps(kept: set[str]) -> None:
    packed = {Path(file.path) for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    assert {path.relative_to(ROOT).as_posix() for path in packed} == kept
