"""llmos dataset clean, check, operators."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import one_line, print_json, print_table, stderr, stdout
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.dataset_cleaning import LeftOutDescription

if TYPE_CHECKING:
    from llmos.client.dataset_calls import Operators

_Dataset = Annotated[
    str, typer.Argument(metavar="DATASET", help="NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST.")
]
_Recipe = Annotated[Path, typer.Option("--recipe", metavar="FILE", help="The recipe, in TOML.")]

_SHOWN_CHARACTERS = 100


def register(group: typer.Typer) -> None:
    group.command("clean")(clean)
    group.command("check")(check)
    group.command("operators")(operators)


def clean(
    dataset: _Dataset,
    recipe: _Recipe,
    name: Annotated[str | None, typer.Option(help="Dataset of the new version.", show_default="the same")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Clean a version by a recipe, and store the remaining rows as a new version. The same recipe gives the same
    version."""
    operators = _read(recipe)
    with open_control(load_settings()) as control, progress_bar() as progress:
        before = control.datasets.get(dataset)
        made = control.datasets.clean(before.version, operators, progress, as_name=name)
    if as_json:
        print_json(made)
        return
    stdout().print(f"{made.version} is here: {made.num_rows:,} of {before.num_rows:,} rows.")
    for operator, reasons in made.report.get("dropped", {}).items():
        for reason, count in reasons.items():
            stdout().print(f"  {count:,} left out by {operator}: {reason.replace('_', ' ')}")
    for operator, reasons in made.report.get("replaced", {}).items():
        stdout().print(f"  {sum(reasons.values()):,} changed by {operator}")
    stderr().print(f"To see which rows went, and why: llmos dataset diff {before.version} {made.version}")


def check(dataset: _Dataset, recipe: _Recipe, as_json: options.AsJson = False) -> None:
    """Show the effect that a recipe would have on a version, without storing anything."""
    operators = _read(recipe)
    with open_control(load_settings()) as control, progress_bar() as progress:
        found = control.datasets.check(dataset, operators, progress)
    if as_json:
        print_json(found)
        return
    stdout().print(
        f"Of the {found.num_rows:,} rows of {found.version}, {found.num_kept:,} would stay,"
        f" {found.num_changed:,} of them changed."
    )
    for each in found.left_out:
        stdout().print(f"  {_reason(each)}")
        for row in each.examples:
            stdout().print(
                f"    {row.id[:12]}  {one_line(row.text, _SHOWN_CHARACTERS)}"
                + (f"  ({row.detail})" if row.detail else "")
            )


def operators(as_json: options.AsJson = False) -> None:
    """List the operators that a recipe may name, with their options."""
    with open_control(load_settings()) as control:
        found = control.datasets.operators()
    if as_json:
        print_json(found)
        return
    rows = [{"name": each.name, "description": each.description, "options": ", ".join(each.options)} for each in found]
    print_table(rows, {"name": "operator", "description": "does", "options": "options"})


def _read(path: Path) -> "Operators":
    """Return the operators of a recipe. Raises BadRequest for a file that can't be read or isn't a recipe."""
    from llmos.data.operators.recipe import read_recipe

    try:
        text = path.read_text()
    except OSError as error:
        raise BadRequest(f"The recipe {path} can't be read: {error.strerror}.", param="recipe") from None
    except UnicodeDecodeError:
        raise BadRequest(f"The recipe {path} isn't text in UTF-8.", param="recipe") from None
    found: Operators = read_recipe(text).as_json["operators"]
    return found


def _reason(each: LeftOutDescription) -> str:
    return f"{each.num_rows:,} by {each.operator}: {each.reason.replace('_', ' ')}"
