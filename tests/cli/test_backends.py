"""Who answers: which server or engine is taken, and how an engine in this process is stopped."""

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llmos.cli import backends
from llmos.cli.backends import EngineBackend, EngineStream, find_or_pull, open_backend
from llmos.core.config import load_settings
from llmos.core.errors import ModelNotFound, PermissionDenied, ReplicaFailed, Unauthenticated
from llmos.engine.messages import Delta, Failed, Generate
from llmos.models.catalog import Catalog
from llmos.models.versions.versions import Loadable


class FakeEngine:
    """Answers with the given events, one a step; a callable is called in the step."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.aborted: list[str] = []

    def submit(self, request: Generate) -> None:
        pass

    def step(self) -> list[Any]:
        step = self.steps.pop(0)
        return [step() if callable(step) else step]

    def abort(self, request_id: str) -> None:
        self.aborted.append(request_id)


def stream_of(*steps: Any) -> tuple[EngineStream, FakeEngine]:
    engine = FakeEngine(*steps)
    return EngineStream(engine, Generate(id="run-1")), engine  # type: ignore[arg-type]


def test_an_engines_answer_comes_piece_by_piece() -> None:
    stream, _ = stream_of(
        Delta(id="run-1", text="Hel"), Delta(id="run-1"), Delta(id="run-1", text="lo", finish_reason="stop")
    )
    assert list(stream) == ["Hel", "lo"]
    assert stream.finish_reason == "stop"


def test_an_engines_failure_is_raised_as_what_it_is() -> None:
    stream, _ = stream_of(Failed("run-1", "replica_failed", "Bad numbers."))
    with pytest.raises(ReplicaFailed, match="Bad numbers"):
        list(stream)


def test_ctrl_c_waits_for_the_end_of_the_step() -> None:
    was_stepped_through = []

    def interrupted_step() -> Delta:
        os.kill(os.getpid(), signal.SIGINT)
        was_stepped_through.append(True)
        return Delta(id="run-1", text="last")

    def listen() -> None:
        with stream:
            heard.extend(stream)

    stream, engine = stream_of(Delta(id="run-1", text="first"), interrupted_step, Delta(id="run-1", text="too late"))
    heard: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        listen()
    assert heard == ["first", "last"]
    assert was_stepped_through
    assert engine.aborted == ["run-1"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note who is chosen instead of loading or calling anything."""
    chosen: list[str] = []
    monkeypatch.setattr(
        backends, "EngineBackend", lambda version, files, settings: chosen.append(f"engine {version.ref}")
    )
    monkeypatch.setattr(backends, "ServerBackend", lambda name: chosen.append(f"server {name}"))
    monkeypatch.setattr(backends, "_check_trusted", lambda settings, refs: chosen.append(f"checked {sorted(refs)}"))
    monkeypatch.setattr(backends, "find_or_pull", found)
    return chosen


def found(name: str, settings: Any) -> tuple["FakeVersion", Any]:
    version = FakeVersion(f"{name}@1")
    return version, SimpleNamespace(version=version)


class FakeVersion:
    def __init__(self, ref: str, sampling: dict[str, float] | None = None) -> None:
        self.ref = ref
        self.sampling = sampling or {}


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> tuple[EngineBackend, list[Generate]]:
    """A model with recommended sampling on a fake engine, and the requests that the engine gets."""
    engine = FakeEngine()
    requests: list[Generate] = []
    monkeypatch.setattr(engine, "submit", requests.append)
    ready = SimpleNamespace(has_template=True)
    monkeypatch.setattr("llmos.engine.loading.load_engine", lambda files, config: (engine, ready))
    version: Any = FakeVersion("m@1", {"temperature": 0.2, "top_p": 0.9})
    return EngineBackend(version, Loadable(version=version, files={}), load_settings({})), requests


def test_what_the_models_makers_recommend_is_the_default(speaking: Any) -> None:
    model, requests = speaking
    model.generate("Hi", raw=False, sampling={"temperature": 0.0, "stop": "x"})
    sampling = requests[0].sampling
    assert (sampling.temperature, sampling.top_p, sampling.stop) == (0.0, 0.9, ["x"])


def test_a_prompt_goes_through_the_template_unless_it_is_raw(speaking: Any) -> None:
    model, requests = speaking
    model.generate("Hi", raw=False, sampling={})
    model.generate("Hi", raw=True, sampling={})
    model.chat([{"role": "user", "content": "Hi"}], sampling={})
    said = [{"role": "user", "content": "Hi"}]
    assert [(each.messages, each.user_text, each.text) for each in requests] == [
        (None, "Hi", None), (None, None, "Hi"), (said, None, None),
    ]  # fmt: skip


