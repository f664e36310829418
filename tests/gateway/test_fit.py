"""The fit of a model into the server's memory: over HTTP, in Python, and by the command for a server elsewhere."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from llmos import Client
from llmos.cli import main
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest, LLMOSError
from llmos.core.hardware import inspect_hardware
from llmos.engine.sizing import fit as fitting
from llmos.gateway.app import create_app
from llmos.gateway.opening import open_services
from llmos.gateway.services import Services
from support.default_model import pull_stored
from support.scripted_gateway import serve_app

FREE = 400_000_000


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Iterator[Services]:
    """The real rooms with the real model, which nobody loads."""
    settings = load_settings({"LLMOS_HOME": str(tmp_path_factory.mktemp("fit")), "LLMOS_LOG": "off"})
    services = open_services(settings)
    pull_stored(services.registry, smollm2_path)
    services.billing.ledger_writer.start()
    yield services
    services.billing.ledger_writer.close()
    services.answer_sink.close()
    services.audit.recorder.close()
    services.log.close()


@pytest.fixture
def address(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    hardware = replace(inspect_hardware(), num_cores=1, available_bytes=FREE)
    monkeypatch.setattr(fitting, "inspect_hardware", lambda: hardware)
    with serve_app(create_app(services), services) as address:
        monkeypatch.setenv("LLMOS_ENDPOINT", address)
        monkeypatch.setenv("LLMOS_API_KEY", services.settings.owner_key_path.read_text().strip())
        yield address


def test_the_parts_add_up_and_a_stream_more_takes_what_is_said(address: str) -> None:
    with Client() as client:
        two = client.models.fit("smollm2", context=2048, streams=2)
        three = client.models.fit("smollm2@1", context=2048, streams=3)
    assert (two.model, two.task, two.fits, two.context, two.streams) == ("smollm2@1", "generate", True, 2048, 2)
    parts = two.bytes
    assert parts.total == parts.weights + parts.kv + parts.states + parts.workspace + parts.process
    assert parts.available == FREE
    assert three.bytes.kv - parts.kv == two.bytes_per_stream == 2048 * two.bytes_per_token
    assert two.options == {"kv_bytes": parts.kv, "max_sequences": 2, "context_length": 2048}
    assert two.speed == [], "nobody has measured this machine's speed"


def test_what_does_not_fit_comes_with_what_would(address: str) -> None:
    with Client() as client:
        found = client.models.fit("smollm2", context=8192, streams=16)
        assert (found.fits, found.options) == (False, {})
        assert "are missing" in found.sentence
        assert all(choice.bytes <= FREE for choice in found.choices)
        assert found.choices[0].what.startswith("2 streams of 8,192 tokens")
        with pytest.raises(BadRequest, match="this model takes 1 to 8,192 tokens"):
            client.models.fit("smollm2", context=9000)
        with pytest.raises(LLMOSError, match="nothing-here"):
            client.models.fit("nothing-here")


def test_the_command_asks_a_server_on_another_machine(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("llmos.cli.fit.is_remote", lambda settings: True)
    assert main(["fit", "smollm2", "--context", "1024", "--streams", "1", "--json"]) == 0
    headers = {"x-api-key": str(load_settings().api_key)}
    url = f"{address}/llmos/v1/models/smollm2/fit?context=1024&streams=1"
    assert json.loads(capsys.readouterr().out) == httpx.get(url, headers=headers).json()
    assert main(["fit", "smollm2", "--context", "8192", "--streams", "16"]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("No: smollm2@1 for 16 streams of 8,192 tokens. It doesn't fit: ")
    assert "→ llmos fit smollm2 --context 8192 --streams 2" in printed
    assert main(["fit", "smollm2", "--measure"]) == 2
    assert "Run it on the server's machine." in capsys.readouterr().err
