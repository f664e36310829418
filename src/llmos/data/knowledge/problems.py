"""Problems: the documents that could not be read; the first ones, and how many."""

from dataclasses import dataclass, field

from llmos.core.errors import BadDocument

MAX_PROBLEMS = 20
"""The documents that are named; the others are counted."""


@dataclass(slots=True)
class Problems:
    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, reason: str) -> None:
        """Add a document. `reason`: a sentence that names it."""
        self.count += 1
        if len(self.first) < MAX_PROBLEMS:
            self.first.append(reason)

    def as_error(self) -> BadDocument:
        more = f"\n… and {self.count - len(self.first):,} more" if self.count > len(self.first) else ""
        lines = "\n".join(self.first)
        what = "document can't" if self.count == 1 else "documents can't"
        return BadDocument(
            f"{self.count:,} {what} be read, and nothing was kept. Correct them, or leave them out with"
            f" --on-error skip:\n{lines}{more}",
            param="files",
        )

    def as_report(self) -> dict[str, object]:
        """Return what the version says of them."""
        return {"skipped": self.count, "problems": self.first} if self.count else {}
