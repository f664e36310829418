"""Transfers of versions: pull and import to this installation, push and export from it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from llmos.core.encryption.sealed_path import SealedPath, is_any_sealed
from llmos.core.errors import BadModelFile, BadRequest, Conflict, UnsupportedModel, UntrustedModel
from llmos.core.names import check_name
from llmos.core.progress import Progress, no_progress
from llmos.core.schemas.cards import Card
from llmos.core.sources import Fetched
from llmos.core.store.blobs import StoredFile
from llmos.core.store.staging import StagingArea, open_staging_area
from llmos.models.cards.card import from_json, to_json
from llmos.models.cards.cards import Cards
from llmos.models.catalog import Entry, Source
from llmos.models.model_files import is_adapter
from llmos.models.registry import Registry
from llmos.models.sources import fetch_model, kind_of, source_kinds
from llmos.models.transfer.archive import is_archive, read_archive, write_archive
from llmos.models.transfer.importing import (
    files_for_task,
    ignored_keys_file,
    import_model,
    merge_adapter_into,
    written,
)
from llmos.models.transfer.pulling import CatalogPull, Notice
from llmos.models.transfer.pushing import Pushed, check_target, push
from llmos.models.versions.file_facts import describe, describe_adapter, select_kept_files
from llmos.models.versions.recording import Origin
from llmos.models.versions.records import VersionRecord, read_record, record_of
from llmos.models.versions.signatures import check_signatures
from llmos.models.versions.versions import Version

CATALOG_NEEDS_NO_IGNORE = "A model of the catalog has no key that must be ignored. Leave --ignore out."
CATALOG_KNOWS_TASKS = "The task of a model of the catalog is known. Leave --task out."


def is_location(text: str) -> bool:
    """Return whether this is a location to pull from, rather than the name of a model in the catalog."""
    kind, colon, _ = text.partition(":")
    is_hub_name = text.startswith(("hf.co/", "huggingface.co/"))  # as other programs write hf:OWNER/NAME
    return bool(colon) and not is_hub_name and (kind in source_kinds() or "/" in text)


class Transfers:
    """Pulls, pushes, imports and exports versions.

    Transfers(registry).pull("hf:HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2")
    """

    def __init__(self, registry: Registry) -> None:
        self._registry, self._store = registry, registry.store

    def pull_from_catalog(self, name: str, progress: Progress = no_progress, notice: Notice | None = None) -> Version:
        """Download a model of the catalog, where it isn't complete in the store, and return its version.

        The sources are tried in order; `notice` is told about failed ones. Raises ModelNotFound, or DownloadFailed with
        the reason for each source. Partial files are kept for the next attempt.
        """
        entry = self._registry.catalog.find(name)

        def pull_unpinned(source: Source) -> Version:
            return self._pull(source.location, entry.name, progress, entry)

        return CatalogPull(self._registry, entry, progress, pull_unpinned).run(notice)

    def pull(
        self,
        location: str,
        name: str | None = None,
        progress: Progress = no_progress,
        *,
        ignored_keys: Sequence[str] = (),
        task: str | None = None,
    ) -> Version:
        """Download the version at a location and return it.

        `name`: the model's name; None for the name in the version's record, or that of the hub's repository.
        `ignored_keys`, `task`: as in import_path(). Raises BadRequest for an invalid location and, before anything is
        downloaded, where there is no name; DownloadFailed, BadModelFile or UnsupportedModel. Partial files are kept for
        the next attempt.
        """
        name = name or _name_in(location)
        if name is not None:
            check_name(name, "a model")
        elif not _has_record(location):
            raise BadRequest(f"{location} doesn't name the model. Add --name NAME", param="name")
        return self._pull(location, name, progress, ignored_keys=ignored_keys, task=task)

    def _pull(
        self,
        location: str,
        name: str | None,
        progress: Progress,
        entry: Entry | None = None,
        ignored_keys: Sequence[str] = (),
        task: str | None = None,
    ) -> Version:
        def on_wait() -> None:
            progress(f"waiting for another process that downloads {location}", 0, None)

        with open_staging_area(self._store, location, on_wait) as staging:
            fetched = fetch_model(location, staging, self._registry.access, progress)
            with self._leaving_nothing(staging), _with_added_files(fetched, ignored_keys, task) as fetched:
                version = self._add(fetched, name, progress, entry)
            staging.clear()
        return version

    def push(
        self,
        ref: str,
        target: str,
        progress: Progress = no_progress,
        *,
        base: str | None = None,
        decrypts: bool = False,
    ) -> Pushed:
        """Send a version to `target`: see pushing.push(). Raises Conflict for an encrypted one unless `decrypts`."""
        version = self._registry.resolve(ref)
        files = self._plain_files(version, f"llmos push {version.ref} {target}", decrypts=decrypts)
        return push(self.record_of(version), files, target, self._registry.access, progress, base)

    def check_push(self, ref: str, target: str, base: str | None = None) -> Version:
        """Return the version that push() would send. Raises as push() does, before anything is sent."""
        version = self._registry.resolve(ref)
        check_target(target, base)
        self._plain_files(version, f"llmos push {version.ref} {target}", decrypts=False)
        return version

    def export(
        self, ref: str, path: Path | None = None, progress: Progress = no_progress, *, decrypts: bool = False
    ) -> Path:
        """Write a version to an archive and return its path. Raises Conflict where the file exists, and for an
        encrypted version unless `decrypts`."""
        version = self._registry.resolve(ref)
        path = path or Path(f"{version.model}-{version.number}.llmos.tar")
        files = self._plain_files(version, f"llmos export {version.ref}", decrypts=decrypts)
        write_archive(self.record_of(version), files, path, progress)
        return path

    def import_path(
        self,
        path: Path,
        name: str | None = None,
        progress: Progress = no_progress,
        *,
        license: str | None = None,
        ignored_keys: Sequence[str] = (),
        task: str | None = None,
    ) -> Version:
        """Import an archive, a GGUF file, a Hugging Face folder or a LoRA adapter, and return its version.

        `name`: the model's name, or MODEL:ADAPTER for an adapter of the model's newest version; an archive may keep its
        own. `license`: replaces the license in the files. `ignored_keys`: keys of the model's configuration that the
        engine reads as if they were absent. `task`: "rerank" for a reranker whose files don't say so. Files stay where
        they are: the store has hard links to them where the file system allows it, else copies. Raises BadRequest,
        BadModelFile or UnsupportedModel, before anything is stored.
        """
        if not is_archive(path):
            if name is None:
                raise BadRequest(f"Name the model: llmos import {path} --name NAME", param="name")
            return import_model(self._registry, path, name, progress, license, ignored_keys, task)
        if ignored_keys:
            raise BadRequest(f"{path} is an archive, whose version ignores the same keys as before.", param="ignore")
        if task is not None:
            raise BadRequest(f"{path} is an archive, whose version has the same task as before.", param="task")
        with open_staging_area(self._store, f"archive:{path.absolute()}") as staging, self._leaving_nothing(staging):
            version = self._add(read_archive(path, staging, progress), name, progress)
            staging.clear()
        return version

    def merge_adapter(self, path: Path, model: str, name: str, progress: Progress = no_progress) -> Version:
        """Merge a LoRA adapter on this disk into a model, and return the version of the new model `name`.

        Raises BadRequest, BadModelFile or UnsupportedModel where they don't fit together, and Conflict for a name that
        is taken.
        """
        return merge_adapter_into(self._registry, path, name, model, progress)

    def accept(self, record: VersionRecord, name: str, source: str) -> Version | list[str]:
        """List a version whose blobs another server has sent, or return the digests of the blobs that are missing."""
        check_name(name, "a model")
        check_signatures(record.signatures)
        card = card_in(record)  # raises before anything is stored
        with self._leaving_nothing(), self._store.publishing():
            missing = [file.digest for file in record.stored_files if not self._store.has(file.digest, file.size)]
            if missing:
                return sorted(set(missing))
            self._registry.check_arrival(
                record, {file.name: self._store.blob_path(file.digest) for file in record.stored_files}
            )
            origin = record.origin(source, find_adapted(self._registry, name, record))
            version = self._registry.recorder.record(name, record.stored_files, origin)
        self._keep(version, record, card)
        return version

    def _plain_files(self, version: Version, command: str, *, decrypts: bool) -> Mapping[str, Path]:
        """Return the files that leave this installation in the clear. Raises Conflict unless that is asked for."""
        files = self._registry.files(version)
        if is_any_sealed(files) and not decrypts:
            raise Conflict(
                f"{version.ref} is encrypted here, and would be sent unencrypted. To allow that: {command} --decrypt",
                param="decrypt",
            )
        return files

    @contextmanager
    def _leaving_nothing(self, staging: StagingArea | None = None) -> Iterator[None]:
        """Remove the blobs that no version uses where the body refuses a model; of one that is damaged or changed, also
        what has arrived, which is of no use for another attempt."""
        try:
            yield
        except (BadModelFile, BadRequest, UnsupportedModel, UntrustedModel) as error:
            if staging is not None and isinstance(error, BadModelFile | UntrustedModel):
                staging.clear()
            self._registry.collect()
            raise

    def record_of(self, version: Version) -> VersionRecord:
        """Return what travels with a version."""
        card = Cards(self._registry.database).get(version)
        fields = None if card is None else msgspec.json.decode(to_json(card))
        signatures = self._registry.signatures.get(version)
        if version.adapts is None:
            return record_of(version, signatures, fields)
        adapter = next((name for name in self._registry.show(version.ref).aliases), None)
        adapts = self._registry.manifest(version).adapts
        return record_of(version, signatures, fields, adapts=adapts, adapter=adapter)

    def _keep(self, version: Version, record: VersionRecord | None, card: Card | None) -> None:
        """Keep what has arrived beside the files: signatures, and the record's card if there is none here."""
        if record is None:
            return
        for signature in record.signatures:
            self._registry.signatures.put(version, signature)
        if record.adapter is not None and not self._registry.has(f"{version.model}:{record.adapter}"):
            self._registry.aliases.set(version.model, record.adapter, version.ref)
        cards = Cards(self._registry.database)
        if card is not None and cards.get(version) is None:
            cards.put(version, card)

    def _add(self, fetched: Fetched, name: str | None, progress: Progress, entry: Entry | None = None) -> Version:
        """Check a fetched model, put it into the store, and list it. `entry`: the catalog's, if it has one."""
        record = read_record(fetched.record) if fetched.record is not None else None
        check_signatures(record.signatures if record else ())
        card = card_in(record)  # raises before anything is stored
        if name is None and record is None:
            raise BadRequest(f"{fetched.location} doesn't name the model. Add --name NAME", param="name")
        name = check_name(name or (record.model if record else ""), "a model")
        adapted = find_adapted(self._registry, name, record)
        if adapted is not None:
            describe_adapter(fetched.files, self._registry.files(adapted))  # Raises before anything is stored.
        elif is_adapter(fetched.files):
            raise BadRequest(
                f"{fetched.location} is an adapter. Download it, then run: llmos import FOLDER --name MODEL:ADAPTER"
            )
        else:
            description = describe(fetched.files)  # Raises for broken files before anything is stored.
            kept = select_kept_files(fetched.files)
        files = dict(fetched.files) if record else {name: fetched.files[name] for name in kept.names}
        with self._store.publishing():
            for path in files.values():
                if path.is_relative_to(self._store.path) and not isinstance(path, SealedPath):
                    path.chmod(0o444)  # A hard link makes this file the blob.
            stored = self._registry.recorder.add_files(files, progress)
            if record is None:
                license = entry.license if entry else description.license or fetched.license or kept.license
                sampling = entry.sampling if entry else {}
                origin = Origin(source=fetched.location, license=license, sampling=sampling)
            else:
                _check_files(record, stored)
                self._registry.check_arrival(record, {file.name: self._store.blob_path(file.digest) for file in stored})
                origin = record.origin(fetched.location, adapted)
            version = self._registry.recorder.record(name, stored, origin)
        self._keep(version, record, card)
        return version


