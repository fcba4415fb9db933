"""What an index of packages shows of carrynet: the README, without links that end nowhere there."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)")


class Description(MetadataHookInterface):
    """The README, whose relative links lead into the repository at `home`.

    `home` is a key of `[tool.hatch.metadata.hooks.custom]`. While it is empty, such links are
    the words alone, and pictures are left out.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Set `readme`, and where there is a `home` `urls`."""
        home = self.config["home"].rstrip("/")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": absolute(text, home)}
        if home:
            pages = {"Documentation": "docs/index.md", "Changelog": "CHANGELOG.md"}
            at = {name: f"{home}/blob/HEAD/{path}" for name, path in pages.items()}
            metadata["urls"] = {"Source": home, **at}


def absolute(text: str, home: str) -> str:
    """Markdown with every relative link made absolute, or left out where there is no `home`."""

    def link(found: re.Match[str]) -> str:
        picture, words, path = found.groups()
        if not home:
            return "" if picture else words
        return f"{picture}[{words}]({home}/{'raw' if picture else 'blob'}/HEAD/{path})"

    return re.sub(r"\n{3,}", "\n\n", _LINK.sub(link, text))
