"""llmos app init: the folder of an application, from a template."""

from pathlib import Path
from typing import Annotated

import typer

from llmos.cli.output import print_table, stderr, stdout


def init(
    template: Annotated[
        str | None, typer.Argument(metavar="[TEMPLATE]", help="Without it, all are listed.", show_default=False)
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="A new folder, which the app is named after.", show_default=False),
    ] = None,
    overlay: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="education, medical or finance. Repeatable.", show_default=False),
    ] = None,
) -> None:
    """Create the folder of an application from a template, or list the templates."""
    from llmos.applications import templates

    if template is None:
        rows = [{"name": name, "description": text} for name, text in templates.templates().items()]
        print_table(rows, {"name": "template", "description": "description"})
        stdout().print()
        rows = [{"name": name, "description": text} for name, text in templates.overlays().items()]
        print_table(rows, {"name": "overlay", "description": "description"})
        stderr().print("\nTo make one: llmos app init TEMPLATE DIR --overlay OVERLAY")
        return
    folder = folder or Path(template)
    files = templates.make_app(template, folder, overlay_names=overlay or ())
    stdout().print(f"{folder} has {len(files)} files; README.md says what to change.", markup=False)
    for command in (f'llmos app run {folder} "Hello"', f"llmos app eval {folder}", f"llmos app deploy {folder}"):
        stdout().print(f"  {command}", markup=False)
