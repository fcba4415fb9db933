"""Draw docs/terminal.svg: what the commands of the README print, run afresh.

uv run --group docs python docs/terminal.py

A test compares the words of the picture with what the commands print.
"""

import html
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from carrynet.cli.output import coloured

COMMANDS = ["carrynet train", "carrynet add 118 45", "carrynet automaton"]
WIDTH = 96
TARGET = Path(__file__).with_name("terminal.svg")
LINE = re.compile(r'<text class="terminal-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>')


def words(text: str) -> str:
    """What a text says but for numbers, of which some differ from machine to machine."""
    return re.sub(r"\d[\d.,]*", "#", " ".join(text.split()))


def shown(svg: str) -> str:
    """The text of a picture, line by line."""
    found = [(float(y), float(x), html.unescape(text)) for x, y, text in LINE.findall(svg)]
    rows = {y: "".join(text for row, _, text in sorted(found) if row == y) for y, _, _ in found}
    return "\n".join(row.replace("\xa0", " ").rstrip() for _, row in sorted(rows.items()))


def main() -> None:
    # only who draws needs it, not who reads the picture
    from rich.console import Console
    from rich.terminal_theme import SVG_EXPORT_THEME
    from rich.text import Text

    # shown as typed where carrynet is installed, without 'uv run' in front
    environment = {k: v for k, v in os.environ.items() if k != "UV_RUN_RECURSION_DEPTH"}
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as cwd:
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "dim"), (command, "bold green")))
            done = subprocess.run(
                [sys.executable, "-m", *command.split()],
                cwd=cwd,
                env=environment,
                check=True,
                capture_output=True,
                text=True,
            )
            console.print(Text.from_ansi(coloured(done.stdout)))
    svg = console.export_svg(title="carrynet", theme=SVG_EXPORT_THEME, unique_id="terminal")
    # A picture asks nothing of the network: the viewer's own monospaced font will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "Menlo, Consolas, 'DejaVu Sans Mono', monospace")
    TARGET.write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
