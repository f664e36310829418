"""llmos feedback list, export, rm: what persons think of answers, and the datasets that it becomes."""

from typing import Annotated, Literal, get_args

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import fields_of, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.feedback import ExportKind, FeedbackDescription


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Show ratings and corrections of answers, and make datasets from them."
    )
    group.command("list")(list_)
    group.command("export")(export)
    group.command("rm")(rm)
    app.add_typer(group, name="feedback")


def list_(
    answer: Annotated[
        str | None, typer.Option(help="Only feedback on the answer with this id.", show_default=False)
    ] = None,
    rating: Annotated[str | None, typer.Option(help="up or down.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("-n", min=1, max=1000, help="The maximum number.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """List feedback, the newest first."""
    with open_control(load_settings()) as control:
        found = control.feedback.list(answer=answer, rating=_rating(rating), limit=limit).data
    if as_json:
        print_json(found)
        return
    if not found:
        stderr().print("There is no feedback.")
        return
    columns = {"id": "feedback", "kind": "kind", "answer": "answer", "rating": "rating", "said": "said"}
    print_table([_row_of(each) for each in found], columns | {"actor": "by", "created_at": "since"})


def export(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="The dataset that gets a new version.")],
    kind: Annotated[
        str, typer.Option(help="preference: a better and a worse answer. chat: good answers and corrections.")
    ] = "preference",
    as_json: options.AsJson = False,
) -> None:
    """Make a version of a dataset from corrections, votes and ratings."""
    for each in get_args(ExportKind):
        if kind == each:
            with open_control(load_settings()) as control:
                made = control.feedback.export(dataset, kind=each)
            break
    else:
        raise BadRequest(f"There is no kind {kind[:80]!r}: preference or chat.", param="kind")
    if as_json:
        print_json(made)
        return
    stdout().print(f"{made.version}: {made.num_rows:,} {'row' if made.num_rows == 1 else 'rows'} of the kind {kind}.")


def rm(id: Annotated[str, typer.Argument(metavar="FEEDBACK", help="Its id: see `llmos feedback list`.")]) -> None:
    """Remove feedback that this key has given."""
    with open_control(load_settings()) as control:
        control.feedback.remove(id)
    stdout().print(f"Removed {id}.")


def _rating(text: str | None) -> Literal["up", "down"] | None:
    if text is None:
        return None
    if text == "up":
        return "up"
    if text == "down":
        return "down"
    raise BadRequest(f"There is no rating {text[:80]!r}: up or down.", param="rating")


def _row_of(feedback: FeedbackDescription) -> dict[str, object]:
    return {**fields_of(feedback), "said": feedback.content.correction or feedback.content.comment}
