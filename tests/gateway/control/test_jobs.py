"""Jobs over HTTP: started, followed, cancelled, refused at once, and found again after the server died."""

import asyncio
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from llmos.core.config import Settings, load_settings
from llmos.core.jobs.jobs import Jobs
from llmos.gateway.app import create_app
from llmos.gateway.listening import listen
from llmos.gateway.opening import open_services
from llmos.gateway.server import Server
from llmos.gateway.services import Services
from llmos.models import open_registry
from llmos.models.signing.signing import Signing
from llmos.models.signing.trusted_keys import TrustedKeys
from llmos.models.transfer.transfers import Transfers
from support.databases import Databases
from support.looking import pause_thread
from support.real_server import KEY, serving
from support.tiny_folders import write_folder

pytestmark = pytest.mark.process

ENDLESS = {"kind": "quantize", "model": "tiny", "scheme": "gptq", "options": {"texts": 4096, "length": 128}}
"""Far longer than any test."""

QUICK = {"kind": "quantize", "model": "tiny", "scheme": "minmax", "options": {"bits": 4}, "card": False}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


def make_home(folder: Path, database_url: str) -> Settings:
    """Return the settings of a new home with the model `tiny`."""
    settings = load_settings(
        {"LLMOS_HOME": str(folder / "home"), "LLMOS_DATABASE_URL": database_url, "LLMOS_OWNER_KEY": KEY}
    )
    registry = open_registry(settings)
    Transfers(registry).import_path(write_folder(folder / "tiny"), "tiny")
    registry.database.close()
    return settings


@contextmanager
def opened(settings: Settings) -> Iterator[Services]:
    services = open_services(settings)
    yield services
    services.registry.database.close()


@contextmanager
def joined(services: Services) -> Iterator[httpx.Client]:
    """Yield a client of a server with a real registry."""
    listener = listen("127.0.0.1", 0)
    server = Server(create_app(services), services)
    host, port = listener.getsockname()
    thread = threading.Thread(target=asyncio.run, args=[server.serve(sockets=[listener])])
    thread.start()
    with client_of(f"http://{host}:{port}") as client:
        yield client
    server.stop()
    thread.join()


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return make_home(tmp_path, database_url)


@pytest.fixture
def real(settings: Settings) -> Iterator[Services]:
    with opened(settings) as services:
        yield services


@pytest.fixture
def client(real: Services) -> Iterator[httpx.Client]:
    with joined(real) as client:
        yield client


