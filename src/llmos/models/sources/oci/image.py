"""Versions as images: one layer for each file, and the version's record in the manifest's annotations.

KServe's modelcars need `sh`, `ln` and `sleep` in the image: push with a base image that has them, such as busybox.
Kubernetes image volumes, podman and ORAS need no base.
"""

import hashlib
import json
import platform
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from llmos.core.byte_progress import report_bytes
from llmos.core.errors import BadModelFile, BadRequest
from llmos.core.names import check_file_name
from llmos.core.progress import Progress
from llmos.core.sources._download import partial_size
from llmos.core.store.blob_files import digest_of
from llmos.core.store.staging import StagingArea
from llmos.models.model_files import select_model_files
from llmos.models.sources.oci.artifacts import artifact_layer, is_unused
from llmos.models.sources.oci.client import MANIFEST, Repository
from llmos.models.sources.oci.layer import DIGEST, FOLDER, NAME, Layer

RECORD = "llmos.record"
"""The annotation of a manifest that holds the version's record as JSON."""

_ARTIFACT_TYPE = "application/vnd.llmos.model.v1"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_BLOB_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Base:
    """An image whose layers come below the model's."""

    repository: Repository
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def layers(self) -> list[Mapping[str, Any]]:
        return list(self.manifest["layers"])


def push_image(
    repository: Repository, tag: str, layers: Sequence[Layer], record: Mapping[str, Any], base: Base | None = None
) -> tuple[str, int]:
    """Push the image and return its digest and the number of bytes sent. Blobs that the registry has are not sent."""
    num_sent = 0
    for layer in layers:
        num_sent += layer.size * repository.push_blob(layer.digest, layer.size, layer.chunks)
    if base is not None:
        num_sent += _push_base_layers(repository, base)
    config = _config(layers, record, base)
    repository.push_blob(_digest(config), len(config), lambda: iter([config]))
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": _ARTIFACT_TYPE,
            "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": [*(base.layers if base else ()), *(layer.descriptor() for layer in layers)],
            "annotations": {
                "org.opencontainers.image.title": f"{record['model']}@{record['digest']}",
                "org.opencontainers.image.created": str(record["created_at"]),
                **({"org.opencontainers.image.licenses": record["license"]} if record.get("license") else {}),
                RECORD: _json(record).decode(),
            },
        }
    )
    repository.put_manifest(tag, manifest)
    return _digest(manifest), num_sent


def _push_base_layers(repository: Repository, base: Base) -> int:
    """Push the base's layers and return the number of bytes sent."""
    num_sent, source = 0, base.repository
    mount_from = source.image.repository if source.image.host == repository.image.host else None
    for layer in base.layers:
        content = partial(_read_blob, source, layer)
        num_sent += layer["size"] * repository.push_blob(layer["digest"], layer["size"], content, mount_from=mount_from)
    return num_sent


def open_base(repository: Repository) -> Base:
    """Return the repository's image as a base. Raises DownloadFailed, or BadRequest where it can't be one."""
    _, manifest = image_manifest(repository, repository.image.tag_or_digest)
    try:
        config = json.loads(b"".join(_read_blob(repository, manifest["config"])))
        is_valid = len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])
    except (KeyError, TypeError, ValueError):
        is_valid = False
    if not is_valid:
        raise BadRequest(f"{repository.image.repository} is not an image that can be a base.")
    return Base(repository, manifest, config)


def image_manifest(repository: Repository, reference: str) -> tuple[str, Mapping[str, Any]]:
    """Return the digest that the tag or digest names, and the manifest for this machine's architecture."""
    digest, manifest = repository.manifest(reference)
    if isinstance(manifests := manifest.get("manifests"), list):
        architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
        matching = [each for each in manifests if (each.get("platform") or {}).get("architecture") == architecture]
        if not matching:
            raise BadRequest(f"{repository.image.repository} has no image for {architecture}.")
        _, manifest = repository.manifest(str(matching[0].get("digest")))
    layers = manifest.get("layers")
    if not isinstance(layers, list) or not all(_is_descriptor(layer) for layer in layers):
        raise BadModelFile(f"{repository.image.repository} is not an image: its manifest lists no layers.")
    return digest, manifest


