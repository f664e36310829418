"""Heavy jobs in processes of their own: what comes back, and that nothing of them outlives the server's wish."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llmos.core.config import Settings, load_settings, parse_networks
from llmos.core.errors import ModelNotFound, ReplicaFailed
from llmos.core.jobs.jobs import Step
from llmos.core.oidc_config import GroupRole, OidcConfig
from llmos.gateway.jobs import job_process
from llmos.gateway.jobs.job_process import run_in_process
from llmos.gateway.jobs.worker import Assignment, decode_assignment, encode_assignment
from llmos.models import open_registry
from llmos.models.transfer.transfers import Transfers
from support.tiny_folders import write_folder

pytestmark = [pytest.mark.process, pytest.mark.anyio]

ENDLESS = {"texts": 4096, "length": 128}
"""A calibration that takes far longer than any test."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The settings of a home with the model `tiny`."""
    settings = load_settings({"LLMOS_HOME": str(tmp_path / "home")})
    Transfers(open_registry(settings)).import_path(write_folder(tmp_path / "tiny"), "tiny")
    return settings


def quantize(settings: Settings, scheme: str, *, model: str = "tiny", **options: Any) -> Assignment:
    request = {"kind": "quantize", "model": model, "scheme": scheme, "options": options, "card": False}
    return Assignment(settings=settings, kind="quantize", request=request, project="owner", actor="ada")


def incoming(settings: Settings) -> list[str]:
    return [path.name for path in (settings.store_path / "incoming").iterdir()]


async def test_the_result_and_the_progress_come_back(settings: Settings) -> None:
    steps: list[Step] = []
    result = await run_in_process(quantize(settings, "minmax", bits=4), steps.append)
    assert (result["version"], result["made_by"], result["was_here"]) == ("tiny-minmax4@1", "ada", False)
    assert steps[-1].num_done == steps[-1].num_total
    assert open_registry(settings).resolve("tiny-minmax4").digest == result["digest"]


async def test_an_error_comes_back_as_it_was(settings: Settings) -> None:
    with pytest.raises(ModelNotFound, match="no model 'tinny'"):
        await run_in_process(quantize(settings, "minmax", model="tinny"), lambda step: None)


async def test_a_process_that_dies_reports_how(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_process, "_COMMAND", (sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"))
    with pytest.raises(ReplicaFailed, match="was killed, most often because memory ran out"):
        await run_in_process(quantize(settings, "minmax"), lambda step: None)
    monkeypatch.setattr(job_process, "_COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with pytest.raises(ReplicaFailed, match="ended with status 3"):
        await run_in_process(quantize(settings, "minmax"), lambda step: None)


async def test_cancelling_kills_the_process_at_once(settings: Settings) -> None:
    loop, has_begun, pids = asyncio.get_running_loop(), asyncio.Event(), []

    def report(step: Step) -> None:
        pids[:] = workers()
        loop.call_soon_threadsafe(has_begun.set)

    task = asyncio.create_task(run_in_process(quantize(settings, "gptq", **ENDLESS), report))
    await has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(pids) == 1
    assert workers() == []
    registry = open_registry(settings)
    assert registry.names() == ["tiny"]
    await run_in_process(quantize(settings, "minmax"), lambda step: None)
    assert incoming(settings) == []


@pytest.mark.parametrize("moment", ["before it is told what to do", "while it works"])
def test_the_process_ends_with_the_server(settings: Settings, moment: str) -> None:
    worker = subprocess.Popen(
        job_process._COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    if moment == "while it works":
        worker.stdin.write(encode_assignment(quantize(settings, "gptq", **ENDLESS)))
        worker.stdin.flush()
        assert b"progress" in worker.stdout.readline()
    worker.stdin.close()
    assert worker.wait(60) != 0
    worker.stdout.close()


def test_settings_arrive_as_they_were_sent(settings: Settings) -> None:
    sent = quantize(settings, "minmax", bits=4)
    assert decode_assignment(encode_assignment(sent)) == sent
    special = replace(
        settings,
        trusted_proxies=parse_networks("10.0.0.0/8 ::1", "the test"),
        allow_origins=("https://a.example",),
        tls_cert=Path("/a/b"),
        oidc=OidcConfig(
            issuer="https://a",
            client_id="b",
            client_secret=None,
            public_url="https://c",
            roles=(GroupRole(group="g", role="viewer", project="p"),),
        ),
    )
    sent = Assignment(settings=special, kind="verify", request={}, project="owner", actor="ada")
    assert decode_assignment(encode_assignment(sent)) == sent


def workers() -> list[int]:
    """The worker processes that this process has started."""
    children = [int(child) for child in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]
    return [child for child in children if b"jobs.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]
