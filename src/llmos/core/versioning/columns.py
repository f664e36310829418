"""The columns of tables of aliases and labels. Each noun has tables of its own, with a foreign key to its names."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Time


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
