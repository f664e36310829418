"""llmos pull, import, list, show, rm: the models on this machine."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
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
from llmos.cli.remote import refuse_remote, remote_server
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest, LLMOSError, NotFound, PermissionDenied, Unauthenticated
from llmos.models import open_registry

if TYPE_CHECKING:
    from llmos.core.progress import Progress
    from llmos.models.registry import Registry
    from llmos.models.versions.versions import Version


def register(app: typer.Typer) -> None:
    app.command("pull")(pull)
    app.command("import")(import_)
    app.command("list")(list_)
    app.command("show")(show)
    app.command("rm")(rm)


def pull(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A model of the catalog (`llmos list --catalog` names them), or where it lies: hf:OWNER/NAME@REVISION,"
            " https://…/FILE.gguf, oci:HOST/REPOSITORY:TAG, s3://BUCKET/FOLDER, llmos:https://HOST/NAME, pypi:, file:.",
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="What to call a model that no catalog knows.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Get a model. Goes on where a broken download ended; every byte is verified."""
    from llmos.models.transfer.transfers import Transfers, is_location

    registry = open_local("pull")
    if not is_location(model) and name is not None:
        raise BadRequest("A model of the catalog has its name: leave --name out.", param="name")
    with shown_progress() as progress:
        if is_location(model):
            version = Transfers(registry).pull(model, name, progress)
        else:
            version = Transfers(registry).pull_from_catalog(model, progress, lambda sentence: stderr().print(sentence))
    _print_arrived(version, as_json)


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A GGUF file, a Hugging Face folder with safetensors, peft's LoRA adapter, or what `llmos export`"
            " wrote.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="What to call the model; an adapter is MODEL:ADAPTER. An archive has its name."),
    ] = None,
    license: Annotated[str | None, typer.Option("--license", help="Its licence, where the files name none.")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Take in a model that is on this disk: by hard link where possible, the bytes unchanged."""
    from llmos.models.transfer.transfers import Transfers

    registry = open_local("import")
    with shown_progress() as progress:
        version = Transfers(registry).import_path(path, name, progress, license=license)
    name = name or version.model
    _print_arrived(version, as_json)
    if unsupported := registry.show(version.ref).unsupported:
        stderr().print(f"It is kept, but this engine can't run it: {unsupported}")
    if (target := _routes(registry).get(name, name)).partition("@")[0].partition(":")[0] != name:
        stderr().print(
            f"The route {name} points at {target}, so who asks for {name} gets that."
            f" To answer with the new model: llmos route set {name} {version.ref}"
        )


def list_(
    catalog: Annotated[bool, typer.Option("--catalog", help="List what `llmos pull` can get instead.")] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only what has this tag, KEY or KEY=VALUE; may be repeated."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List the models that are here."""
    if catalog:
        _list_catalog(as_json)
        return
    settings = load_settings()
    if (server := remote_server(settings)) is not None:
        if tag:
            refuse_remote(settings, "list --tag")
        rows = [model.info.raw for model in server.models.list()]
    else:
        rows = [version_facts(version) for version in _tagged(open_registry(settings), tag or [])]
    if as_json:
        print_json(rows)
    elif not rows and tag:
        stderr().print(f"Nothing here has {' and '.join(tag)}. Tag a version with: llmos tag MODEL {tag[0]}")
    elif not rows:
        stderr().print("No models here yet. Get one with: llmos pull smollm2")
    else:
        columns = {
            "version": "model",
            "family": "family",
            "quantization": "weights",
            "parameters": "parameters",
            "size": "size",
            "context_length": "context",
            "created_at": "since",
        }
        print_table([_readable(facts) for facts in rows], columns)


def _tagged(registry: "Registry", tags: Sequence[str]) -> "Sequence[Version]":
    """The versions that have all of these tags, themselves or by their model."""
    from llmos.models.versions.labels import has_tag

    labels = registry.labels.all() if tags else {}
    return [
        version
        for version in registry.list()
        if all(
            has_tag([labels.get((version.model, version.number)), labels.get((version.model, 0))], tag) for tag in tags
        )
    ]


def show(model: options.ModelOrRoute, as_json: options.AsJson = False) -> None:
    """Show everything that is known about a model."""
    settings = load_settings()
    if (server := remote_server(settings)) is not None:
        facts, files = server.models.get(model).info.raw, []
    else:
        registry = open_registry(settings)
        details = registry.show(_routes(registry).get(model, model))
        paths = registry.files(details.version)
        facts = version_facts(details.version) | {
            "versions": list(details.versions),
            "aliases": list(details.aliases),
            "made_from": details.made_from,
            "description": details.labels.description,
            "tags": dict(details.labels.tags),
            "model_description": details.model_labels.description,
            "model_tags": dict(details.model_labels.tags),
            "runs": details.unsupported is None,
            "unsupported": details.unsupported,
        }
        files = [
            {"name": file.name, "digest": file.digest, "size_bytes": file.size, "path": paths[file.name]}
            for file in details.version.files
        ]
    if as_json:
        print_json(facts | ({"files": files} if files else {}))
        return
    if facts.get("unsupported"):
        facts["runs"] = f"no: {facts.pop('unsupported')}"
    if facts.get("made_from"):
        facts["parent"] = facts.pop("made_from")
    facts = _readable(facts)
    print_facts({name: value for name, value in facts.items() if value != []})
    if files:
        stdout().print()
        print_table([_readable(file) for file in files], ["name", "size", "path"])


def rm(model: options.ModelReference, as_json: options.AsJson = False) -> None:
    """Remove a model (NAME), one version of it (NAME@3) or an alias (NAME:ALIAS), and the files nobody else uses."""
    from llmos.deployments.removing import remove

    registry = open_local("rm")
    removed = remove(registry, model)
    # First, since it is done: what follows may take as long as the longest answer.
    if as_json:
        print_json({"versions": removed.versions, "aliases": removed.aliases, "freed_bytes": removed.freed_bytes})
    else:
        what = [*removed.versions, *(f"the alias {model.partition(':')[0]}:{alias}" for alias in removed.aliases)]
        stdout().print(f"Removed {', '.join(what)}; {readable_size(removed.freed_bytes)} freed.")
        _warn_of_dangling_routes(registry)
    sys.stdout.flush()
    # Not before: nobody can ask for them any more, so what is stopped now stays stopped.
    _stop_on_the_server(removed.versions)


def _warn_of_dangling_routes(registry: "Registry") -> None:
    from llmos.deployments.routing.routes import Routes

    routes = Routes(registry)
    for route in routes.dangling():
        stderr().print(
            f"The route {route.name} points at {route.target}, which isn't here."
            f" Point it elsewhere: {routes.command_for(route.name)}"
        )


def _stop_on_the_server(versions: Sequence[str]) -> None:
    """Stop these Versions where this machine's server runs them. One that has another owner reads another store.

    Raises nothing: where a Version can't be stopped, one line says so, since what was asked for is done.
    """
    from llmos.cli.speaker import is_served

    settings = load_settings()
    if not versions or not is_served(settings.endpoint):
        return
    from llmos.client import Client

    try:
        with suppress(Unauthenticated, PermissionDenied), Client(max_retries=0) as client:
            running = {each.version for each in client.deployments.list() if each.state != "stopped"}
            for version in filter(running.__contains__, versions):
                stderr().print(f"The server still runs {version}: waiting for its last answer to end …")
                with suppress(NotFound):  # Somebody else has stopped it meanwhile.
                    client.deployments.remove(version)
    except LLMOSError as error:
        stderr().print(
            f"The server at {settings.endpoint} could not be asked to stop {', '.join(versions)}: {error.message}"
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
        "sampling": dict(version.sampling),
        "size_bytes": version.size,
        "license": version.license,
        "source": version.source,
        "parent": version.parent,
        "recipe": None if version.recipe is None else dict(version.recipe),
        "made_by": version.made_by,
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


def _list_catalog(as_json: bool) -> None:
    registry = open_local("list --catalog")
    here = set(registry.names())
    rows: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "description": entry.description,
            "license": entry.license,
            "template": entry.template,
            "download_bytes": entry.sources[0].download_size,
            "sources": [source.location for source in entry.sources],
            "here": entry.name in here,
        }
        for entry in registry.catalog
    ]
    shown = [row | {"download": readable_size(row["download_bytes"])} for row in rows]
    print_table(rows if as_json else shown, ["name", "description", "license", "download", "here"], as_json=as_json)


