"""llmos app mcp: an application as an MCP server."""

from pathlib import Path
from typing import Annotated

import typer


def mcp(
    folder: Annotated[Path, typer.Argument(metavar="{DIR}", help="The folder of the application.")],
    port: Annotated[
        int | None,
        typer.Option(help="Serve over HTTP at this port; 0: any. Without it, over stdio.", show_default=False),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to serve at.")] = "127.0.0.1",
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key that clients send over HTTP.", show_default=False)
    ] = None,
    tools: Annotated[
        bool, typer.Option("--tools", help="Offer the tools of the application by themselves, too.")
    ] = False,
) -> None:
    """Serve an application to MCP clients, as a tool that answers questions."""
    from llmos.hosting.mcp.serve import McpOptions, run

    run(folder, McpOptions(port=port, host=host, key_file=key_file, tools=tools))
