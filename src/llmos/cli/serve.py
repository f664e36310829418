"""llmos serve: run a server on this machine."""

from dataclasses import replace
from typing import Annotated

import typer

from llmos.core.config import LogFormat


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Models to load at start; by default the target of the route `dialogue`."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all network interfaces.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one. By default LLMOS_PORT, or 8000."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Origin of web pages that may call the server, such as https://app.example.com, or * for all; "
            "repeatable. Pages of this machine always may.  [env var: LLMOS_ALLOW_ORIGIN]",
        ),
    ] = None,
    log: Annotated[
        LogFormat | None,
        typer.Option(help="Log of calls and of deployments' events. By default LLMOS_LOG, or text."),
    ] = None,
) -> None:
    """Serve models over HTTP until Ctrl-C.

    Models of the catalog that aren't stored yet are downloaded first. Other models are loaded at their first request.
    """
    from llmos.cli.backends import find_or_pull
    from llmos.core.config import load_settings, parse_origins
    from llmos.deployments.routing.resolution import DEFAULT_ROUTE
    from llmos.gateway.server import run

    settings = load_settings()
    if allow_origin:
        settings = replace(settings, allow_origins=parse_origins(" ".join(allow_origin)))
    if log is not None:
        settings = replace(settings, log=log)
    wanted = models or [DEFAULT_ROUTE]
    for name in wanted:
        find_or_pull(name, settings)
    run(settings, wanted, host, settings.port if port is None else port)
