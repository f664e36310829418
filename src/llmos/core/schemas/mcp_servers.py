"""McpServer: a server of the Model Context Protocol whose tools an application has, as its manifest names it."""

from typing import Annotated

from msgspec import Meta, Struct, field

_EnvironmentName = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class McpServer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An MCP server: either a command, or an address (streamable HTTP)."""

    command: list[str] | None = None
    """A program that speaks over its standard input and output."""
    url: Annotated[str, Meta(pattern=r"^https?://", max_length=2048)] | None = None
    tools: list[str] | None = None
    """Only these."""
    confirm: list[str] = field(default_factory=list)
    """Each call of these waits for a person."""
    effects: list[str] = field(default_factory=list)
    """These change something: the same call is done once in a run, and never blindly again when its end is unknown."""
    seconds: Annotated[float, Meta(gt=0, le=86_400)] = 60.0
    """A call that takes longer is given up."""
    max_chars: Annotated[int, Meta(ge=1)] = 20_000
    """A longer result is an error."""
    environment: list[_EnvironmentName] = field(default_factory=list)
    """The environment variables that the command gets, beside PATH, HOME and the like."""
    token: _EnvironmentName | None = None
    """The environment variable with the token that the address is sent, as `Authorization: Bearer`."""