@pytest.fixture(scope="module")
def idle(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server on which no job ever begins; one for all tests of what is refused."""
    folder = tmp_path_factory.mktemp("idle")
    with (
        databases.create("sqlite", folder / "database") as url,
        opened(make_home(folder, url)) as services,
        joined(services) as client,
    ):
        yield client


def client_of(url: str) -> httpx.Client:
    return httpx.Client(base_url=f"{url}/llmos/v1", headers={"Authorization": f"Bearer {KEY}"}, timeout=120)


def start(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    reply = client.post("/jobs", json=body)
    assert reply.status_code == 200, reply.text
    job: dict[str, Any] = reply.json()
    return job


def states(client: httpx.Client, id: str) -> Iterator[dict[str, Any]]:
    """Yield the states in the job's stream."""
    with client.stream("GET", f"/jobs/{id}/events") as reply:
        assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
        for line in reply.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def end_of(client: httpx.Client, id: str) -> dict[str, Any]:
    return list(states(client, id))[-1]


def until_progress(client: httpx.Client, id: str) -> dict[str, Any]:
    return next(state for state in states(client, id) if state["progress"])


def test_a_model_is_quantized(client: httpx.Client) -> None:
    job = start(client, QUICK)
    assert (job["kind"], job["actor"], job["request"]["model"]) == ("quantize", "owner", "tiny@1")
    seen = list(states(client, job["id"]))
    assert {state["state"] for state in seen} <= {"queued", "running", "succeeded"}
    ended = seen[-1]
    assert (ended["state"], ended["error"]) == ("succeeded", None)
    assert ended["created_at"] <= ended["started_at"] <= ended["ended_at"]
    assert all(step["num_done"] == step["num_total"] for step in ended["progress"])
    result = ended["result"]
    assert (result["version"], result["was_here"], result["made_by"]) == ("tiny-minmax4@1", False, "owner")
    stored = client.get("/models/tiny-minmax4").json()
    assert {key: stored[key] for key in ("digest", "parent", "recipe")} == {
        key: result[key] for key in ("digest", "parent", "recipe")
    }
    assert client.get(f"/jobs/{job['id']}").json() == ended
    again = start(client, QUICK)
    assert again["id"] != job["id"]
    assert end_of(client, again["id"])["result"]["was_here"] is True
    assert [each["id"] for each in client.get("/jobs").json()["data"]] == [again["id"], job["id"]]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_model_is_pruned_and_its_card_measured(client: httpx.Client) -> None:
    ended = end_of(client, start(client, {"kind": "prune", "model": "tiny", "scheme": "magnitude"})["id"])
    assert ended["result"]["version"] == "tiny-magnitude50@1"
    card = client.get("/models/tiny-magnitude50/card").json()
    assert card["parent"] == "tiny@1"
    assert ended["result"]["card"]["measured_at"] == card["measured_at"]


def test_a_text_of_the_callers_own_is_calibrated_on(client: httpx.Client, settings: Settings) -> None:
    text = "Once upon a time there was a model. " * 40
    options = {"texts": 2, "length": 32}
    body = {"kind": "quantize", "model": "tiny", "scheme": "gptq", "options": options, "card": False}
    job = start(client, body | {"calibration": text})
    digest = f"sha256:{sha256(text.encode()).hexdigest()}"
    assert job["request"]["calibration"] == digest
    (kept,) = settings.jobs_path.glob("*.txt")
    before = kept.stat().st_ino
    assert start(client, body | {"calibration": text, "name": "again"})["request"]["calibration"] == digest
    assert (kept.stat().st_ino, kept.read_text()) == (before, text), "the first job may be reading it"
    ended = end_of(client, job["id"])
    assert ended["error"] is None
    assert ended["result"]["recipe"]["options"]["calibration"] == digest


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "`kind` is None. It is one of card, dataset_check, dataset_clean, dataset_import, encrypt, "),
    ({"kind": "quantise", "model": "tiny"}, 400, "Did you mean 'quantize'?"),
    ({"kind": "quantize", "model": "tiny"}, 400, "`scheme` is missing."),
    (QUICK | {"scheme": "minmix"}, 400, "There is no scheme 'minmix'"),
    (QUICK | {"options": {"bits": 99}}, 400, "bits is 99"),
    (QUICK | {"model": "tinny"}, 404, "There is no model 'tinny'"),
    (QUICK | {"name": "tiny"}, 409, "The name tiny is taken"),
    (QUICK | {"colour": "red"}, 400, "There is no field `colour`."),
    ({"kind": "pull", "model": "smollm3"}, 404, "The catalog has no model 'smollm3'. Did you mean smollm2"),
    ({"kind": "pull", "model": "smollm2", "name": "mine"}, 400, "keeps its name"),
    ({"kind": "pull", "model": "file:/etc/passwd"}, 400, "is a file of the server's machine"),
    ({"kind": "pull", "model": "ftp://host/file"}, 400, "is not a source"),
    ({"kind": "card", "model": "tinny"}, 404, "There is no model 'tinny'"),
    ({"kind": "verify", "model": "tiny", "key": "no key"}, 400, "key"),
]


@pytest.mark.parametrize(("body", "status", "message"), REFUSED)
def test_a_job_that_cannot_succeed_is_rejected_at_once(
    idle: httpx.Client, body: dict[str, Any], status: int, message: str
) -> None:
    reply = idle.post("/jobs", json=body)
    assert (reply.status_code, message in reply.json()["error"]["message"]) == (status, True), reply.text
    assert idle.get("/jobs").json() == {"data": []}


