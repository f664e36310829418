"""Layers of artifacts that other tools push."""

import pytest

from llmos.core.errors import BadRequest
from llmos.models.sources.oci.artifacts import ArtifactLayer, artifact_layer, is_unused

TAR = "application/vnd.oci.image.layer.v1.tar"


@pytest.mark.parametrize(
    ("media_type", "annotations", "expected"),
    [
        ("application/vnd.ollama.image.model", {}, ArtifactLayer("model.gguf")),
        ("application/vnd.ollama.image.license", {}, ArtifactLayer("LICENSE")),
        ("application/vnd.docker.ai.gguf.v3", {}, ArtifactLayer("model.gguf")),
        ("application/vnd.docker.ai.gguf.v3", {"org.cncf.model.filepath": "a.gguf"}, ArtifactLayer("a.gguf")),
        ("application/vnd.cncf.model.weight.v1.raw", {"org.cncf.model.filepath": "m.gguf"}, ArtifactLayer("m.gguf")),
        ("application/vnd.cncf.model.weight.v1.tar", {"org.cncf.model.filepath": "m.gguf"}, ArtifactLayer(None)),
        ("application/vnd.cncf.model.weight.config.v1.tar+gzip", {}, ArtifactLayer(None)),
        ("application/octet-stream", {"org.opencontainers.image.title": "m.gguf"}, ArtifactLayer("m.gguf")),
        (TAR, {"org.opencontainers.image.title": "models/m.gguf"}, None),
        (f"{TAR}+gzip", {}, None),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", {}, None),
        ("application/octet-stream", {}, None),
    ],
)
def test_a_layer_is_a_file_an_archive_or_a_part_of_an_image(media_type, annotations, expected):
    assert artifact_layer({"mediaType": media_type, "annotations": annotations}) == expected


@pytest.mark.parametrize("name", ["../m.gguf", "/m.gguf", ""])
def test_a_file_outside_the_models_folder_is_refused(name):
    with pytest.raises(BadRequest, match="not a valid file name"):
        artifact_layer({"mediaType": "x", "annotations": {"org.opencontainers.image.title": name}})


@pytest.mark.parametrize("kind", ["template", "params", "system", "messages", "projector"])
def test_what_only_ollama_understands_is_left_out(kind):
    assert is_unused({"mediaType": f"application/vnd.ollama.image.{kind}"})
    assert not is_unused({"mediaType": "application/vnd.ollama.image.model"})
    assert not is_unused({"mediaType": TAR})
