"""llmos plan and llmos apply: what a release of an application would change, and the release.

Exit statuses: 0 nothing to change, or done; 1 it could not be done, such as evals of which no case has an answer; 2 it
was refused; 3 there are changes (plan); 4 a gate of its evals failed, or it was rolled back (apply --wait); 5 its evals
are undecided.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.app_documents import synced_documents
from llmos.cli.app_releases import print_release
from llmos.cli.confirmation import confirm
from llmos.cli.eval_output import Output, check_report
from llmos.cli.output import print_json, stderr, stdout
from llmos.cli.release_checks import (
    run_checks,
    run_replay,
    show_check,
    show_planned,
    show_replay,
    warn_of_documents,
    write_reports,
)

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


def plan(
    folder: _Folder,
    env: _Environment = "",
    evals: Annotated[
        bool,
        typer.Option(
            "--evals", help="Run its evals. For this, the files are stored as a version, without releasing it."
        ),
    ] = False,
    replay: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=2000,
            metavar="N",
            help="Run this version and the deployed one on the inputs of the last N recorded runs whose users "
            "consented.",
            show_default=False,
        ),
    ] = None,
    output: Output = None,
    as_json: options.AsJson = False,
) -> None:
    """Show what a release of an application would change, without changing anything.

    Exit status: 0 nothing would change, 3 there are changes; with --evals also 4 a gate failed, 5 undecided, 1 they
    could not run.
    """
    from llmos.client import Client

    for path in output or []:
        check_report(path)
    opened = _opened(folder)
    with Client() as client:
        found = client.apps.plan(opened.path, environment=env)
        if not as_json:
            _show(found)
        if found.has_changes and ((evals and found.evals) or replay is not None):
            found = _tried(client, opened, found, evals, replay)
            if not as_json:
                _show_tried(found)
            if found.check is not None:
                write_reports(client, found.check, output or [])
    if as_json:
        print_json(found)
    if found.check is not None and found.check.exit_status:
        raise typer.Exit(found.check.exit_status)
    if found.has_changes:
        raise typer.Exit(CHANGES)


def apply(
    folder: _Folder,
    env: _Environment = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    at_once: Annotated[bool, typer.Option("--at-once", help="Skip the steps of the rollout.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has taken over or failed.")] = False,
    without_evals: Annotated[
        bool, typer.Option("--without-evals", help="Release it without running its evals. The history records that.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Release an application: show the plan, ask, run its evals, and let its version take over, at once or in steps.

    The documents of the folder become its knowledge first; if it isn't released, that version is removed again.
    Applied again, nothing changes. Exit status: 4 a gate of its evals failed, or it was rolled back; 5 its evals are
    undecided, 1 they could not run.
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
        release = _release(client, opened, found, ReleaseOptions(at_once, without_evals, is_quiet=as_json))
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


def _tried(
    client: "Client", opened: "AppFolder", plan: "ReleasePlan", with_evals: bool, max_runs: int | None
) -> "ReleasePlan":
    """Return the plan with what the files came to as a version: recorded traffic, and their evals."""
    import msgspec

    warn_of_documents(plan)
    name, number = _version_of(client, opened, plan)
    if max_runs is not None and plan.current is None:
        stderr().print("Nothing is deployed, so there is no recorded traffic to compare with.")
    elif max_runs is not None:
        plan = msgspec.structs.replace(plan, replay=run_replay(client, name, number, max_runs))
    if with_evals and plan.evals:
        plan = msgspec.structs.replace(plan, check=run_checks(client, name, number))
    return plan


def _show_tried(plan: "ReleasePlan") -> None:
    if plan.replay is not None:
        show_replay(plan.replay)
    if plan.check is not None:
        show_check(plan.check)


@dataclass(frozen=True, slots=True)
class ReleaseOptions:
    """The options of a release."""

    at_once: bool
    without_evals: bool
    is_quiet: bool


def _release(
    client: "Client", opened: "AppFolder", plan: "ReleasePlan", chosen: ReleaseOptions
) -> "ReleaseDescription":
    """Return the release. Ends the command if the version doesn't pass its evals."""
    name, number = _version_of(client, opened, plan)
    with synced_documents(opened, client):
        if plan.evals and not chosen.without_evals:
            _check(client, name, number, is_quiet=chosen.is_quiet)
        return client.apps.release(
            name,
            number,
            environment=plan.environment,
            newest_release=plan.newest_release,
            at_once=chosen.at_once,
            without_evals=chosen.without_evals,
        )


def _version_of(client: "Client", opened: "AppFolder", plan: "ReleasePlan") -> tuple[str, int]:
    """Make the version of the files, or return the one that is the same."""
    version = client.apps.create(opened.path, environment=plan.environment)
    return version.name, int(version.version.rpartition("@")[2])


def _check(client: "Client", name: str, number: int, *, is_quiet: bool) -> None:
    check = run_checks(client, name, number)
    if not is_quiet:
        show_check(check)
    if check.exit_status:
        if is_quiet:
            print_json(check)
        stderr().print(f"{check.version} is not released.", markup=False)
        raise typer.Exit(check.exit_status)


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
    show_planned(plan.evals)
    stdout().print(plan.rollout, markup=False)


def _show_change(change: "PlannedChange") -> None:
    stdout().print(f"~ {change.text}", markup=False)
    for line in change.lines[2:]:
        style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1])
        stdout().print(f"    {line}", markup=False, style=style)


def _in(environment: str) -> str:
    return f" in {environment}" if environment else ""
