"""Knowledge on the real server with the real embedding model: a job survives a killed server, and all is found."""

import hashlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from llmos.core.config import load_settings
from llmos.data.knowledge import open_knowledge, queries
from llmos.data.uploads import Uploads
from llmos.models import open_registry
from support.looking import pause_thread
from support.minilm import pull_minilm
from support.real_server import KEY, Running, serving

pytestmark = pytest.mark.process

SUBJECTS = ("tea", "coffee", "bread", "rivers", "mountains", "trains", "violins", "candles", "bees", "snow")
FILES = {
    f"{subject}/{number:02}.md": "".join(
        f"# {subject.title()} {number}.{part}\n\n" + f"Rule {part} about {subject}: handle with care. " * 30 + "\n\n"
        for part in range(6)
    )
    for subject in SUBJECTS
    for number in range(6)
}
FILES["保修.md"] = "# 保修\n\n保修期为两年，电池除外。\n"
FILES["hours.md"] = "# Opening hours\n\nOn Sundays the shop is closed, on other days it opens at nine.\n"


@pytest.fixture
def home(tmp_path: Path, shared_folder: Path) -> Path:
    pull_minilm(tmp_path / "home", shared_folder)
    return tmp_path / "home"


def upload(home: Path) -> list[dict[str, str]]:
    settings = load_settings({"LLMOS_HOME": str(home)})
    uploads, files = Uploads(settings.uploads_path, open_registry(settings).store), []
    for name, text in FILES.items():
        digest = f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        with uploads.receiving("owner", digest, len(text.encode())) as path:
            path.write_bytes(text.encode())
        files.append({"name": name, "digest": digest})
    return files


def post(running: Running, path: str, **body: Any) -> dict[str, Any]:
    reply = httpx.post(running.url + path, json=body, headers={"x-api-key": KEY}, timeout=60)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def pending_entries(home: Path) -> int:
    """Return how many entries an unfinished job has made."""
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    with registry.database.session() as session:
        return len(queries.digests_in_use(session))


def test_a_sync_goes_on_after_the_server_was_killed(home: Path) -> None:
    files = upload(home)
    with serving(home, "minilm") as running:
        job = post(running, "/llmos/v1/jobs", kind="knowledge_sync", name="faq", files=files)
        while pending_entries(home) < 8:
            assert running.get(f"/llmos/v1/jobs/{job['id']}").json()["state"] in ("queued", "running")
        running.process.kill()
        running.process.wait()
    num_made = pending_entries(home)
    registry = open_registry(load_settings({"LLMOS_HOME": str(home)}))
    assert not open_knowledge(registry.database, registry.store).of().list()
    with serving(home, "minilm") as running:
        while (job := running.get(f"/llmos/v1/jobs/{job['id']}").json())["state"] in ("queued", "running"):
            pause_thread()
        assert job["state"] == "succeeded", job
        assert (job["result"]["version"], job["result"]["num_documents"]) == ("faq@1", len(FILES))
        assert 8 <= num_made < len(FILES)
        for query, document in (("Can I come at the weekend?", "hours.md"), ("电池", "保修.md")):
            hits = post(running, "/llmos/v1/knowledge/faq/search", query=query, limit=3)["hits"]
            assert hits[0]["citation"]["document"] == document
            citation = hits[0]["citation"]
            assert FILES[document][citation["start"] : citation["end"]] == citation["quote"]
            assert not post(running, "/llmos/v1/knowledge/faq/search", query=query)["notes"]
        found = post(running, "/llmos/v1/knowledge/faq/search", query="Open at the weekend? " + "bread and tea " * 200)
        assert found["hits"]
        assert "the vector part read its beginning only" in found["notes"][0]
        assert running.end() == 0
    assert pending_entries(home) == len(FILES) + 3  # Entries and the files of the index; nothing is pending.
