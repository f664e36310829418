"""The columns of tables of names, versions, aliases and labels. Each noun has tables of its own; those of versions,
aliases and labels have a foreign key to its names."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Time


class ProjectNameColumns:
    """A name of a project."""

    if TYPE_CHECKING:

        def __init__(self, **columns: Any) -> None: ...

    key: Mapped[str] = mapped_column(String(129), primary_key=True)
    """PROJECT/NAME."""
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(Time)


class ProjectVersionColumns:
    """A version of a project's name. The row stays when the version is removed: its number is never used again."""

    if TYPE_CHECKING:

        def __init__(self, **columns: Any) -> None: ...

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    """The key of the name that it is a version of, which each noun declares."""
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(String(71))
    created_at: Mapped[datetime] = mapped_column(Time)
    removed_at: Mapped[datetime | None] = mapped_column(Time)
    made_by: Mapped[str | None] = mapped_column(String(128))

    @property
    def name(self) -> str:
        return self.owner.partition("/")[2]

    @property
    def ref(self) -> str:
        """NAME@NUMBER."""
        return f"{self.name}@{self.number}"


class AliasMoveColumns:
    """One move of an alias. The last one is its current target."""

    if TYPE_CHECKING:

        def __init__(self, **columns: Any) -> None: ...

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    """The key of the name that it is an alias of, which each noun declares."""
    alias: Mapped[str] = mapped_column(String(64))
    number: Mapped[int | None]
    """The number of the version that it points at; None where the alias was removed."""
    moved_at: Mapped[datetime] = mapped_column(Time)
    moved_by: Mapped[str | None] = mapped_column(String(128))


class LabelChangeColumns:
    """One change of a tag or a description. The last one of each key is its current value."""

    if TYPE_CHECKING:

        def __init__(self, **columns: Any) -> None: ...

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str]
    """The key of the name that it belongs to, which each noun declares."""
    number: Mapped[int]
    """The version's number; 0 for the name itself."""
    key: Mapped[str] = mapped_column(String(64))
    """The tag's key; empty for the description."""
    value: Mapped[str | None] = mapped_column(Text)
    """None where it was removed."""
    changed_at: Mapped[datetime] = mapped_column(Time)
    changed_by: Mapped[str | None] = mapped_column(String(128))