@pytest.fixture
def listener() -> Iterator[str]:
    """The URL of something that listens on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> Iterator[str]:
    """A URL where nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def settings_with(monkeypatch: pytest.MonkeyPatch, default_endpoint: str, **environ: str) -> Any:
    monkeypatch.setattr("llmos.core.config.DEFAULT_ENDPOINT", default_endpoint)
    return load_settings(environ)


def test_the_running_server_answers(chosen: list[str], listener: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_backend("m", settings_with(monkeypatch, listener))
    assert chosen == ["server m"]


def test_without_a_server_an_engine_here_answers(
    chosen: list[str], nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_backend("m", settings_with(monkeypatch, nobody))
    assert chosen == ["checked ['m@1']", "engine m@1"]


def test_llmos_endpoint_means_that_server_and_no_other(
    chosen: list[str], nobody: str, listener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_backend("m", settings_with(monkeypatch, listener, LLMOS_ENDPOINT=nobody))
    assert chosen == ["server m"]


@pytest.mark.parametrize("refusal", [Unauthenticated, PermissionDenied])
def test_somebody_elses_server_is_left_alone_and_that_is_said(
    chosen: list[str],
    listener: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    refusal: type[Exception],
) -> None:
    def refuse(name: str) -> None:
        raise refusal("No.")

    monkeypatch.setattr(backends, "ServerBackend", refuse)
    open_backend("m", settings_with(monkeypatch, listener))
    assert chosen == ["checked ['m@1']", "engine m@1"]
    assert capsys.readouterr().err == f"Note: the server at {listener} is not yours; the model runs here.\n"


def test_what_the_server_misses_is_pulled_for_it(
    chosen: list[str], listener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def knows_only_what_was_pulled(name: str) -> None:
        if "pulled m" not in chosen:
            raise ModelNotFound("Not here.")
        chosen.append("server m")

    def pull(name: str, settings: Any) -> None:
        chosen.append(f"pulled {name}")

    monkeypatch.setattr(backends, "ServerBackend", knows_only_what_was_pulled)
    monkeypatch.setattr(backends, "find_or_pull", pull)
    open_backend("m", settings_with(monkeypatch, listener))
    assert chosen == ["pulled m", "server m"]


@pytest.fixture
def catalog(home: Path, smollm2_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog whose only model is a file on this disk."""
    import hashlib

    digest = hashlib.sha256(smollm2_path.read_bytes()).hexdigest()
    folder = home / "published"
    folder.mkdir()
    (folder / "model.gguf").symlink_to(smollm2_path)
    catalog = home / "catalog.toml"
    catalog.write_text(
        f"""
        [smollm2]
        description = "A file"
        license = "Apache-2.0"
        template = "own"
        files = [{{ name = "model.gguf", sha256 = "{digest}", size = {smollm2_path.stat().st_size} }}]
        sources = [{{ from = "file:{folder}" }}]
        """
    )
    monkeypatch.setenv("LLMOS_CATALOG", str(catalog))


@pytest.mark.usefixtures("catalog")
@pytest.mark.parametrize("name", ["smollm2", "dialogue"])
def test_a_model_of_the_catalog_is_pulled_when_it_is_asked_for(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    version, loadable = find_or_pull(name, load_settings())
    assert version.ref == "smollm2@1"
    assert all(path.exists() for path in loadable.files.values())
    assert "Pulling smollm2 …" in capsys.readouterr().err
    find_or_pull(name, load_settings())
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("catalog")
def test_a_name_that_nobody_knows_says_what_to_do() -> None:
    with pytest.raises(ModelNotFound, match="llmos route set gpt-3 MODEL"):
        find_or_pull("gpt-3", load_settings())


@pytest.mark.parametrize("seed", [0, 1])
def test_the_first_program_gets_an_answer_that_ends(smollm2_home: Path, seed: int) -> None:
    settings = load_settings({"LLMOS_HOME": str(smollm2_home)})
    version, loadable = find_or_pull("smollm2", settings)
    entry = Catalog.load().get("smollm2")
    assert entry is not None
    as_pulled = replace(version, sampling=entry.sampling)
    with EngineBackend(as_pulled, loadable, settings) as model:
        asked = {"seed": seed, "max_tokens": 400}
        with model.generate("The meaning of life is", raw=False, sampling=asked) as stream:
            text = "".join(stream)
    assert stream.finish_reason == "stop", text[-200:]
