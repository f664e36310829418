"""llmos pull, import, list, show, rm: the models on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli.output import (
    download_progress,
    print_facts,
    print_json,
    print_table,
    readable_count,
    readable_size,
    stderr,
    stdout,
)
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.models.registry import Version
    from llmos.models.sources import Progress

_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Reference = Annotated[
    str, typer.Argument(metavar="MODEL", help="NAME, NAME:ALIAS, NAME@NUMBER or NAME@sha256:DIGEST.")
]


def register(app: typer.Typer) -> None:
    app.command("pull")(pull)
    app.command("import")(import_)
    app.command("list")(list_)
    app.command("show")(show)
    app.command("rm")(rm)


def pull(
    name: Annotated[str, typer.Argument(help="A model of the catalog; `llmos list --catalog` names them.")],
    as_json: _AsJson = False,
) -> None:
    """Get a model of the catalog. Goes on where a broken download ended; every byte is verified."""
    from llmos.models import open_registry

    registry = open_registry(load_settings())
    with shown_progress() as progress:
        version = registry.pull(name, progress, lambda sentence: stderr().print(sentence))
    _print_arrived(version, as_json)


def import_(
    path: Annotated[Path, typer.Argument(help="A GGUF file, or a Hugging Face folder with safetensors.")],
    name: Annotated[str, typer.Option("--name", help="What to call the model.")],
    license: Annotated[str | None, typer.Option("--license", help="Its licence, where the files name none.")] = None,
    as_json: _AsJson = False,
) -> None:
    """Take in a model that is on this disk: by hard link where possible, the bytes unchanged."""
    from llmos.models import open_registry

    registry = open_registry(load_settings())
    with shown_progress() as progress:
        version = registry.import_path(path, name, progress, license=license)
    _print_arrived(version, as_json)
    if unsupported := registry.show(version.ref).unsupported:
        stderr().print(f"This engine can't run it yet: {unsupported}")


def list_(
    catalog: Annotated[bool, typer.Option("--catalog", help="List what `llmos pull` can get instead.")] = False,
    as_json: _AsJson = False,
) -> None:
    """List the models on this machine."""
    from llmos.models import open_registry

    registry = open_registry(load_settings())
    if catalog:
        here = set(registry.names())
        entries = [entry for name in registry.catalog.names() if (entry := registry.catalog.get(name)) is not None]
        rows: list[dict[str, Any]] = [
            {
                "name": entry.name,
                "description": entry.description,
                "license": entry.license,
                "template": entry.template,
                "download_bytes": entry.sources[0].download_size,
                "download": readable_size(entry.sources[0].download_size),
                "sources": [source.location for source in entry.sources],
                "here": entry.name in here,
            }
            for entry in entries
        ]
        print_table("", rows, ["name", "description", "license", "download", "here"], as_json)
        return
    rows = [version_facts(version) for version in registry.list()]
    if not rows and not as_json:
        stderr().print("No models here yet. Get one with: llmos pull smollm2")
        return
    columns = {
        "version": "model",
        "family": "family",
        "quantization": "weights",
        "shown_parameters": "parameters",
        "shown_size": "size",
        "context_length": "context",
        "created_at": "since",
    }
    shown = [
        facts
        | {"shown_parameters": readable_count(facts["parameters"]), "shown_size": readable_size(facts["size_bytes"])}
        for facts in rows
    ]
    print_table("", rows if as_json else shown, columns, as_json)


def show(model: _Reference, as_json: _AsJson = False) -> None:
    """Show everything that is known about a model."""
    from llmos.models import open_registry

    registry = open_registry(load_settings())
    details = registry.show(model)
    version = details.version
    paths = registry.files(version)
    files: list[dict[str, Any]] = [
        {"name": file.name, "digest": file.digest, "size_bytes": file.size, "path": paths[file.name]}
        for file in version.files
    ]
    facts = version_facts(version) | {
        "versions": list(details.versions),
        "aliases": list(details.aliases),
        "runs": details.unsupported is None,
        "unsupported": details.unsupported,
    }
    if as_json:
        print_json(facts | {"files": files})
        return
    facts |= {"parameters": readable_count(version.parameters), "size_bytes": None, "size": readable_size(version.size)}
    facts["aliases"] = facts["aliases"] or None
    facts["runs"] = "yes" if details.unsupported is None else f"no: {details.unsupported}"
    print_facts(facts | {"name": None, "unsupported": None}, as_json=False)
    shown = [file | {"size": readable_size(file["size_bytes"])} for file in files]
    stdout().print()
    print_table("", shown, ["name", "size", "path"], as_json=False)


def rm(model: _Reference, as_json: _AsJson = False) -> None:
    """Remove a model (NAME), one version of it (NAME@3) or an alias (NAME:ALIAS), and the files nobody else uses."""
    from llmos.deployments.routes import Routes
    from llmos.models import open_registry

    registry = open_registry(load_settings())
    removed = registry.remove(model)
    if as_json:
        print_json({"versions": removed.versions, "aliases": removed.aliases, "freed_bytes": removed.freed_bytes})
        return
    what = [*removed.versions, *(f"the alias {alias}" for alias in removed.aliases)]
    stdout().print(f"Removed {', '.join(what)}; {readable_size(removed.freed_bytes)} freed.")
    for route in Routes(registry.database, registry).dangling():
        stderr().print(
            f"The route {route.name} points at {route.target}, which isn't here now."
            f" Point it elsewhere: llmos route set {route.name} MODEL"
        )


def version_facts(version: "Version") -> dict[str, Any]:
    """A version as `list` and `show` print it, with the keys that the server's /llmos/v1/models uses."""
    return {
        "name": version.model,
        "version": version.ref,
        "digest": version.digest,
        "family": version.family,
        "format": version.format,
        "quantization": version.quantization,
        "parameters": version.parameters,
        "context_length": version.context_length,
        "size_bytes": version.size,
        "license": version.license,
        "source": version.source,
        "created_at": version.created_at,
    }


def _print_arrived(version: "Version", as_json: bool) -> None:
    if as_json:
        print_json(version_facts(version))
        return
    stdout().print(
        f"{version.ref} is here: {version.family}, {readable_count(version.parameters)} parameters,"
        f" {version.quantization}, {readable_size(version.size)}."
    )


@contextmanager
def shown_progress() -> Iterator["Progress"]:
    """One bar, which changes its name and its length as the work moves from file to file."""
    with download_progress() as display:
        task = display.add_task("", total=None)

        def told(label: str, num_done: int, num_total: int | None) -> None:
            display.update(task, description=label, completed=num_done, total=num_total)

        yield told
