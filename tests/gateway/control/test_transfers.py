"""Versions are pushed and pulled between two servers: only missing blobs, and over connections that break."""

import dataclasses
import hashlib
from pathlib import Path

import httpx
import numpy as np
import pytest

from llmos.core.config import load_settings
from llmos.core.errors import BadModelFile, BadRequest, DownloadFailed, NotFound
from llmos.deployments.routing.routes import Routes
from llmos.engine.architectures import llama
from llmos.engine.tensors import RawTensor
from llmos.gateway.http.requests import convert
from llmos.gateway.jobs.kinds import Context, kind_named
from llmos.models import open_registry
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from llmos.models.versions.records import fields_of, record_of
from support.gguf_files import write_gguf
from support.scripted import KEY
from support.tiny_gguf import MERGE, TOKENS

pytestmark = pytest.mark.process

CONFIG = {
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
}


def write_tiny(path: Path, value: float = 0.5) -> Path:
    spec = llama.spec_from_config(CONFIG)
    sources = llama.gguf_sources(spec)
    tensors = {
        sources[name].name: RawTensor("F32", shape, np.full((1, int(np.prod(shape))), value, np.float32).view(np.uint8))
        for name, shape in spec.tensor_shapes().items()
    }
    metadata = {
        "general.architecture": "llama",
        "llama.context_length": 128,
        "llama.embedding_length": 32,
        "llama.block_count": 1,
        "llama.feed_forward_length": 48,
        "llama.attention.head_count": 2,
        "llama.attention.head_count_kv": 1,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.vocab_size": 64,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.merges": [" ".join(MERGE)],
    }
    write_gguf(path, metadata, tensors)
    return path


def open_at(home: Path, key: str = KEY) -> Registry:
    return open_registry(load_settings({"LLMOS_HOME": str(home), "LLMOS_API_KEY": key}))


@pytest.fixture
def here(tmp_path):
    registry = open_at(tmp_path / "here")
    yield registry
    registry.database.close()


@pytest.fixture
def there(tmp_path):
    registry = open_at(tmp_path / "there")
    yield registry
    registry.database.close()


@pytest.fixture
def services(services, there):
    return dataclasses.replace(services, registry=there, routes=Routes(there))


@pytest.fixture
def tiny(here, tmp_path):
    return Transfers(here).import_path(write_tiny(tmp_path / "tiny.gguf"), "tiny", license="mit")


def put_blob(served, content, span, digest=None):
    digest = digest or f"sha256:{hashlib.sha256(content).hexdigest()}"
    return httpx.put(
        f"{served}/llmos/v1/blobs/{digest}",
        content=content,
        headers={"x-api-key": KEY, "Content-Range": span},
    )


def test_a_pushed_version_is_the_same_version_there(here, there, tiny, served):
    pushed = Transfers(here).push("tiny", f"llmos:{served}")
    arrived = there.resolve("tiny")
    assert (arrived.digest, arrived.license, arrived.sampling) == (tiny.digest, "mit", tiny.sampling)
    assert pushed.num_bytes == tiny.size
    assert there.files(arrived)["tiny.gguf"].read_bytes() == here.files(tiny)["tiny.gguf"].read_bytes()


def test_a_version_can_be_pushed_under_another_name(here, there, tiny, served):
    Transfers(here).push("tiny", f"llmos:{served}/small")
    assert there.resolve("small").digest == tiny.digest


def test_only_the_missing_blobs_are_sent(here, there, tiny, served):
    Transfers(here).push("tiny", f"llmos:{served}")
    assert Transfers(here).push("tiny", f"llmos:{served}/twin").num_bytes == 0
    assert there.resolve("twin").digest == tiny.digest


