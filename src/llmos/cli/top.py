"""llmos top: a live view of what a server does."""

import time
from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.output import print_json, stdout


def register(app: typer.Typer) -> None:
    app.command("top")(top)


def top(
    once: Annotated[bool, typer.Option("--once", help="Show it once, after one interval, and end.")] = False,
    every: Annotated[float, typer.Option(metavar="SECONDS", min=0.2, max=60, help="The interval.")] = 1.0,
    as_json: options.AsJson = False,
) -> None:
    """Watch a server: models, calls, queues, tokens per second, KV cache, spend, errors. Ctrl-C ends it.

    --json prints one reading, whose counts are those since the server's start.
    """
    from llmos.client import Client

    with Client() as client:
        before = client.activity()
        if as_json:
            print_json(before)
            return
        from llmos.cli.top_view import render_activity

        if once:
            time.sleep(every)
            stdout().print(render_activity(client.activity(), before, client.endpoint))
            return
        from rich.live import Live

        with Live(render_activity(before, None, client.endpoint), console=stdout(), auto_refresh=False) as live:
            while True:
                time.sleep(every)
                now = client.activity()
                live.update(render_activity(now, before, client.endpoint), refresh=True)
                before = now
