"""A version as an image: one layer for each file, and what is known about the version in the manifest's annotations.

KServe runs a modelcar's own `sh`, `ln` and `sleep`; with a `base` that has them (busybox is enough) below the model's
layers the image is one. Kubernetes' image volumes, podman and ORAS take it without.
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

from llmos.core.errors import BadModelFile, BadRequest
from llmos.models.names import check_file_name
from llmos.models.sources import Progress
from llmos.models.sources.oci.client import MANIFEST, Repository
from llmos.models.sources.oci.layer import DIGEST, FOLDER, NAME, Layer
from llmos.models.sources.oci.place import Place
from llmos.models.store import Arrivals, digest_of
from llmos.models.transfer.importing import choose_files

RECORD = "llmos.record"
_ARTIFACT_TYPE = "application/vnd.llmos.model.v1"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_BLOB_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Base:
    """An image that the model's layers lie upon."""

    repository: Repository
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def layers(self) -> list[Mapping[str, Any]]:
        return list(self.manifest["layers"])


def push_image(
    repository: Repository, tag: str, layers: Sequence[Layer], record: Mapping[str, Any], base: Base | None = None
) -> tuple[str, int]:
    """Bring the image there and return its digest and how many bytes were sent: blobs that are there are not."""
    num_sent = 0
    for layer in layers:
        num_sent += layer.size * repository.push_blob(layer.digest, layer.size, layer.chunks)
    for below in base.layers if base else ():
        mount_from = base.repository.place.repository if base and _same_host(base.repository, repository) else None
        assert base is not None
        content = partial(_content_of, base.repository, below)
        num_sent += below["size"] * repository.push_blob(below["digest"], below["size"], content, mount_from=mount_from)
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


def open_base(repository: Repository) -> Base:
    """Raises DownloadFailed or BadRequest for a place that holds no image for this machine."""
    _, manifest = image_manifest(repository, repository.place.reference)
    try:
        config = json.loads(b"".join(_content_of(repository, manifest["config"])))
        fits = len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise BadRequest(f"{repository.place.repository} holds no image that could lie below a model.")
    return Base(repository, manifest, config)


def image_manifest(repository: Repository, reference: str) -> tuple[str, Mapping[str, Any]]:
    """Return the digest of what the reference names, and the manifest that it has for this machine."""
    digest, manifest = repository.manifest(reference)
    if isinstance(manifests := manifest.get("manifests"), list):
        architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
        fitting = [each for each in manifests if (each.get("platform") or {}).get("architecture") == architecture]
        if not fitting:
            raise BadRequest(f"{repository.place.repository} has no image for {architecture}.")
        _, manifest = repository.manifest(str(fitting[0].get("digest")))
    layers = manifest.get("layers")
    if not isinstance(layers, list) or not all(_is_descriptor(layer) for layer in layers):
        raise BadModelFile(f"{repository.place.repository} holds no image: its manifest lists no layers.")
    return digest, manifest


def pull_image(
    repository: Repository, place: Place, arrivals: Arrivals, progress: Progress
) -> tuple[str, dict[str, Path], dict[str, Any] | None]:
    """Return the image's digest, the model's files, and what its maker wrote down about the version.

    Raises DownloadFailed, BadModelFile or UnsupportedModel.
    """
    digest, manifest = image_manifest(repository, place.reference)
    layers = manifest["layers"]
    # Of an image of ours, the layers with files alone; of any other it shows only when they are here.
    layers = [layer for layer in layers if NAME in (layer.get("annotations") or {})] or layers
    record = (manifest.get("annotations") or {}).get(RECORD)
    # What is here already needn't come. The record, which is compared with it, says that it is what was pushed.
    files = _stored(layers, arrivals) if record is not None else {}
    layers = [layer for layer in layers if str((layer.get("annotations") or {}).get(NAME)) not in files]
    parts = {layer["digest"]: (arrivals.part(layer["digest"]), layer["size"]) for layer in layers}
    num_arrived = sum(part.stat().st_size for part, _ in parts.values() if part.exists())
    arrivals.check_room(2 * sum(size for _, size in parts.values()) - num_arrived, place.repository)
    folder = arrivals.folder()
    for wanted, (part, size) in parts.items():
        label = f"layer {wanted.removeprefix('sha256:')[:12]}"
        repository.pull_blob(wanted, size, part, partial(_told, progress, label, size))
        if (got := digest_of(part)) != wanted:
            part.unlink()
            raise BadModelFile(f"A layer of {place.repository} arrived as {got} instead of {wanted}. Try again.")
        files.update(_take_out(part, folder, arrivals))
        part.unlink()  # what is in it is beside it
    names = choose_files(list(files), f"{place.host}/{place.repository}")
    return digest, {name: files[name] for name in names}, _read_record(record) if record is not None else None


def _stored(layers: Sequence[Mapping[str, Any]], arrivals: Arrivals) -> dict[str, Path]:
    """Return the files that their layers' annotations name, as far as their bytes are here."""
    files = {}
    for layer in layers:
        annotations = layer.get("annotations") or {}
        name, digest = annotations.get(NAME), annotations.get(DIGEST)
        if not isinstance(name, str) or not isinstance(digest, str) or not _BLOB_DIGEST.fullmatch(digest):
            continue
        if (path := arrivals.sound(digest)) is not None:
            files[check_file_name(name)] = path
    return files


def _take_out(layer: Path, folder: Path, arrivals: Arrivals) -> Iterator[tuple[str, Path]]:
    """Yield name and path of every file below /models in a layer, compressed or not."""
    try:
        with tarfile.open(layer, "r:*") as archive:
            for member in archive:
                parts = PurePosixPath(member.name.removeprefix("./").lstrip("/")).parts
                if len(parts) < 2 or parts[0] != FOLDER or not member.isfile():
                    continue  # links lead nowhere we'd want to follow
                name = check_file_name("/".join(parts[1:]))
                arrivals.check_room(member.size, name)
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                reader = archive.extractfile(member)
                assert reader is not None, "it is a file"
                with reader, path.open("wb") as writer:
                    while chunk := reader.read(1 << 20):
                        writer.write(chunk)
                yield name, path
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise BadModelFile(f"A layer is no whole tar archive ({error}).") from None


def _config(layers: Sequence[Layer], record: Mapping[str, Any], base: Base | None) -> bytes:
    below = base.config if base else {}
    diff_ids = [*(below.get("rootfs", {}).get("diff_ids", ())), *(layer.digest for layer in layers)]
    return _json(
        {
            # Models know no architecture; the base does.
            "architecture": below.get("architecture", "amd64"),
            "os": below.get("os", "linux"),
            "created": str(record["created_at"]),
            "config": below.get("config") or {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    )


def _content_of(repository: Repository, descriptor: Mapping[str, Any]) -> Iterator[bytes]:
    return repository.read_blob(descriptor["digest"])


def _read_record(text: object) -> dict[str, Any]:
    try:
        record = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise BadModelFile(f"The image's annotation {RECORD} is no record of a version.")
    return record


def _is_descriptor(value: object) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("size"), int)
        and value["size"] >= 0
        and isinstance(value.get("digest"), str)
        and _BLOB_DIGEST.fullmatch(value["digest"]) is not None
    )


def _same_host(one: Repository, other: Repository) -> bool:
    return one.place.host == other.place.host


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _told(progress: Progress, label: str, size: int, num_done: int) -> None:
    progress(label, num_done, size)
