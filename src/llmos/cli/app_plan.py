"""llmos plan and llmos apply: what a release of an application would change, and the release.

Exit statuses: 0 nothing to change, or done; 1 it could not be done; 2 it was refused; 3 there are changes (plan);
4 it was rolled back (apply --wait).
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.app_documents import sync_documents
from llmos.cli.app_releases import print_release
from llmos.cli.confirmation import confirm
from llmos.cli.output import print_json, stderr, stdout

if TYPE_CHECKING:
    from llmos.client import Client
    from llmos.core.schemas.releases import PlannedChange, ReleaseDescription, ReleasePlan
    from llmos.hosting.folder import AppFolder

CHANGES, GATE_FAILED = 3, 4
_POLL_SECONDS = 1.0

_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder with app.yaml, or that file.")]
_Environment = Annotated[
    str, typer.Option("--env", metavar="NAME", help="The environment of app.yaml.", show_default=False)
]


def register(app: typer.Typer) -> None:
    app.command("plan")(plan)
    app.command("apply")(apply)


def plan(folder: _Folder, env: _Environment = "", as_json: options.AsJson = False) -> None:
    """Show what a release of an application would change. Nothing is changed. Exit status 3: there are changes."""
    from llmos.client import Client

    with Client() as client:
        found = client.apps.plan(_opened(folder).path, environment=env)
    if as_json:
        print_json(found)
    else:
        _show(found)
    if found.has_changes:
        raise typer.Exit(CHANGES)


def apply(
    folder: _Folder,
    env: _Environment = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    at_once: Annotated[bool, typer.Option("--at-once", help="Leave the rollout's steps out.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has taken over, or failed.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Release an application: show the plan, ask, and let its version take over, at once or in the rollout's steps.

    The documents of the folder become its knowledge first. Applied again, nothing changes. Exit status 4: it was
    rolled back.
    """
    from llmos.client import Client

    opened = _opened(folder)
    with Client() as client:
        found = client.apps.plan(opened.path, environment=env)
        if not as_json:
            _show(found)
        if not found.has_changes:
            if as_json:
                print_json(client.apps.releases(found.app)[0])
            return
        if not yes:
            confirm(f"Release {found.app}{_in(env)}?")
        release = _release(client, opened, found, at_once=at_once)
        if wait:
            release = _follow(client, release, is_quiet=as_json)
    if as_json:
        print_json(release)
    else:
        print_release(release)
    if release.state == "rolled_back":
        raise typer.Exit(GATE_FAILED)


def _opened(folder: Path) -> "AppFolder":
    from llmos.hosting.folder import AppFolder

    return AppFolder.open(folder)


def _release(client: "Client", opened: "AppFolder", plan: "ReleasePlan", *, at_once: bool) -> "ReleaseDescription":
    sync_documents(opened, client)
    version = client.apps.create(opened.path, environment=plan.environment)
    return client.apps.release(
        version.name,
        int(version.version.rpartition("@")[2]),
        environment=plan.environment,
        newest_release=plan.newest_release,
        at_once=at_once,
    )


def _follow(client: "Client", release: "ReleaseDescription", *, is_quiet: bool) -> "ReleaseDescription":
    """Return the release when it has ended to take over."""
    shown = ""
    while release.state in ("starting", "running"):
        line = f"{release.percent:g} %: {release.reason}"
        if line != shown and not is_quiet:
            stderr().print(line, markup=False)
        shown = line
        time.sleep(_POLL_SECONDS)
        release = next(each for each in client.apps.releases(release.app) if each.number == release.number)
    return release


def _show(plan: "ReleasePlan") -> None:
    what = f"{plan.app}{_in(plan.environment)}"
    if plan.current is not None:
        stdout().print(f"{what}: {plan.current} is deployed.", markup=False)
    for sentence in plan.drift:
        stdout().print(f"! {sentence}", markup=False, style="yellow")
    if not plan.has_changes:
        stdout().print("Nothing would change.")
        return
    for change in plan.changes:
        _show_change(change)
    if not plan.changes:
        stdout().print(f"~ {plan.version} would be released{_in(plan.environment)}.", markup=False)
    if plan.cost is not None:
        stdout().print(f"$ {plan.cost.text}", markup=False)
    stdout().print(plan.rollout, markup=False)


def _show_change(change: "PlannedChange") -> None:
    stdout().print(f"~ {change.text}", markup=False)
    for line in change.lines[2:]:
        style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1])
        stdout().print(f"    {line}", markup=False, style=style)


def _in(environment: str) -> str:
    return f" in {environment}" if environment else ""
