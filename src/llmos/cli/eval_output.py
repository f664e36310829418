"""The output of commands about a run of an eval: what they print, and the reports that they write."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli.output import print_json, stderr, stdout
from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from llmos.core.schemas.evals import EvalRunDetails

_NUM_SHOWN = 20

Output = Annotated[
    list[Path] | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write a report: JUnit XML (.xml), Markdown (.md) or JSON (.json). Can be repeated.",
        show_default=False,
    ),
]


def print_run(run: "EvalRunDetails", *, as_json: bool) -> None:
    """Print the sentences of a run, and the cases that don't pass."""
    from llmos.evals.reports import sentences

    if as_json:
        print_json(run)
        return
    out = stdout()
    for sentence in sentences(run):
        out.print(sentence, markup=False)
    wrong = [case for case in run.cases if case.state != "passed"]
    for case in wrong[:_NUM_SHOWN]:
        model = f" ({case.model})" if len(run.models) > 1 else ""
        stderr().print(f"{case.id}{model}: {case.reason}", markup=False)
        answer = next((each for each in case.answers if each.passed is not True), None)
        if answer is not None and answer.text:
            stderr().print(f"  {' '.join(answer.text.split())[:200]}", markup=False, style="dim")
    if len(wrong) > _NUM_SHOWN:
        stderr().print(f"… and {len(wrong) - _NUM_SHOWN} more; --json has all.")
    if run.id:
        stderr().print(f"Kept as {run.id}.", markup=False)


def check_report(path: Path) -> None:
    """Raise BadRequest for the name of a file that is no report."""
    if path.suffix not in (".xml", ".md", ".json"):
        raise BadRequest(f"{path} ends with neither .xml, .md nor .json. Choose one of them.", param="output")


def write_report(run: "EvalRunDetails", path: Path) -> None:
    """Write a report, whose kind its name says."""
    import msgspec

    from llmos.evals.reports import junit_xml, markdown

    texts = {".xml": junit_xml, ".md": markdown}
    text = texts[path.suffix](run) if path.suffix in texts else msgspec.json.encode(run).decode() + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadRequest(f"{path} can't be written: {error.strerror}.", param="output") from None
    stderr().print(f"Wrote {path}.", markup=False)
