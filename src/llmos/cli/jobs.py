"""llmos job list, follow, cancel: long work on a server."""

from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.control.job_results import result_of, show_progress
from llmos.cli.output import fields_of, print_json, print_table, stderr, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings
from llmos.core.schemas.jobs import JobDescription

_Id = Annotated[str, typer.Argument(metavar="ID", help="The job's id; see `llmos job list`.")]


_SUBJECTS = ("model", "name", "dataset", "knowledge", "policy")
"""The fields of requests that say what a job is about. One request has one of them, or the first ones count."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage jobs: long-running work on a server, such as a pull.")
    group.command("list")(list_)
    group.command("follow")(follow)
    group.command("cancel")(cancel)
    app.add_typer(group, name="job")


def list_(
    kind: Annotated[
        str | None,
        typer.Option(help="Only jobs of this kind: pull, push, quantize, prune, card, encrypt, verify or replay."),
    ] = None,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state, such as running.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List jobs, newest first."""
    with open_control(load_settings()) as control:
        jobs = control.jobs.list(kind=kind, state=state)
    if not jobs and not as_json:
        stderr().print("No jobs yet. Long work on a server, such as `llmos pull` and `knowledge sync`, is a job.")
        return
    if as_json:
        print_json(jobs)
        return
    columns = {
        "id": "job", "kind": "kind", "subject": "of", "state": "state", "progress": "progress",
        "created_at": "created", "error": "error",
    }  # fmt: skip
    print_table([_readable(job) for job in jobs], columns)


def follow(id: _Id, as_json: options.AsJson = False) -> None:
    """Show the progress of a job until it ends. Ctrl-C leaves the job running."""
    with open_control(load_settings()) as control, progress_bar("steps") as progress:
        for job in control.jobs.follow(id):
            show_progress(job, progress)
    if as_json:
        print_json(job)
        return
    result_of(job)  # raises the error that it ended with
    stdout().print(f"{job.id} has succeeded.")


def cancel(id: _Id, as_json: options.AsJson = False) -> None:
    """Cancel a job. A pull keeps the bytes that have arrived."""
    with open_control(load_settings()) as control:
        job = control.jobs.cancel(id)
    if as_json:
        print_json(job)
    else:
        stdout().print(f"{job.id} is cancelled.")


def _readable(job: JobDescription) -> dict[str, Any]:
    step = job.progress[-1] if job.progress else None
    progress = None
    if step is not None:
        progress = f"{step.label} {100 * step.num_done / step.num_total:.0f} %" if step.num_total else step.label
    return {
        **fields_of(job),
        "subject": next((job.request[name] for name in _SUBJECTS if job.request.get(name)), None),
        "progress": progress,
        "error": None if job.error is None else job.error.message,
    }
