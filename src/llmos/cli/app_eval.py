"""llmos app eval: the suites of an application's folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.app_documents import ensure_documents
from llmos.cli.eval_output import Output, check_report, print_run, write_report

if TYPE_CHECKING:
    from llmos.core.schemas.evals import EvalRunDetails


def evaluate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder with app.yaml, and cases in evals/.")],
    repeat: Annotated[int, typer.Option(min=1, max=100, help="Run each case this many times.")] = 1,
    output: Output = None,
    as_json: options.AsJson = False,
) -> None:
    """Run the cases of an application in this process, and judge its gates. The server runs the model.

    Exit status: 0 passed, 4 a gate failed, 5 undecided, 1 it could not run, 2 the suite is wrong.
    """
    import asyncio

    from llmos.cli.client_asking import ClientAsker
    from llmos.hosting.evals import evaluate, gates_of, read_folder
    from llmos.hosting.folder import AppFolder

    for path in output or []:
        check_report(path)
    opened = AppFolder.open(folder)
    suite, app = gates_of(opened.manifest, read_folder(opened.path)), opened.load()
    ensure_documents(opened)

    async def run() -> "EvalRunDetails":
        async with app, ClientAsker() as asker:
            return await evaluate(app, suite, num_repeats=repeat, asker=asker)

    report = asyncio.run(run())
    for path in output or []:
        write_report(report, path)
    print_run(report, as_json=as_json)
    if report.exit_status:
        raise typer.Exit(report.exit_status)
