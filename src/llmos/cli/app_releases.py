"""llmos app releases and llmos app rollback: what was released, by whom, and how to go back."""

from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.output import print_json, print_table, stderr, stdout

if TYPE_CHECKING:
    from llmos.core.schemas.releases import ReleaseDescription

_App = Annotated[str, typer.Argument(metavar="APP", help="The name of an application.")]


def releases(
    app: _App,
    events: Annotated[
        bool, typer.Option("--events", help="Show the events of each release, with their actors.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """List the releases of an application, newest first; with --events, the events of each, oldest first."""
    from llmos.client import Client

    with Client() as client:
        found = client.apps.release_events(app) if events else client.apps.releases(app)
    if not found and not as_json:
        stderr().print(f"{app} has no release. To make one: llmos apply DIR", markup=False)
        return
    columns = (
        {"release": "release", "at": "at", "kind": "what", "actor": "by", "reason": "why"}
        if events
        else {
            "number": "release",
            "version": "version",
            "environment": "environment",
            "state": "state",
            "percent": "percent",
            "begun_by": "by",
            "created_at": "since",
            "reason": "why",
        }
    )
    print_table(found, columns, as_json=as_json)


def rollback(
    app: _App,
    reason: Annotated[str, typer.Option(help="The reason, for the history.", show_default=False)] = "",
    as_json: options.AsJson = False,
) -> None:
    """Undo the newest release of an application: stop its rollout, or go back to the release before it."""
    from llmos.client import Client

    with Client() as client:
        release = client.apps.roll_back(app, reason=reason)
    if as_json:
        print_json(release)
    else:
        print_release(release)


def print_release(release: "ReleaseDescription") -> None:
    """Say in one line what became of a release, and what to do next."""
    where = f" in {release.environment}" if release.environment else ""
    if release.state == "active":
        stdout().print(f"Release {release.number}: {release.version} answers all callers{where}.", markup=False)
    elif release.state in ("starting", "running"):
        percents = ", ".join(f"{step:g} %" for step in release.steps)
        stdout().print(
            f"Release {release.number}: {release.version} takes over{where} in steps: {percents}.", markup=False
        )
        stderr().print(f"To follow it: llmos app releases {release.app} --events", markup=False)
    else:
        state = release.state.replace("_", " ")
        stdout().print(f"Release {release.number}: {release.version} was {state}: {release.reason}.", markup=False)