def pull_image(
    repository: Repository, staging: StagingArea, progress: Progress
) -> tuple[str, dict[str, Path], dict[str, Any] | None]:
    """Return the image's digest, the model's files, and the version's record if the image has one.

    Raises DownloadFailed, BadModelFile or UnsupportedModel.
    """
    image = repository.image
    digest, manifest = image_manifest(repository, image.tag_or_digest)
    layers = manifest["layers"]
    # Images that LLMOS pushed name the layers with files; all layers of other images have to be searched.
    layers = [layer for layer in layers if NAME in (layer.get("annotations") or {})] or layers
    layers = [layer for layer in layers if not is_unused(layer)]
    record = (manifest.get("annotations") or {}).get(RECORD)
    # Files that are in the store are not pulled again. The record, which lists their digests, is checked later.
    files = _find_stored(layers, staging) if record is not None else {}
    layers = [layer for layer in layers if str((layer.get("annotations") or {}).get(NAME)) not in files]
    parts = {layer["digest"]: (staging.part_path(layer["digest"]), layer["size"]) for layer in layers}
    contents = {layer["digest"]: artifact_layer(layer) for layer in layers}
    num_present = sum(partial_size(part) for part, _ in parts.values())
    # Twice: each layer and the file that is extracted from it.
    staging.check_room(2 * sum(size for _, size in parts.values()) - num_present, image.repository)
    folder = staging.scratch_folder()
    for expected, (part, size) in parts.items():
        label = f"layer {expected.removeprefix('sha256:')[:12]}"
        repository.pull_blob(expected, size, part, report_bytes(progress, label, size))
        if (actual := digest_of(part)) != expected:
            part.unlink()
            raise BadModelFile(f"A layer of {image.repository} arrived as {actual} instead of {expected}. Try again.")
        content = contents[expected]
        if content is not None and content.file_name is not None:
            files[content.file_name] = path = folder / content.file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            part.replace(path)
        else:
            files.update(_extract(part, folder, staging, FOLDER if content is None else None))
            part.unlink()
    names = select_model_files(list(files), f"{image.host}/{image.repository}")
    return digest, {name: files[name] for name in names}, _read_record(record) if record is not None else None


def _find_stored(layers: Sequence[Mapping[str, Any]], staging: StagingArea) -> dict[str, Path]:
    """Return the files in the layers' annotations whose verified blobs are in the store."""
    files = {}
    for layer in layers:
        annotations = layer.get("annotations") or {}
        name, digest = annotations.get(NAME), annotations.get(DIGEST)
        if not isinstance(name, str) or not isinstance(digest, str) or not _BLOB_DIGEST.fullmatch(digest):
            continue
        if (path := staging.find_verified(digest)) is not None:
            files[check_file_name(name)] = path
    return files


def _extract(layer: Path, folder: Path, staging: StagingArea, below: str | None) -> Iterator[tuple[str, Path]]:
    """Extract the files of a layer, compressed or not, and yield the name and path of each. `below`: only those below
    this folder, without its name."""
    try:
        with tarfile.open(layer, "r:*") as archive:
            for member in archive:
                parts = PurePosixPath(member.name.removeprefix("./").lstrip("/")).parts
                if below is not None:
                    parts = parts[1:] if parts[:1] == (below,) else ()
                if not parts or not member.isfile():
                    continue  # links could lead outside the folder
                name = check_file_name("/".join(parts))
                staging.check_room(member.size, name)
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                reader = archive.extractfile(member)
                assert reader is not None, "members that are files have a reader"
                with reader, path.open("wb") as writer:
                    while chunk := reader.read(1 << 20):
                        writer.write(chunk)
                yield name, path
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadModelFile(f"A layer is not a valid tar archive ({error}).") from None


def _config(layers: Sequence[Layer], record: Mapping[str, Any], base: Base | None) -> bytes:
    base_config = base.config if base else {}
    diff_ids = [*(base_config.get("rootfs", {}).get("diff_ids", ())), *(layer.digest for layer in layers)]
    return _json(
        {
            # Model files run on any architecture; a base image doesn't.
            "architecture": base_config.get("architecture", "amd64"),
            "os": base_config.get("os", "linux"),
            "created": str(record["created_at"]),
            "config": base_config.get("config") or {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    )


def _read_blob(repository: Repository, descriptor: Mapping[str, Any]) -> Iterator[bytes]:
    return repository.read_blob(descriptor["digest"])


def _read_record(text: object) -> dict[str, Any]:
    try:
        record = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise BadModelFile(f"The image's annotation {RECORD} is not the record of a version.")
    return record


def _is_descriptor(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("size"), int)
        and value["size"] >= 0
        and isinstance(value.get("digest"), str)
        and _BLOB_DIGEST.fullmatch(value["digest"]) is not None
    )


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
