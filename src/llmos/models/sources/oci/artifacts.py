"""Model files of artifacts that other tools push: layers that are files, or archives of them, and no file system.

Ollama       application/vnd.ollama.image.model             a GGUF file; its template and parameters are not used
Docker       application/vnd.docker.ai.gguf.v3              a GGUF file
ModelPack    application/vnd.cncf.model.weight.v1.raw, .tar …   files with their paths in annotations, and archives
ORAS         any type, with a file's name as the title
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmos.core.names import check_file_name

_FILE_NAMES = {
    "application/vnd.ollama.image.model": "model.gguf",
    "application/vnd.ollama.image.license": "LICENSE",
    "application/vnd.docker.ai.gguf.v3": "model.gguf",
    "application/vnd.docker.ai.license": "LICENSE",
}
"""The names of files in layers of these types, if no annotation gives one."""

_UNUSED = re.compile(r"application/vnd\.(?:ollama\.image\.|docker\.ai\.(?!gguf|license|safetensors|model\.file))")
"""Layers that only their own tools understand: templates, parameters, projectors."""

_ARCHIVE = re.compile(r"application/vnd\.cncf\.model\.[\w.]+\.v1\.tar(?:\+\w+)?")
_IMAGE_LAYER = re.compile(r"application/vnd\.(?:oci\.image\.layer|docker\.image\.rootfs)\b.*")
_PATHS = ("org.cncf.model.filepath", "org.opencontainers.image.title")


@dataclass(frozen=True, slots=True)
class ArtifactLayer:
    """The content of an artifact's layer."""

    file_name: str | None
    """The name of the file that the layer is; None for an archive of files."""


def artifact_layer(layer: Mapping[str, Any]) -> ArtifactLayer | None:
    """Return what a layer holds, None for a layer of a container image. Raises BadRequest for an unsafe file name."""
    media_type, annotations = str(layer.get("mediaType")), layer.get("annotations") or {}
    if _ARCHIVE.fullmatch(media_type):
        return ArtifactLayer(None)
    if _IMAGE_LAYER.fullmatch(media_type):
        return None
    named = [annotations[path] for path in _PATHS if isinstance(annotations.get(path), str)]
    name = named[0] if named else _FILE_NAMES.get(media_type)
    return None if name is None else ArtifactLayer(check_file_name(name))


def is_unused(layer: Mapping[str, Any]) -> bool:
    """Return whether a layer holds nothing of a model for other tools than the one that pushed it."""
    media_type = str(layer.get("mediaType"))
    return media_type not in _FILE_NAMES and _UNUSED.match(media_type) is not None
