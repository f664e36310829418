"""Evals and replays of a version before it is released: run on the server, and shown."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from llmos.cli.output import print_table, stderr, stdout
from llmos.cli.progress import progress_bar

if TYPE_CHECKING:
    from llmos.client import Client
    from llmos.core.schemas.evals import EvalMeasureDescription
    from llmos.core.schemas.releases import PlannedEval, ReleaseCheckDescription, ReleasePlan, ReplayDescription


def run_checks(client: "Client", name: str, version: int) -> "ReleaseCheckDescription":
    """Return what the evals of a version came to, when they have ended. Ctrl-C leaves them running."""
    started = client.apps.start_check(name, version)
    follow_jobs(client, [run.job for run in started.evals if run.job is not None])
    return client.apps.get_check(name, version)


def follow_jobs(client: "Client", jobs: Iterable[str]) -> None:
    """Return when jobs have ended. Raises the error that one ended with."""
    from llmos.cli.control.job_results import result_of, show_progress

    for job in jobs:
        with progress_bar("steps") as progress:
            for state in client.jobs.follow(job):
                show_progress(state, progress)
        result_of(state)


def show_planned(evals: Iterable["PlannedEval"]) -> None:
    for each in evals:
        stdout().print(f"? {each.text}", markup=False)


def show_check(check: "ReleaseCheckDescription") -> None:
    for sentence in check.sentences:
        stdout().print(f"? {sentence}", markup=False)
    if check.verdict != "passed":
        ids = " ".join(run.id for run in check.evals)
        stderr().print(f"To see the answers: llmos eval show {ids.partition(' ')[0] or 'ID'}", markup=False)


def write_reports(client: "Client", check: "ReleaseCheckDescription", paths: Iterable[Path]) -> None:
    """Write reports of the first suite under these names, and of the others with numbers behind: report-2.xml."""
    from llmos.cli.eval_output import write_report

    runs = [client.evals.get(run.id) for run in check.evals]
    for path in paths:
        for number, run in enumerate(runs, 1):
            write_report(run, path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}"))


def run_replay(client: "Client", name: str, version: int, max_runs: int) -> "ReplayDescription":
    """Return how a version and the deployed one answer recorded traffic. Raises Conflict if nothing is deployed."""
    import msgspec

    started = client.apps.start_replay(name, version, max_runs=max_runs)
    if started.job is None:
        return started
    follow_jobs(client, [started.job])
    return msgspec.structs.replace(client.apps.get_replay(name, started.id), left_out=started.left_out)


def show_replay(replay: "ReplayDescription") -> None:
    """Print a table of the measures, then what they say."""
    for sentence in replay.left_out:
        stderr().print(sentence, markup=False)
    if replay.comparison is not None:
        rows = [
            {"measure": "answers that hold", **_shares(replay), "verdict": _words(replay.verdict or "")},
            *(_row(each) for each in replay.comparison.measures),
        ]
        columns = {"measure": "measure", "first": replay.version, "second": replay.against, "verdict": "verdict"}
        print_table(rows, columns, as_json=False)
    for sentence in replay.sentences:
        stdout().print(f"% {sentence}", markup=False)


def _shares(replay: "ReplayDescription") -> dict[str, str]:
    first, second = (f"{each.share:.0%}" for each in replay.results)
    return {"first": first, "second": second}


def _row(measure: "EvalMeasureDescription") -> dict[str, str]:
    if measure.name == "agreement":
        return {"measure": "alike", "first": f"{measure.first:.0%}", "second": "", "verdict": ""}
    first, second = (f"{each:.3g} {measure.unit}".rstrip() for each in (measure.first, measure.second))
    return {"measure": _words(measure.name), "first": first, "second": second, "verdict": _words(measure.verdict)}


def _words(name: str) -> str:
    return name.replace("_", " ")


def warn_of_documents(plan: "ReleasePlan") -> None:
    """Say that the evals of a plan use the documents that the server has."""
    if any(change.kind == "knowledge" for change in plan.changes):
        stderr().print(
            "Note: the version is asked with the documents that the server has now; `llmos apply` brings the new ones."
        )
