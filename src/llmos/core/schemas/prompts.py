"""Prompts: texts with typed variables, in Versions."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from llmos.core.schemas.base import Description

VariableType = Literal["string", "integer", "number", "boolean"]

_Length = Annotated[int, Meta(ge=0)]


class PromptVariable(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The values that a variable of a prompt takes."""

    type: VariableType | None = None
    """null: a text or a number, as of a variable that no front matter describes."""
    description: str = ""
    enum: list[str | int | float | bool] | None = None
    """It takes only one of these."""
    default: str | int | float | bool | None = None
    """The value where none is given. null: one must be given."""
    pattern: str | None = None
    """A regular expression (RE2) that a text must contain a match of."""
    min_length: _Length | None = None
    """In characters."""
    max_length: _Length | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None


class PromptDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    version: str = ""
    """NAME@NUMBER."""
    digest: str = ""
    variables: list[str] = msgspec.field(default_factory=list)
    """The names of its variables, in the order of the text."""
    num_characters: int = 0
    source: str = ""
    """The application's Version that it came with, such as app:support@3; empty for one that was made by itself."""
    made_by: str | None = None
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    prompt_description: str | None = None
    prompt_tags: dict[str, str] = msgspec.field(default_factory=dict)
    created_at: datetime | None = None


class PromptDetails(PromptDescription, frozen=True, kw_only=True):
    text: str = ""
    """Without the front matter."""
    types: dict[str, PromptVariable] = msgspec.field(default_factory=dict)
    """What each variable takes."""
    versions: list[str] = msgspec.field(default_factory=list)
    aliases: list[str] = msgspec.field(default_factory=list)
    """The aliases that point at this Version."""


class RenderedPrompt(Description, frozen=True, kw_only=True):
    """The text of a prompt with its variables filled in."""

    version: str = ""
    text: str = ""
    variables: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)
    """The values, with the defaults of those that weren't given."""


class VariableChange(Description, frozen=True, kw_only=True):
    name: str = ""
    change: str = ""
    """added, removed or changed."""
    was: PromptVariable | None = None
    now: PromptVariable | None = None
    sentence: str = ""
    """The change in words."""


class PromptDifference(Description, frozen=True, kw_only=True):
    older: str = ""
    newer: str = ""
    num_added: int = 0
    """Lines of the text."""
    num_removed: int = 0
    lines: list[str] = msgspec.field(default_factory=list)
    """A unified diff of both texts."""
    variables: list[VariableChange] = msgspec.field(default_factory=list)