@contextmanager
def _with_added_files(fetched: Fetched, keys: Sequence[str], task: str | None) -> Iterator[Fetched]:
    """Give a fetched model the files that name keys to ignore and its task, for as long as the body runs."""
    if not keys and task is None:
        yield fetched
        return
    if fetched.record is not None:
        kept, option = ("ignores the same keys", "ignore") if keys else ("has the same task", "task")
        raise BadRequest(
            f"{fetched.location} is a version of LLMOS, which {kept} as where it comes from.", param=option
        )
    added = ignored_keys_file(keys) if keys else {}
    if task is not None:
        added |= files_for_task(task, fetched.files)
    with written(added) as files:
        yield replace(fetched, files={**fetched.files, **files})


def find_adapted(registry: Registry, name: str, record: VersionRecord | None) -> Version | None:
    """Return the version of the model `name` that an adapter with this record adapts; None for a whole model.

    Raises BadRequest, with what to do first, where it isn't here.
    """
    if record is None or record.adapts is None:
        return None
    found = next((each for each in registry.list() if (each.model, each.digest) == (name, record.adapts)), None)
    if found is None:
        raise BadRequest(
            f"This is an adapter of the version of {name} with the digest {record.adapts}, which isn't here. Import or"
            f" pull that first, under the name {name}.",
            param="name",
        )
    return found


