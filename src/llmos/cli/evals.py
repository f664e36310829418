"""llmos eval run, compare, list, show, export, import, rm: suites of cases as gates."""

from pathlib import Path
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.eval_output import Output, check_report, print_run, write_report
from llmos.cli.output import fields_of, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest

EXIT_FAILED, EXIT_UNDECIDED = 4, 5
_EXIT_OF = {"better": 0, "not_worse": 0, "worse": EXIT_FAILED, "undecided": EXIT_UNDECIDED}

_Id = Annotated[str, typer.Argument(metavar="ID", help="The id of a run; see `llmos eval list`.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Run evals: cases with checks, and gates that a version must pass.")
    group.command("run")(run)
    group.command("compare")(compare)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("export")(export)
    group.command("import")(import_)
    group.command("rm")(remove)
    app.add_typer(group, name="eval")


def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A YAML file, or a dataset of the kind case.")],
    model: Annotated[
        str | None,
        typer.Option(help="The model to evaluate: a route, a model, or app:NAME.", show_default="the suite's `model`"),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Compare it with this model.", show_default=False)
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="Run each case this many times.", show_default="the suite's `repeat`"),
    ] = None,
    output: Output = None,
    as_json: options.AsJson = False,
) -> None:
    """Run the cases of a suite, check the answers, and judge the gates.

    Exit status: 0 passed, 4 a gate failed, 5 undecided, 1 it could not run, 2 the suite is wrong.
    """
    from llmos.cli.progress import progress_bar
    from llmos.cli.suite_files import SUFFIXES

    for path in output or []:
        check_report(path)
    path = Path(suite)
    is_file = path.suffix in SUFFIXES or path.exists()
    if against is not None and model is None:
        raise BadRequest("--against compares with --model. Name both.")
    models = [each for each in (model, against) if each is not None]
    with open_control(load_settings()) as control, progress_bar("steps") as progress:
        found = control.evals.run(path if is_file else suite, progress, models=models, repeat=repeat)
    for path in output or []:
        write_report(found, path)
    print_run(found, as_json=as_json)
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def compare(
    first: _Id,
    second: Annotated[str, typer.Argument(metavar="ID", help="The run that it is compared with.")],
    not_worse_by: Annotated[float, typer.Option(min=0, max=0.99, help="The share may be smaller by this much.")] = 0.05,
    as_json: options.AsJson = False,
) -> None:
    """Compare two runs case by case. Exit status: 0 better or not worse, 4 worse, 5 undecided."""
    with open_control(load_settings()) as control:
        found = control.evals.compare(first, second, not_worse_by=not_worse_by)
    if as_json:
        print_json(found)
    else:
        stdout().print(found.sentence, markup=False)
    if status := _EXIT_OF[found.verdict]:
        raise typer.Exit(status)


def list_(
    suite: Annotated[str | None, typer.Option(help="Only runs of this suite.", show_default="all")] = None,
    as_json: options.AsJson = False,
) -> None:
    """List runs, newest first."""
    with open_control(load_settings()) as control:
        found = control.evals.list(suite)
    if not found and not as_json:
        stderr().print("There are no runs. To make one: llmos eval run SUITE.yaml --model NAME")
        return
    columns = {
        "id": "run", "suite": "suite", "models": "models", "passed": "pass", "state": "state", "verdict": "verdict",
        "created_at": "began",
    }  # fmt: skip
    rows = found if as_json else [_row(fields_of(each)) for each in found]
    print_table(rows, columns, as_json=as_json)


def show(id: _Id, as_json: options.AsJson = False) -> None:
    """Show a run with the cases that don't pass; with --json, with all answers."""
    with open_control(load_settings()) as control:
        found = control.evals.get(id)
    print_run(found, as_json=as_json)


def export(
    id: _Id,
    output: Annotated[
        Path, typer.Argument(metavar="FILE", help="A report: JUnit XML (.xml), Markdown (.md) or JSON (.json).")
    ],
) -> None:
    """Write the report of a run."""
    check_report(output)
    with open_control(load_settings()) as control:
        write_report(control.evals.get(id), output)


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A configuration of promptfoo, in YAML.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="SUITE", help="The suite to write.")],
) -> None:
    """Make a suite from a configuration of promptfoo. Parts that can't be converted are listed."""
    from llmos.cli.suite_files import read_text
    from llmos.evals.promptfoo import read_promptfoo, suite_yaml

    found = read_promptfoo(read_text(file), str(file), file.parent)
    text = suite_yaml(found.document)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"{output} can't be written: {error.strerror}.", param="output") from None
    for each in found.left_out:
        stderr().print(f"Not carried over: {each}", markup=False)
    stdout().print(f"Wrote {output}: {len(found.document['cases'])} cases.", markup=False)
    stderr().print(f"To run it: llmos eval run {output} --model NAME", markup=False)


def remove(id: _Id, as_json: options.AsJson = False) -> None:
    """Remove a run with its answers."""
    with open_control(load_settings()) as control:
        found = control.evals.remove(id)
    if as_json:
        print_json(found)
    else:
        stdout().print(f"Removed {id}.", markup=False)


def _row(run: Any) -> dict[str, Any]:
    first = run["results"][0] if run["results"] else None
    passed = None if first is None else f"{first.num_passed} of {first.num_passed + first.num_failed}"
    state = "finished" if run["state"] == "finished" else f"{run['num_done']} of {run['num_total']}"
    return {**run, "models": ", ".join(run["models"]), "passed": passed, "state": state}
