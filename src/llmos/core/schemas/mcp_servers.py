"""McpServer: the settings of a Model Context Protocol server whose tools an application uses."""

from typing import Annotated

from msgspec import Meta, Struct, field

_EnvironmentName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class McpServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An MCP server: either a command, or an address (streamable HTTP)."""

    command: list[str] | None = None
    """A program that speaks over its standard input and output."""
    url: Annotated[str, Meta(pattern=r"^https?://", max_length=2048)] | None = None
    tools: list[str] | None = None
    """The names of the tools that the application may use; null: all."""
    confirm: list[str] = field(default_factory=list)
    """The tools whose calls each need a person's approval."""
    effects: list[str] = field(default_factory=list)
    """The tools with side effects: a run makes the same call only once, and doesn't repeat a call whose outcome is
    unknown."""
    seconds: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    """The time limit of a call."""
    max_chars: Annotated[int, Meta(ge=1)] = 20_000
    """The maximum length of a result; a longer one is an error."""
    environment: list[_EnvironmentName] = field(default_factory=list)
    """The names of environment variables that are passed to the command, besides PATH, HOME and similar ones."""
    token: _EnvironmentName | None = None
    """The environment variable that holds the bearer token for `url`."""