def test_unknown_jobs_and_filters_are_refused(client: httpx.Client) -> None:
    for reply in (
        client.get("/jobs/job-unknown"),
        client.get("/jobs/job-unknown/events"),
        client.post("/jobs/job-unknown/cancel"),
        client.get("/jobs", params={"after": "job-unknown"}),
    ):
        assert (reply.status_code, reply.json()["error"]["message"]) == (
            404, "There is no job 'job-unknown'. `llmos job list` lists the jobs.",
        )  # fmt: skip
    for query in ({"state": "asleep"}, {"limit": "0"}, {"page": "2"}):
        assert client.get("/jobs", params=query).status_code == 400


def test_a_cancelled_job_ends_at_once_and_the_next_one_begins(client: httpx.Client, settings: Settings) -> None:
    long, waiting = start(client, ENDLESS), start(client, QUICK)
    assert start(client, ENDLESS)["id"] == long["id"]
    until_progress(client, long["id"])
    assert client.get(f"/jobs/{waiting['id']}").json()["state"] == "queued"
    cancelled = client.post(f"/jobs/{long['id']}/cancel").json()
    assert (cancelled["state"], cancelled["result"]) == ("cancelled", None)
    assert end_of(client, waiting["id"])["state"] == "succeeded"
    assert end_of(client, long["id"])["state"] == "cancelled"
    assert client.post(f"/jobs/{long['id']}/cancel").json()["state"] == "cancelled"
    reply = client.post(f"/jobs/{waiting['id']}/cancel")
    assert (reply.status_code, "has succeeded already" in reply.json()["error"]["message"]) == (409, True)
    assert [job["id"] for job in client.get("/jobs", params={"state": "cancelled"}).json()["data"]] == [long["id"]]
    assert [path.name for path in (settings.store_path / "incoming").iterdir()] == []


def test_several_follow_a_job_and_one_may_go(client: httpx.Client) -> None:
    long = start(client, ENDLESS)
    first, second = states(client, long["id"]), states(client, long["id"])
    for follower in (first, second):
        assert next(follower)["id"] == long["id"]
    first.close()  # type: ignore[attr-defined]
    assert next(state for state in second if state["progress"])["state"] == "running"
    client.post(f"/jobs/{long['id']}/cancel")
    assert [state["state"] for state in second][-1] == "cancelled"


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_browser_that_has_seen_the_end_does_not_come_back(client: httpx.Client) -> None:
    id = start(client, QUICK)["id"]
    end_of(client, id)
    stream = client.get(f"/jobs/{id}/events")
    assert stream.text.startswith("id: ended\nevent: job\ndata: {")
    assert client.get(f"/jobs/{id}/events", headers={"Last-Event-ID": "ended"}).status_code == 204


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_signature_is_verified(client: httpx.Client, settings: Settings, tmp_path: Path) -> None:
    ended = end_of(client, start(client, {"kind": "verify", "model": "tiny"})["id"])
    assert (ended["state"], ended["error"]["code"]) == ("failed", "untrusted_model")
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = serialization.PrivateFormat.PKCS8, serialization.PublicFormat.SubjectPublicKeyInfo
    path = tmp_path / "ada.pem"
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    registry = open_registry(settings)
    signed = Signing(registry, TrustedKeys(settings.trusted_keys_path)).sign("tiny", path)
    registry.database.close()
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, public).decode()
    ended = end_of(client, start(client, {"kind": "verify", "model": "tiny", "key": pem})["id"])
    assert ended["error"] is None
    assert (ended["result"]["version"], ended["result"]["key"]["fingerprint"]) == ("tiny@1", signed.key.fingerprint)


@dataclass
class Hub:
    """A model hub that stops in the middle of a file until it is told to go on."""

    content: bytes
    goes_on: threading.Event = field(default_factory=threading.Event)
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""

    @property
    def half(self) -> int:
        return len(self.content) // 2


