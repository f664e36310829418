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
    """null if a text or a number is accepted, like for variables that the front matter doesn't describe."""
    description: str = ""
    enum: list[str | int | float | bool] | None = None
    """The only values that are accepted."""
    default: str | int | float | bool | None = None
    """The value if none is given; null: a value is required."""
    pattern: str | None = None
    """A regular expression (RE2) that must match a part of the text."""
    min_length: _Length | None = None
    """The length limits, in characters."""
    max_length: _Length | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None


class PromptDescription(Description, frozen=True, kw_only=True):
    name: str = ""
    version: str = ""
    """NAME@NUMBER."""
    digest: str = ""
    variables: list[str] = msgspec.field(default_factory=list)
    """The names of its variables, in the order in which the text uses them."""
    num_characters: int = 0
    source: str = ""
    """The Version of an application that it was made with, such as app:support@3; empty if it was made on its own."""
    made_by: str | None = None
    description: str | None = None
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    prompt_description: str | None = None
    prompt_tags: dict[str, str] = msgspec.field(default_factory=dict)
    created_at: datetime | None = None


class PromptDetails(PromptDescription, frozen=True, kw_only=True):
    text: str = ""
    """The text without the front matter."""
    types: dict[str, PromptVariable] = msgspec.field(default_factory=dict)
    """The types and limits of the variables, by name."""
    versions: list[str] = msgspec.field(default_factory=list)
    aliases: list[str] = msgspec.field(default_factory=list)
    """The aliases that point at this Version."""


class RenderedPrompt(Description, frozen=True, kw_only=True):
    """The text of a prompt with its variables filled in."""

    version: str = ""
    text: str = ""
    variables: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)
    """The values, including defaults."""


class VariableChange(Description, frozen=True, kw_only=True):
    name: str = ""
    change: str = ""
    """added, removed or changed."""
    was: PromptVariable | None = None
    now: PromptVariable | None = None
    sentence: str = ""
    """A sentence that describes the change."""


class PromptDifference(Description, frozen=True, kw_only=True):
    older: str = ""
    newer: str = ""
    num_added: int = 0
    """The number of added lines of the text."""
    num_removed: int = 0
    lines: list[str] = msgspec.field(default_factory=list)
    """A unified diff of both texts."""
    variables: list[VariableChange] = msgspec.field(default_factory=list)