def card_in(record: VersionRecord | None) -> Card | None:
    """Return the card in a record; None without one, and for one that a newer LLMOS wrote. Raises BadModelFile for one
    that is invalid, or of another version."""
    if record is None or record.card is None:
        return None
    try:
        card = from_json(msgspec.json.encode(record.card))
    except Conflict:
        return None
    except msgspec.MsgspecError as error:
        raise BadModelFile(f"The record of {record.model} has a card that can't be read: {error}.") from None
    if card.digest != record.digest:
        raise BadModelFile(f"The record of {record.model} has the card of another version, {card.digest}.")
    return card


def _name_in(location: str) -> str | None:
    """hf:Qwen/Qwen3-4B-GGUF@main#Qwen3-4B-Q4_K_M.gguf -> qwen3-4b. None for other kinds of locations."""
    if kind_of(location) != "hf":
        return None
    repository = re.split("[@#]", location)[0].rpartition("/")[2]
    return re.sub("-gguf$", "", repository.lower())


def _has_record(location: str) -> bool:
    """Return whether what is there may have a version's record, which has the model's name."""
    return kind_of(location) in ("llmos", "oci")


def _check_files(record: VersionRecord, stored: Sequence[StoredFile]) -> None:
    """Raise BadModelFile, naming the file, unless these are exactly the files that the record lists."""
    arrived: Mapping[str, StoredFile] = {file.name: file for file in stored}
    for file in record.stored_files:
        actual = arrived.get(file.name)
        if actual != file:
            what = f"arrived as {actual.digest}" if actual else "is missing"
            raise BadModelFile(f"{file.name} {what}; the version's record lists {file.digest}. Nothing was imported.")
    if extra := set(arrived) - {file.name for file in record.files}:
        raise BadModelFile(f"The version's record doesn't list {', '.join(sorted(extra))}.")
