"""A server whose real model is encrypted while it runs: equal answers, and its weights are nowhere in the clear."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from llmos.client import Client
from llmos.core.config import load_settings
from llmos.core.encryption.opening import open_encryption
from llmos.core.encryption.queries import object_keys
from llmos.models import open_registry
from support.default_model import pull_stored
from support.real_server import KEY, Running, serving

pytestmark = pytest.mark.process

PROMPTS = ("Name three colors.", "Write a long sentence about the sea.")
WINDOW = 32


def ask(running: Running) -> list[dict[str, Any]]:
    """Return the answers with the logprob of each token."""
    with running.openai() as client:
        return [
            client.chat.completions.create(
                model="smollm2",
                messages=[{"role": "user", "content": prompt}],
                temperature=0,
                max_tokens=24,
                logprobs=True,
                top_logprobs=3,
            )
            .choices[0]
            .model_dump()
            for prompt in PROMPTS
        ]


@pytest.fixture(scope="module")
def windows(smollm2_path: Path) -> list[bytes]:
    """Some bytes of the weights, at random places; those of the header come before."""
    content = smollm2_path.read_bytes()
    begins = np.random.default_rng(3).integers(len(content) // 4, len(content) - WINDOW, 40).tolist()
    return [content[begin : begin + WINDOW] for begin in begins]


def files_with(windows: list[bytes], home: Path) -> list[str]:
    paths = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path.name for path in paths if any(map(path.read_bytes().__contains__, windows))]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Path:
    home = tmp_path_factory.mktemp("encrypted-models")
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    # A file of its own: a hard link to another one would show the weights there.
    copy = home.parent / "smollm2.gguf"
    copy.write_bytes(smollm2_path.read_bytes())
    pull_stored(registry, copy)
    registry.database.close()
    copy.unlink()
    return home


@pytest.fixture(scope="module")
def plain_answers(home: Path) -> list[dict[str, Any]]:
    with serving(home, "smollm2") as running:
        answers = ask(running)
        assert running.end() == 0
    return answers


@pytest.fixture(scope="module")
def running(home: Path, plain_answers: list[dict[str, Any]], windows: list[bytes]) -> Iterator[Running]:
    """A server that has encrypted the model since it started."""
    assert files_with(windows, home)
    with serving(home, "smollm2") as running, Client(endpoint=running.url, api_key=KEY) as client:
        ask(running)
        *_, job = client.jobs.follow(client.jobs.start("encrypt", model="smollm2").id)
        assert job.error is None
        assert job.result is not None
        assert (job.result["versions"], job.result["num_files"]) == (["smollm2@1"], 1)
        yield running
        assert running.end() == 0


def data_keys(home: Path) -> list[bytes]:
    settings = load_settings({"LLMOS_HOME": str(home)})
    registry = open_registry(settings)
    encryption = open_encryption(settings, registry.database)
    with registry.database.session() as session:
        ids = [row.object_id for row in object_keys(session, "blob:")]
    keys = [key.key for id in ids if (key := encryption.find_key(id)) is not None]
    registry.database.close()
    return keys


def test_answers_stay_the_same_to_the_bit(running: Running, plain_answers: list[dict[str, Any]]) -> None:
    """Those of the replica that has loaded the plain file, and of one that loads the encrypted file."""
    assert ask(running) == plain_answers
    with Client(endpoint=running.url, api_key=KEY) as client:
        client.deployments.stop("smollm2@1")
        assert client.models.details("smollm2").encrypted
    assert ask(running) == plain_answers
    assert list((running.home / "packed").glob("*.packed")) == []


def test_no_weight_is_in_the_clear_in_any_file(running: Running, windows: list[bytes]) -> None:
    ask(running)
    assert files_with(windows, running.home) == []


def test_no_data_key_is_in_the_environment_the_arguments_or_a_file(running: Running) -> None:
    ask(running)
    (key,) = data_keys(running.home)
    shapes = [key, key.hex().encode(), base64.b64encode(key), repr(key).encode()]
    seen = [
        Path(f"/proc/{pid}/{name}")
        for pid in (running.process.pid, running.replica()["pid"])
        for name in ("environ", "cmdline")
    ]
    seen += [path for path in running.home.rglob("*") if path.is_file()]
    assert [path for path in seen if any(shape in path.read_bytes() for shape in shapes)] == []


def test_another_installation_gets_no_encrypted_file(running: Running) -> None:
    with Client(endpoint=running.url, api_key=KEY) as client:
        digest = client.models.details("smollm2").files[0].digest
    refused = running.get(f"/llmos/v1/blobs/{digest}")
    assert refused.status_code == 409
    assert "is encrypted on this server, which doesn't send it unencrypted" in refused.json()["error"]["message"]


def test_swapped_chunks_are_refused_with_the_name_of_the_file(running: Running) -> None:
    """This test is the last one: the model is damaged then."""
    with Client(endpoint=running.url, api_key=KEY) as client:
        client.deployments.stop("smollm2@1")
        digest = client.models.details("smollm2").files[0].digest
    (path,) = (running.home / "store" / "blobs" / "sha256").glob("*.sealed")
    content = bytearray(path.read_bytes())
    frame = 4 + 12 + (1 << 20) + 16
    first, second = (slice(8 + index * frame, 8 + (index + 1) * frame) for index in (40, 41))
    content[first], content[second] = content[second], content[first]
    path.chmod(0o600)
    path.write_bytes(content)
    refused = httpx.post(
        f"{running.url}/v1/completions",
        json={"model": "smollm2", "prompt": "a", "max_tokens": 1},
        headers={"x-api-key": KEY},
        timeout=60,
    )
    assert refused.status_code >= 500
    assert f"blob:{digest} was modified on the disk" in refused.json()["error"]["message"]
    assert os.path.exists(path)
