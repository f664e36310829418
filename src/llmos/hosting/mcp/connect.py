"""The MCP servers that the manifest of an application names. The `mcp` package is loaded only if there are any."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.core.errors import BadRequest
from llmos.core.schemas.mcp_servers import McpServer

if TYPE_CHECKING:
    from llmos.hosting.mcp.tools import McpTools


def connect_mcp(servers: Mapping[str, McpServer], folder: Path | None = None) -> "list[McpTools]":
    """Return the tools of each MCP server, for `App.add_tools`. A server is started, or connected, at its first use.

    `folder`: where commands start. Raises BadRequest that names what is wrong with the settings.
    """
    if not servers:
        return []
    require_mcp()
    from llmos.hosting.mcp.tools import McpTools

    return [McpTools(name, _checked(name, server), folder) for name, server in servers.items()]


def require_mcp() -> None:
    """Raise BadRequest if the `mcp` package isn't installed."""
    try:
        import mcp  # noqa: F401
    except ImportError:
        raise BadRequest("MCP needs the package `mcp`: run `pip install 'llmos[mcp]'`.", param="mcp") from None


def variable(name: str, server: str) -> str:
    """Return an environment variable that an MCP server needs. Raises BadRequest."""
    value = os.environ.get(name)
    if value is None:
        raise BadRequest(f"The MCP server {server} needs the environment variable {name}. Set it, and start again.")
    return value


def _checked(name: str, server: McpServer) -> McpServer:
    if (server.command is None) == (server.url is None):
        raise BadRequest(f"The MCP server {name} needs either a `command` or a `url`.", param=f"mcp.{name}")
    if server.command is not None and not server.command:
        raise BadRequest(f"The `command` of the MCP server {name} is empty.", param=f"mcp.{name}.command")
    if server.url is not None and server.environment:
        raise BadRequest(f"The MCP server {name} has a `url`; `environment` is for a `command`.", param=f"mcp.{name}")
    if server.command is not None and server.token is not None:
        raise BadRequest(f"The MCP server {name} has a `command`; `token` is for a `url`.", param=f"mcp.{name}")
    return server