def open_local(command: str) -> "Registry":
    settings = load_settings()
    refuse_remote(settings, command)
    return open_registry(settings)


def _routes(registry: "Registry") -> dict[str, str]:
    """Every route and what it points at."""
    from llmos.deployments.routing.routes import Routes

    return {route.name: route.target for route in Routes(registry).list()}


def _readable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers and times as a person reads them."""
    readable: dict[str, Any] = {}
    for name, value in facts.items():
        if name == "size_bytes":
            readable["size"] = readable_size(value)
        elif name == "parameters" and value is not None:
            readable[name] = readable_count(value)
        elif name == "created_at" and isinstance(value, str):
            readable[name] = datetime.fromisoformat(value)
        elif name == "sampling":
            readable[name] = ", ".join(f"{field} {number:g}" for field, number in value.items()) or None
        elif name in ("tags", "model_tags"):
            readable[name] = ", ".join(f"{key}={word}" if word else key for key, word in value.items()) or None
        elif name == "recipe" and value is not None:
            readable[name] = _readable_recipe(value)
        else:
            readable[name] = value
    return readable


def _readable_recipe(recipe: Mapping[str, Any]) -> str:
    """{"kind": "quantize", "options": {"bits": 4}} -> "kind quantize, bits 4"."""
    words = []
    for name, value in recipe.items():
        words.append(_readable_recipe(value) if isinstance(value, Mapping) else f"{name} {value}")
    return ", ".join(word for word in words if word)


@contextmanager
def shown_progress() -> Iterator["Progress"]:
    """One bar, which changes its name and its length as the work moves from file to file."""
    with download_progress() as display:
        task = display.add_task("", total=None)

        def told(label: str, num_done: int, num_total: int | None) -> None:
            display.update(task, description=label, completed=num_done, total=num_total)

        yield told
