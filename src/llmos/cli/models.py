"""llmos pull, import, list, show, rm: the models that are stored."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import (
    fields_of,
    print_facts,
    print_json,
    print_table,
    readable_count,
    readable_size,
    readable_tags,
    stderr,
    stdout,
)
from llmos.cli.progress import progress_bar
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.models import CatalogEntryDescription, ModelDescription, VersionDetails
from llmos.core.schemas.routes import RouteDescription

_USES = {
    "embed": "it makes vectors of texts (/v1/embeddings)",
    "rerank": "it scores documents for a query (/v1/rerank, /v1/score)",
}
"""The uses of models that generate no text, by their task."""

_IgnoredKeys = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="KEY",
        help="A key of config.json or of the GGUF file that LLMOS refuses because it doesn't know it, and that you"
        " know to be harmless. Can be repeated.",
    ),
]

_Task = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="rerank",
        help="The model's task, if its files don't say: rerank, for models such as Qwen3-Reranker.",
    ),
]

_Encrypt = Annotated[
    bool,
    typer.Option(
        "--encrypt", help="Store its files encrypted. To encrypt all new models: llmos policy set encrypt_models on."
    ),
]


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
            help="A model of the catalog (see `llmos list --catalog`), or a location: hf:OWNER/NAME,"
            " https://…/FILE.gguf, oci:HOST/REPOSITORY:TAG, s3://BUCKET/FOLDER, llmos:https://HOST/NAME, pypi:, file:.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the new model. Models of the catalog and of hf: have names of their own."),
    ] = None,
    ignore: _IgnoredKeys = None,
    task: _Task = None,
    encrypt: _Encrypt = False,
    as_json: options.AsJson = False,
) -> None:
    """Download a model. A download that was interrupted continues; every byte is verified."""
    with open_control(load_settings()) as control:
        with progress_bar() as progress:
            pulled = control.models.pull(
                model,
                name,
                progress,
                lambda notice: stderr().print(notice),
                ignored_keys=ignore or [],
                task=task,
                encrypts=encrypt,
            )
        remarks = _remarks(control.models.details(pulled.version))
        entry = next((each for each in control.models.catalog() if each.name == pulled.name), None)
    _print_arrived(pulled, remarks, as_json)
    if entry is not None:
        stderr().print(f"{entry.description}. Other models, with their sizes: llmos list --catalog")


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A GGUF file, a Hugging Face folder with safetensors, a LoRA adapter of peft, or a file that"
            " `llmos export` wrote.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name of the model; MODEL:ADAPTER for an adapter. An archive has its own name."),
    ] = None,
    license: Annotated[
        str | None, typer.Option("--license", help="The model's license, if the files don't say.")
    ] = None,
    ignore: _IgnoredKeys = None,
    task: _Task = None,
    encrypt: _Encrypt = False,
    merge: Annotated[
        str | None,
        typer.Option(
            "--merge",
            metavar="MODEL",
            help="Merge the adapter at PATH into this model and store the result as a model of its own, --name.",
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Import a model from this machine's disk, without changing its bytes. Uses hard links where possible."""
    with open_control(load_settings()) as control:
        with progress_bar() as progress:
            if merge is not None:
                imported = control.models.merge_adapter(path, merge, _name_for_merged(name, path, merge), progress)
            else:
                imported = control.models.import_path(
                    path, name, progress, license=license, ignored_keys=ignore or [], task=task, encrypts=encrypt
                )
        name = name or imported.name
        _print_arrived(imported, _remarks(control.models.details(imported.version)), as_json)
        target = _target_of(control.routes.list(), name)
        if target is not None and target.partition("@")[0].partition(":")[0] != name.partition(":")[0]:
            stderr().print(
                f"The route {name} points at {target}, so requests for {name} go there."
                f" To send them to the new model: llmos route set {name} {imported.version}"
            )


def _name_for_merged(name: str | None, path: Path, model: str) -> str:
    if name is None:
        raise BadRequest(f"Name the new model: llmos import {path} --merge {model} --name NAME", param="name")
    return name


