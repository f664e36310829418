"""Imports models from this machine's disk: a GGUF file, a Hugging Face folder, or a LoRA adapter.

Which files make up a model is decided in model_files.py, which the sources use as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from llmos.core.errors import BadRequest, Conflict
from llmos.core.names import check_name, parse_reference
from llmos.core.progress import Progress
from llmos.core.store.blob_files import digest_of
from llmos.engine.checkpoint.ignored_keys import FILE_NAME as IGNORED_KEYS_FILE
from llmos.engine.checkpoint.ignored_keys import format_ignored_keys
from llmos.engine.checkpoint.reranker_marks import reranker_marks
from llmos.models.model_files import find_model_files, is_adapter
from llmos.models.registry import Registry
from llmos.models.versions.file_facts import describe, describe_adapter, select_kept_files
from llmos.models.versions.recording import Origin
from llmos.models.versions.versions import Version


def import_model(
    registry: Registry,
    path: Path,
    name: str,
    progress: Progress,
    license: str | None = None,
    ignored_keys: Sequence[str] = (),
    task: str | None = None,
) -> Version:
    """Import the model or adapter at `path`, see Transfers.import_path()."""
    check_name(name.partition(":")[0], "a model")
    found = find_model_files(path)
    added: dict[str, str] = {}
    if ignored_keys:
        if is_adapter(found):
            raise BadRequest(f"{path} is an adapter, which has no keys to ignore. Leave --ignore out.", param="ignore")
        added |= ignored_keys_file(ignored_keys)
    if task is not None:
        added |= files_for_task(task, found)
    with written(added) as files:
        return _import(registry, path, found | files, name, progress, license)


def files_for_task(task: str, files: Mapping[str, Path]) -> dict[str, str]:
    """Return the files (name -> content) that say of a model with these files what it is for. Raises BadRequest."""
    if task != "rerank":
        raise BadRequest(f"There is no task {task!r:.60} to import a model for. Use rerank.", param="task")
    return reranker_marks(files)


def ignored_keys_file(keys: Sequence[str]) -> dict[str, str]:
    """Return the file (name -> content) that lists the keys which a version ignores."""
    return {IGNORED_KEYS_FILE: format_ignored_keys(keys)}


@contextmanager
def written(contents: Mapping[str, str]) -> Iterator[dict[str, Path]]:
    """Write files (name -> content), which exist as long as the body runs. Yields name -> path."""
    with TemporaryDirectory() as folder:
        paths = {name: Path(folder, name) for name in contents}
        for name, path in paths.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(contents[name], encoding="utf-8")
        yield paths


def merge_adapter_into(registry: Registry, path: Path, name: str, ref: str, progress: Progress) -> Version:
    """Make the model `name` of the model `ref` and the adapter at `path`, see Transfers.merge_adapter()."""
    from llmos.engine.compression.merging import merge_adapter  # imports numpy and the engine

    found = find_model_files(path)
    if not is_adapter(found):
        raise BadRequest(f"{path} is not an adapter; only adapters are merged. Leave --merge out.", param="merge")
    base = registry.resolve(ref)
    registry.derived.check(name, base)
    weights = found.get("adapter_model.safetensors")
    registry = registry.encrypting_like(base)
    options = {"adapter": None if weights is None else digest_of(weights)}
    with registry.store.scratch() as folder:
        files = merge_adapter(registry.files(base), found, folder, progress)
        recipe = {"kind": "merge", "scheme": "lora", "options": options}
        return registry.derived.add(name, files, parent=base, recipe=recipe, progress=progress)


def _import(
    registry: Registry, path: Path, found: Mapping[str, Path], name: str, progress: Progress, license: str | None
) -> Version:
    if is_adapter(found):
        return _import_adapter(registry, path, found, name, progress, license)
    check_name(name, "a model")
    description = describe(found)  # Raises for broken files before anything is stored.
    kept = select_kept_files(found)
    with registry.store.publishing():
        license = license or description.license or kept.license
        files = registry.recorder.add_files({name: found[name] for name in kept.names}, progress)
        return registry.recorder.record(name, files, Origin(source=_source_of(path), license=license))


def _import_adapter(
    registry: Registry, path: Path, files: Mapping[str, Path], name: str, progress: Progress, license: str | None
) -> Version:
    reference = parse_reference(name)
    if reference.alias is None:
        raise BadRequest(
            f"{path} is an adapter, which belongs to a model. Name both: --name {reference.name}:ADAPTER",
            param="name",
        )
    adapted = registry.resolve(reference.name)
    move = registry.aliases.list(reference.name).get(reference.alias)
    if move is not None and move.now is not None and registry.resolve(move.now).adapts is None:
        raise Conflict(f"{name} is an alias of {move.now}, a whole model. Choose another name for the adapter.")
    describe_adapter(files, registry.files(adapted))  # Raises where they don't fit, before anything is stored.
    with registry.store.publishing():
        origin = Origin(
            source=_source_of(path),
            license=license or select_kept_files(files).license,
            sampling=adapted.sampling,
            adapted=adapted,
        )
        stored = registry.recorder.add_files(files, progress)
        version = registry.recorder.record(reference.name, stored, origin)
    registry.aliases.set(reference.name, reference.alias, version.ref)
    return version


def _source_of(path: Path) -> str:
    return f"import:{path.expanduser().absolute()}"
