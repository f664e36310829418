"""The backends of `run` and `chat`: which one is chosen, and that models of the catalog are pulled."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from llmos.cli import backends
from llmos.cli.backends import find_or_pull, open_backend
from llmos.cli.pipeline_backend import open_pipeline_backend
from llmos.core.config import load_settings
from llmos.core.errors import ModelNotFound, PermissionDenied, Unauthenticated


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record which backend is chosen instead of loading or calling anything."""
    chosen: list[str] = []
    monkeypatch.setattr(
        "llmos.cli.pipeline_backend.open_pipeline_backend", lambda name, settings: chosen.append(f"pipeline {name}")
    )
    monkeypatch.setattr(backends, "ServerBackend", lambda name: chosen.append(f"server {name}"))
    monkeypatch.setattr(backends, "find_or_pull", lambda name, settings: chosen.append(f"found {name}"))
    return chosen


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
    monkeypatch.setattr("llmos.core.config.DEFAULT_PORT", urlsplit(default_endpoint).port)
    return load_settings(environ)


def test_the_running_server_answers(chosen: list[str], listener: str, monkeypatch: pytest.MonkeyPatch) -> None:
    open_backend("m", settings_with(monkeypatch, listener))
    assert chosen == ["server m"]


def test_without_a_server_the_pipeline_of_this_process_answers(
    chosen: list[str], nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_backend("m", settings_with(monkeypatch, nobody))
    assert chosen == ["found m", "pipeline m"]


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
    assert chosen == ["found m", "pipeline m"]
    assert (
        capsys.readouterr().err
        == f"Note: the server at {listener} rejected your key; running the model in this process.\n"
    )


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
    """With the sampling that the catalog recommends."""
    settings = load_settings({"LLMOS_HOME": str(smollm2_home)})
    with open_pipeline_backend("smollm2", settings) as model:
        asked: Any = {"seed": seed, "max_tokens": 400}
        with model.generate("The meaning of life is", raw=False, sampling=asked) as stream:
            text = "".join(stream)
    assert stream.finish_reason == "stop", text[-200:]