def test_a_job_sends_a_version_and_says_where_it_is(here, there, tiny, served, tmp_path):
    settings = load_settings({"LLMOS_HOME": str(tmp_path / "here"), "LLMOS_API_KEY": KEY})
    steps = []
    context = Context(
        settings=settings, registry=here, project="owner", actor="ada", progress=lambda *step: steps.append(step)
    )
    push = kind_named("push")
    asked = convert({"kind": "push", "model": "tiny", "target": f"llmos:{served}"}, push.request)
    result = push.work(context, push.check(settings, here, asked))
    assert result == {"location": f"llmos:{served}/tiny@1", "sent_bytes": tiny.size}
    assert there.resolve("tiny").digest == tiny.digest
    assert steps[-1][0] == "tiny.gguf"
    with pytest.raises(BadRequest, match="is not a server"):
        push.check(settings, here, convert({"kind": "push", "model": "tiny", "target": "llmos:host"}, push.request))


def test_a_server_sends_its_key_only_to_the_servers_that_its_owner_names(here, there, tiny, served, tmp_path):
    environ = {"LLMOS_HOME": str(tmp_path / "here"), "LLMOS_API_KEY": KEY}
    closed = open_registry(load_settings(environ), serves_others=True)
    advice = f"set LLMOS_API_KEY to that server's key, and LLMOS_API_KEY_SERVERS to {served}"
    with pytest.raises(DownloadFailed, match=advice):
        Transfers(closed).push("tiny", f"llmos:{served}")
    with pytest.raises(DownloadFailed, match=advice):
        Transfers(closed).pull(f"llmos:{served}/tiny")
    named = load_settings(environ | {"LLMOS_API_KEY_SERVERS": f"https://other {served}/"})
    pushed = Transfers(open_registry(named, serves_others=True)).push("tiny", f"llmos:{served}")
    assert (pushed.num_bytes, there.resolve("tiny").digest) == (tiny.size, tiny.digest)


def test_a_made_version_keeps_its_parent_its_recipe_and_its_digest(here, there, tiny, served, tmp_path):
    recipe = {"kind": "quantize", "bits": 4}
    made = here.derived.add(
        "tiny-4", {"tiny.gguf": write_tiny(tmp_path / "made.gguf", 0.25)}, parent=tiny, recipe=recipe, actor="ada"
    )
    Transfers(here).push("tiny-4", f"llmos:{served}")
    arrived = there.resolve("tiny-4")
    assert (arrived.digest, arrived.parent, arrived.recipe, arrived.made_by) == (
        made.digest,
        tiny.digest,
        recipe,
        "ada",
    )


def test_a_pulled_version_is_the_same_version_here(here, there, served, tmp_path):
    version = Transfers(there).import_path(write_tiny(tmp_path / "tiny.gguf"), "tiny")
    arrived = Transfers(here).pull(f"llmos:{served}/tiny")
    assert arrived.digest == version.digest
    assert arrived.source == f"llmos:{served}/tiny@{version.digest}"
    assert here.store.unfinished() == []


def test_a_push_resumes_where_it_stopped(here, there, tiny, served):
    content = here.files(tiny)["tiny.gguf"].read_bytes()
    half = len(content) // 2
    digest = tiny.files[0].digest
    put_blob(served, content[:half], f"bytes 0-{len(content) - 1}/{len(content)}", digest)
    assert there.store.num_received(digest) == half
    assert Transfers(here).push("tiny", f"llmos:{served}").num_bytes == len(content) - half
    assert there.resolve("tiny").digest == tiny.digest


def test_bytes_with_a_wrong_digest_are_rejected(there, served):
    refused = put_blob(served, b"wrong", "bytes 0-4/5", f"sha256:{'0' * 64}")
    assert refused.status_code == 400
    assert "expected were" in refused.json()["error"]["message"]
    assert list(there.store.digests()) == []


@pytest.mark.parametrize(
    ("span", "status"),
    [("", 400), ("bytes 0-3/5", 400), ("bytes 0-4/*", 400), ("bytes 2-4/5", 409), ("bytes 0-3/4", 400)],
)
def test_an_invalid_range_is_rejected(served, span, status):
    assert put_blob(served, b"12345", span).status_code == status


