"""The pages of docs/, for tests that run the commands and programs in them."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class DocPage:
    name: str
    """The file's name, such as security.md."""

    @cached_property
    def text(self) -> str:
        return (DOCS / self.name).read_text()

    def blocks(self, language: str, section: str = "") -> list[str]:
        """Return the code blocks of a language, by choice those under one heading of the second level alone."""
        text = self.text if not section else self.text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
