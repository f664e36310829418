"""A tiny model in both formats, a registry in an empty home, and an HTTP server with failing connections."""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from llmos.core.config import load_settings
from llmos.engine.architectures import llama
from llmos.models import open_registry
from llmos.models.store import StoredFile
from support.tiny_gguf import TINY_CONFIG, write_gguf, write_tokenizer

README = "---\nlanguage: en\nlicense: apache-2.0\n---\n# Tiny\n"


@pytest.fixture
def settings(tmp_path, database_url):
    return load_settings({"LLMOS_HOME": str(tmp_path / "home"), "LLMOS_DATABASE_URL": database_url})


@pytest.fixture
def registry(settings):
    registry = open_registry(settings)
    yield registry
    registry.database.close()


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory) -> bytes:
    """A GGUF file that the engine could run."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf").read_bytes()


@pytest.fixture
def gguf_path(tmp_path, tiny_gguf) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_gguf)
    return path


@pytest.fixture
def make_folder(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a Hugging Face folder, in as many shards as asked."""

    def make(name: str = "folder", *, num_shards: int = 1, config: dict[str, object] | None = None) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config or TINY_CONFIG))
        write_tokenizer(folder / "tokenizer.json")
        (folder / "README.md").write_text(README)
        spec = llama.spec_from_config(TINY_CONFIG)
        sources = llama.hf_sources(spec)
        tensors = {sources[key].name: np.full(shape, 0.25, np.float32) for key, shape in spec.tensor_shapes().items()}
        if num_shards == 1:
            save_file(tensors, folder / "model.safetensors")
            return folder
        weight_map = {}
        for shard in range(num_shards):
            shard_name = f"model-{shard + 1:05}-of-{num_shards:05}.safetensors"
            part = {key: value for i, (key, value) in enumerate(tensors.items()) if i % num_shards == shard}
            save_file(part, folder / shard_name)
            weight_map |= dict.fromkeys(part, shard_name)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        return folder

    return make


def stored_file(name: str, content: bytes) -> StoredFile:
    return StoredFile(name, f"sha256:{hashlib.sha256(content).hexdigest()}", len(content))


@pytest.fixture
def pin() -> Callable[[str, bytes], StoredFile]:
    return stored_file


@pytest.fixture
def write_catalog(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a catalog with the entry `tiny`, from the given sources in order."""

    def write(content: bytes, *locations: str, name: str = "tiny.gguf", extra: str = "") -> Path:
        sources = "\n".join(f'[[tiny.sources]]\nfrom = "{location}"\n{extra}' for location in locations)
        digest = hashlib.sha256(content).hexdigest()
        path = tmp_path / "catalog.toml"
        path.write_text(
            '[tiny]\ndescription = "a tiny model"\nlicense = "MIT"\ntemplate = "none"\n'
            f'[[tiny.files]]\nname = "{name}"\nsha256 = "{digest}"\nsize = {len(content)}\n{sources}\n'
        )
        return path

    return write


@dataclass
class BadServer:
    """An HTTP server with failing connections. Each request takes the next of `moods`; without one, it succeeds.

    "cut:N"     the connection breaks after N bytes of the answer
    "status:N"  the answer has this status and no file
    """

    files: dict[str, bytes] = field(default_factory=dict)
    moods: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Sent with every answer."""
    knows_range: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and Range of every request."""
    authorizations: list[str | None] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def server():
    state = BadServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # The client would wait for 40 ms.

        def do_GET(self):
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            state.authorizations.append(self.headers.get("Authorization"))
            mood = state.moods.pop(0) if state.moods else "good"
            content = state.files.get(self.path)
            if mood.startswith("status:"):
                return self._answer(int(mood.removeprefix("status:")), b"")
            if content is None:
                return self._answer(404, b"")
            start = 0
            if wanted and state.knows_range:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    return self._answer(416, b"")
            cut = int(mood.removeprefix("cut:")) if mood.startswith("cut:") else None
            span = f"bytes {start}-{len(content) - 1}/{len(content)}" if wanted and state.knows_range else None
            return self._answer(206 if span else 200, content[start:], span, cut)

        def _answer(self, status, body, span=None, cut=None):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in state.headers.items():
                self.send_header(name, value)
            if span:
                self.send_header("Content-Range", span)
            self.end_headers()
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True

        def log_message(self, *arguments):
            pass

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{web.server_port}"
    yield state
    web.shutdown()
    thread.join()
    web.server_close()