def list_(
    catalog: Annotated[bool, typer.Option("--catalog", help="List the models that `llmos pull` knows.")] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="Only models with this tag, KEY or KEY=VALUE. Can be repeated."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """List models."""
    with open_control(load_settings()) as control:
        if catalog:
            _print_catalog(control.models.catalog(), as_json)
            return
        models = control.models.list(tags=tag or [])
    if as_json:
        print_json(models)
    elif not models and tag:
        stderr().print(f"No model has {' and '.join(tag)}. To tag one: llmos tag MODEL {tag[0]}")
    elif not models:
        stderr().print("No models yet. To get one: llmos pull smollm2")
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
        print_table([_readable(fields_of(model)) for model in models], columns)


def show(model: options.ModelOrRoute, as_json: options.AsJson = False) -> None:
    """Show the details of a model."""
    with open_control(load_settings()) as control:
        details = control.models.details(model)
    if as_json:
        print_json(details)
        return
    facts = _readable(fields_of(details))
    files = facts.pop("files")
    unsupported, made_from = facts.pop("unsupported"), facts.pop("made_from")
    facts["runs"] = f"no: {unsupported}" if unsupported else facts["runs"]
    facts["parent"] = made_from or facts["parent"]
    print_facts({name: value for name, value in facts.items() if value != []})
    if files:
        stdout().print()
        print_table([_readable(fields_of(file)) for file in files], ["name", "size", "path"])


def rm(model: options.ModelReference, as_json: options.AsJson = False) -> None:
    """Remove a model (NAME), one version (NAME@3) or an alias (NAME:ALIAS), and files that nothing else uses."""
    with open_control(load_settings()) as control:
        removed = control.models.remove(model)
        # Printed first, since it is done: the rest may take as long as the longest answer.
        if as_json:
            print_json(removed)
        else:
            aliases = [f"the alias {model.partition(':')[0]}:{alias}" for alias in removed.aliases]
            names = ", ".join([*removed.versions, *aliases])
            stdout().print(f"Removed {names}; {readable_size(removed.freed_bytes)} freed.")
            _warn_of_dangling_routes(control.routes.list())
        sys.stdout.flush()
        # Stopped only now: nobody can ask for these versions any more, so they stay stopped.
        control.models.stop_removed(removed.versions, lambda notice: stderr().print(notice))


def _warn_of_dangling_routes(routes: Sequence[RouteDescription]) -> None:
    from llmos.deployments.routing.resolution import DEFAULT_ROUTE

    usable = [route.target for route in routes if route.name == DEFAULT_ROUTE and not route.missing]
    for route in routes:
        if route.missing:
            stderr().print(
                f"The route {route.name} points at {', '.join(route.missing)}, which doesn't exist."
                f" To change it: llmos route set {route.name} {usable[0] if usable else 'MODEL'}"
            )


def _print_arrived(model: ModelDescription, remarks: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json(model)
    else:
        stdout().print(
            f"{model.version} is here: {model.family}, {readable_count(model.parameters or 0)} parameters,"
            f" {model.quantization}, {readable_size(model.size_bytes)}."
        )
        number = model.version.rpartition("@")[2]
        if ":" not in model.name and number.isdecimal() and int(number) > 1:
            stderr().print(f"It is version {number} of {model.version.rpartition('@')[0]}; the earlier ones stay.")
    for remark in remarks:
        stderr().print(remark)


def _remarks(details: VersionDetails) -> Sequence[str]:
    """Return what a user should know of a model before using it."""
    if details.unsupported is not None:
        return [f"The model is stored, but this engine can't run it: {details.unsupported}"]
    tasks = [f"Its task is {details.task}: {use}." for task, use in _USES.items() if details.task == task]
    return [*tasks, *(f"Warning: {warning}" for warning in details.warnings)]


def _print_catalog(entries: Sequence[CatalogEntryDescription], as_json: bool) -> None:
    if as_json:
        print_json(entries)
        return
    rows = [{**fields_of(entry), "download": readable_size(entry.download_bytes)} for entry in entries]
    print_table(rows, ["name", "description", "license", "download", "here"])


def _target_of(routes: Sequence[RouteDescription], name: str) -> str | None:
    """Return the target of the route `name`, None if there is no such route."""
    return next((route.target for route in routes if route.name == name), None)


def _readable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with sizes, counts and mappings as readable text."""
    readable: dict[str, Any] = {}
    for name, value in facts.items():
        if name == "size_bytes":
            readable["size"] = readable_size(value)
        elif name == "parameters" and value is not None:
            readable[name] = readable_count(value)
        elif name == "sampling":
            readable[name] = ", ".join(f"{field} {number:g}" for field, number in value.items()) or None
        elif name in ("tags", "model_tags"):
            readable[name] = readable_tags(value) or None
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
