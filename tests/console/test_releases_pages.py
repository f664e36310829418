"""Pages of releases as a browser without scripts gets them: plan, apply, a plan that is old, history, rollback."""

import re
from pathlib import Path

import httpx
import pytest

from llmos.client import AsyncClient
from llmos.gateway.services import Services
from support.chromium import HOSTILE
from support.console import send
from support.hosted_apps import write_echo

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _no_processes(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deployed applications aren't started, because the test is about the pages."""

    async def settle(deployment: object) -> None:
        pass

    monkeypatch.setattr(services.supervisor, "settle", settle)


async def test_a_release_is_planned_applied_and_rolled_back(
    ann: httpx.AsyncClient, owner: AsyncClient, tmp_path: Path
) -> None:
    for version in ("v1", "v2"):
        await owner.apps.create(write_echo(tmp_path / "echo", version, manifest=f"description: {HOSTILE[:30]!r}\n"))
    assert "not released" in (await ann.get("/console/releases")).text
    page = (await ann.get("/console/releases/echo?version=echo@1")).text
    assert "isn&#39;t deployed yet" in page
    assert 'name="newest_release" value="0"' in page
    fields = {"version": "echo@1", "environment": "", "newest_release": "0"}
    assert "Release 1 of echo@1 is active" in await send(ann, "/releases/echo/apply", **fields)

    page = (await ann.get("/console/releases/echo?version=echo@2")).text
    assert re.search(r'<span class="added">\+.*v2 heard', page)
    assert "<img" not in page
    stale = await send(ann, "/releases/echo/apply", **(fields | {"version": "echo@2"}))
    assert "since this was planned (release 1)" in stale
    assert "user:ann" in stale
    fields |= {"version": "echo@2", "newest_release": "1"}
    assert "Release 2 of echo@2 is active" in await send(ann, "/releases/echo/apply", **fields)

    page = await send(ann, "/releases/echo/rollback", reason=f"Wrong {HOSTILE}")
    assert "echo@1 answers again." in page
    assert "onerror" in page
    assert "<img" not in page
    listed = (await ann.get("/console/releases")).text
    assert "user:ann" in listed
    assert "There is no release" not in listed


async def test_a_replay_without_recorded_runs_says_why(
    ann: httpx.AsyncClient, owner: AsyncClient, tmp_path: Path
) -> None:
    for version in ("v1", "v2"):
        await owner.apps.create(write_echo(tmp_path / "again", version, name="again"))
    assert "Nothing of again is deployed" in await send(ann, "/releases/again/replay", version="again@2")
    await send(ann, "/releases/again/apply", version="again@1")
    page = await send(ann, "/releases/again/replay", version="again@2")
    assert "write `consent: eval` and release it" in page
    assert "Choose a version" in await send(ann, "/releases/again/replay")


async def test_a_plan_of_nothing_new_says_so(ann: httpx.AsyncClient, owner: AsyncClient, tmp_path: Path) -> None:
    await owner.apps.create(write_echo(tmp_path / "calm", name="calm"))
    await send(ann, "/releases/calm/apply", version="calm@1")
    assert "Nothing would change: calm@1 is deployed." in (await ann.get("/console/releases/calm?version=calm@1")).text
    assert "Choose a version" in await send(ann, "/releases/calm/apply")
