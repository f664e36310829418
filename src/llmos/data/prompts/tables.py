"""The tables of prompts, their versions, aliases and labels. Texts are in the store, encrypted."""

from sqlalchemy import JSON, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llmos.core.database import Base
from llmos.core.versioning.columns import (
    AliasMoveColumns,
    LabelChangeColumns,
    ProjectNameColumns,
    ProjectVersionColumns,
)
from llmos.core.versioning.noun import ProjectNoun


class PromptRow(ProjectNameColumns, Base):
    """A prompt of a project."""

    __tablename__ = "prompts"
    __table_args__ = (Index(None, "project"),)


class PromptVersionRow(ProjectVersionColumns, Base):
    """A version of a prompt."""

    __tablename__ = "prompt_versions"
    __table_args__ = (
        UniqueConstraint("prompt", "number"),
        UniqueConstraint("prompt", "digest"),
        Index(None, "blob"),
    )

    owner: Mapped[str] = mapped_column("prompt", ForeignKey("prompts.key"))
    blob: Mapped[str] = mapped_column(String(71))
    size: Mapped[int]
    """Bytes of the blob."""
    num_characters: Mapped[int]
    variables: Mapped[list[str]] = mapped_column(JSON)
    """Their names."""
    source: Mapped[str] = mapped_column(String(192))
    """The version of an application that it came with: app:NAME@NUMBER; empty for one that was made by itself."""


class PromptAliasMoveRow(AliasMoveColumns, Base):
    """One move of a prompt's alias."""

    __tablename__ = "prompt_alias_moves"
    __table_args__ = (Index(None, "prompt", "alias"),)

    owner: Mapped[str] = mapped_column("prompt", ForeignKey("prompts.key"))


class PromptLabelChangeRow(LabelChangeColumns, Base):
    """One change of a tag or a description of a prompt or its version."""

    __tablename__ = "prompt_label_changes"
    __table_args__ = (Index(None, "prompt", "number", "key"),)

    owner: Mapped[str] = mapped_column("prompt", ForeignKey("prompts.key"))


PROMPTS = ProjectNoun(
    name="prompt",
    command="llmos prompt",
    names=PromptRow,
    versions=PromptVersionRow,
    making="llmos prompt create {name} FILE",
    alias_moves=PromptAliasMoveRow,
    label_changes=PromptLabelChangeRow,
)
