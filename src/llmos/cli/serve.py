"""llmos serve: the server on this machine."""

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="Models to load at the start; the default model where none is named."),
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 for the whole network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes any free one.")] = 8000,
) -> None:
    """Serve models over HTTP until Ctrl-C.

    A model of the catalog that isn't here yet is downloaded first. Others are loaded when first asked for.
    """
    from llmos.cli.speaker import find_or_pull
    from llmos.core.config import load_settings
    from llmos.deployments.routing.routes import DEFAULT_ROUTE
    from llmos.gateway.server import run

    settings = load_settings()
    wanted = models or [DEFAULT_ROUTE]
    for name in wanted:
        find_or_pull(name, settings)
    run(settings, wanted, host, port)