def test_a_blob_is_read_in_ranges(there, served, tmp_path):
    version = Transfers(there).import_path(write_tiny(tmp_path / "tiny.gguf"), "tiny")
    content = there.files(version)["tiny.gguf"].read_bytes()
    answer = httpx.get(
        f"{served}/llmos/v1/blobs/{version.files[0].digest}", headers={"x-api-key": KEY, "Range": "bytes=100-199"}
    )
    assert (answer.status_code, answer.content) == (206, content[100:200])


def test_transfers_need_the_key(tiny, served, tmp_path):
    stranger = open_at(tmp_path / "here", key="wrong")
    with pytest.raises(DownloadFailed, match="set LLMOS_API_KEY"):
        Transfers(stranger).push("tiny", f"llmos:{served}")
    with pytest.raises(DownloadFailed, match="set LLMOS_API_KEY"):
        Transfers(stranger).pull(f"llmos:{served}/tiny")
    stranger.database.close()


def test_a_record_with_a_wrong_digest_is_rejected(tiny, served):
    record = fields_of(record_of(tiny)) | {"digest": f"sha256:{'0' * 64}"}
    refused = httpx.put(f"{served}/llmos/v1/records/tiny", json=record, headers={"x-api-key": KEY})
    assert refused.status_code == 400
    assert "but its content has" in refused.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"model": 1}', b"\xff"])
def test_an_invalid_record_is_rejected(served, body):
    refused = httpx.put(f"{served}/llmos/v1/records/tiny", content=body, headers={"x-api-key": KEY})
    assert refused.status_code == 400


def test_a_missing_version_is_named(here, served):
    with pytest.raises(DownloadFailed, match="records/nothing does not exist"):
        Transfers(here).pull(f"llmos:{served}/nothing")


@pytest.mark.parametrize("target", ["tiny", "ftp://host", "llmos:host", "llmos:http://host/a/b", "llmos:http://[a/b"])
def test_an_invalid_target_is_rejected(here, tiny, target):
    with pytest.raises(BadRequest, match=r"is not a target to push to|is not a server"):
        Transfers(here).push("tiny", target)


# Archives


def test_an_archive_carries_a_version_to_a_machine_without_a_network(here, there, tiny, tmp_path):
    path = Transfers(here).export("tiny", tmp_path / "tiny.tar")
    arrived = Transfers(there).import_path(path)
    assert (arrived.model, arrived.digest) == ("tiny", tiny.digest)
    assert Transfers(there).import_path(path, "other").digest == tiny.digest


def test_the_same_version_is_the_same_archive(here, tiny, tmp_path):
    one, other = (Transfers(here).export("tiny", tmp_path / name) for name in ("one.tar", "other.tar"))
    assert one.read_bytes() == other.read_bytes()


def test_a_truncated_or_changed_archive_imports_nothing(here, there, tiny, tmp_path):
    path = Transfers(here).export("tiny", tmp_path / "tiny.tar")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(BadModelFile, match="Copy it again"):
        Transfers(there).import_path(path)
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    path.write_bytes(changed)
    with pytest.raises(BadModelFile, match=r"tiny\.gguf arrived as"):
        Transfers(there).import_path(path)
    assert there.list() == []


def test_an_existing_file_is_not_overwritten(here, tiny, tmp_path):
    path = Transfers(here).export("tiny", tmp_path / "tiny.tar")
    with pytest.raises(Exception, match="exists"):
        Transfers(here).export("tiny", path)


def test_a_missing_folder_is_named(here, tiny, tmp_path):
    with pytest.raises(NotFound, match=f"The folder {tmp_path}/none of tiny.tar doesn't exist"):
        Transfers(here).export("tiny", tmp_path / "none" / "tiny.tar")