@pytest.fixture
def hub(tmp_path: Path, settings: Settings) -> Iterator[Hub]:
    """With the model `tinier`, whose one file is the catalog's."""
    from support.tiny_gguf import write_gguf

    hub = Hub(write_gguf(tmp_path / "tinier.gguf").read_bytes())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # The client would wait for 40 ms.

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            hub.ranges.append(wanted)
            begin = int(re.findall(r"\d+", wanted)[0]) if wanted else 0
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(hub.content) - begin))
            if wanted:
                self.send_header("Content-Range", f"bytes {begin}-{len(hub.content) - 1}/{len(hub.content)}")
            self.end_headers()
            if begin < hub.half:
                self.wfile.write(hub.content[begin : hub.half])
                self.wfile.flush()
                hub.goes_on.wait()
                begin = hub.half
            self.wfile.write(hub.content[begin:])

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever).start()
    yield hub
    hub.goes_on.set()
    server.shutdown()
    server.server_close()


def catalog_of(hub: Hub, folder: Path) -> Path:
    path = folder / "catalog.toml"
    path.write_text(
        '[tinier]\ndescription = "a tiny model"\nlicense = "MIT"\ntemplate = "none"\n'
        f'[[tinier.files]]\nname = "tinier.gguf"\nsha256 = "{sha256(hub.content).hexdigest()}"\n'
        f'size = {len(hub.content)}\n[[tinier.sources]]\nfrom = "hf:acme/tinier"\n'
    )
    return path


def test_a_server_that_was_killed_finds_its_jobs_again(settings: Settings, hub: Hub, tmp_path: Path) -> None:
    variables = {
        "LLMOS_DATABASE_URL": settings.database_url,
        "LLMOS_CATALOG": str(catalog_of(hub, tmp_path)),
        "HF_ENDPOINT": hub.url,
    }
    with serving(settings.home, "tiny", **variables) as server, client_of(server.url) as client:
        pull, long = start(client, {"kind": "pull", "model": "tinier"}), start(client, ENDLESS)
        waiting = start(client, QUICK)
        assert start(client, {"kind": "pull", "model": "tinier"})["id"] == pull["id"]
        next(state for state in states(client, pull["id"]) if any(step["num_done"] for step in state["progress"]))
        until_progress(client, long["id"])
        workers = workers_of(server.process.pid)
        assert len(workers) == 1
        server.process.kill()
        server.process.wait()
    for worker in workers:
        while is_alive(worker):
            pause_thread()
    hub.goes_on.set()
    with serving(settings.home, "tiny", **variables) as server, client_of(server.url) as client:
        assert end_of(client, pull["id"])["result"]["version"] == "tinier@1"
        interrupted = end_of(client, long["id"])
        assert (interrupted["state"], interrupted["error"]["message"]) == (
            "interrupted",
            "The server stopped while this job ran. Start it again:"
            " llmos quantize tiny@1 --scheme gptq --texts 4096 --length 128",
        )
        assert end_of(client, waiting["id"])["state"] == "succeeded"
        assert server.end() == 0
    assert hub.ranges == [None, f"bytes={hub.half}-"]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_server_that_is_stopped_leaves_its_jobs_in_good_order(real: Services, hub: Hub, settings: Settings) -> None:
    variables = {"LLMOS_DATABASE_URL": settings.database_url}
    with serving(settings.home, "tiny", **variables) as server, client_of(server.url) as client:
        long, waiting = start(client, ENDLESS), start(client, QUICK)
        follower = states(client, long["id"])
        next(state for state in follower if state["progress"])
        assert server.end() == 0
        assert [state["state"] for state in follower][-1:] in ([], ["running"], ["interrupted"])
    jobs = Jobs(real.registry.database)
    assert (jobs.get(long["id"]).state, jobs.get(waiting["id"]).state) == ("interrupted", "queued")
    assert [path.name for path in (settings.store_path / "incoming").glob("*.part")] == []


def workers_of(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in children if b"jobs.worker" in Path(f"/proc/{child}/cmdline").read_bytes()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
