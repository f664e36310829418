"""PromptVersion: what the database knows of a version, independent of it."""

from dataclasses import dataclass
from datetime import datetime

from llmos.data.prompts.tables import PromptVersionRow


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptVersion:
    """An immutable text with typed variables."""

    project: str
    prompt: str
    """The name."""
    number: int
    digest: str
    """sha256:<hex> of the canonical JSON of the text and the types."""
    created_at: datetime
    made_by: str | None
    blob: str
    num_characters: int
    variables: tuple[str, ...]
    """Their names, in the order of the text."""
    source: str
    """The version of an application that it came with: app:NAME@NUMBER; empty for one that was made by itself."""

    @property
    def ref(self) -> str:
        """NAME@NUMBER."""
        return f"{self.prompt}@{self.number}"


def version_of(row: PromptVersionRow) -> PromptVersion:
    """Return the version in a database row."""
    project, _, name = row.owner.partition("/")
    return PromptVersion(
        project=project,
        prompt=name,
        number=row.number,
        digest=row.digest,
        created_at=row.created_at,
        made_by=row.made_by,
        blob=row.blob,
        num_characters=row.num_characters,
        variables=tuple(row.variables),
        source=row.source,
    )
