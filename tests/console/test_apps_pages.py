"""Pages of applications as a browser without scripts gets them: versions, prompts, runs, decisions and hand-offs."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llmos.client import AsyncClient
from llmos.console.pages.runs import STEPS_AT_ONCE
from llmos.core.clock import utc_now
from llmos.core.ids import new_id
from llmos.core.schemas.runs import RunDescription
from llmos.gateway.services import Services
from support.apps import LEASE, OTHER_LEASE, answer, question
from support.chromium import HOSTILE
from support.console import PASSWORD, browser_of, send, sign_in

pytestmark = pytest.mark.anyio

MANIFEST = "name: {name}\nmodel: smollm2\ndescription: '{description}'\nprompt: prompts/help.md\n"


def write_app(folder: Path, name: str, prompt: str = "Help the customers of {{shop}}.", description: str = "") -> Path:
    (folder / "prompts").mkdir(parents=True, exist_ok=True)
    (folder / "app.yaml").write_text(MANIFEST.format(name=name, description=description.replace("'", "''")))
    (folder / "prompts" / "help.md").write_text(prompt)
    return folder


async def begin(owner: AsyncClient, **fields: Any) -> RunDescription:
    return await owner.runs.begin(**{"id": new_id("run"), "app": "shop", "lease": LEASE, "input": "Hi"} | fields)


def step(number: int, **fields: Any) -> dict[str, Any]:
    return {"key": f"s{number}", "kind": "step", "name": f"look-{number}", "state": "done", "result": number} | fields


async def test_an_application_has_versions_prompts_and_what_differs(
    ann: httpx.AsyncClient, owner: AsyncClient, tmp_path: Path
) -> None:
    for prompt in ("Help the customers of {{shop}}.", "Help the customers of {{shop}}.\nBe brief."):
        await owner.apps.create(write_app(tmp_path, "kiosk", prompt, HOSTILE[:60]))
    listed = (await ann.get("/console/apps")).text
    assert "kiosk@2" in listed
    assert "not deployed" in listed
    page = (await ann.get("/console/apps/kiosk@2?to=kiosk@1")).text
    assert "<img" not in page
    assert '<span class="added">+Be brief.</span>' in page or '<span class="removed">-Be brief.</span>' in page
    assert "prompts/help.md" in page
    assert "It is not deployed" in page
    (prompt,) = re.findall(r'href="/console/prompts/([^"]+)"', page)
    shown = (await ann.get(f"/console/prompts/{prompt}")).text
    assert "Be brief." in shown
    filled = await send(ann, f"/prompts/{prompt}/fill", **{"var.shop": "Acme & Sons"})
    assert "Help the customers of Acme &amp; Sons." in filled
    assert "shop" in await send(ann, f"/prompts/{prompt}/fill")  # Which says that a value is missing.
    assert "kiosk@1 is removed" in await send(ann, "/apps/kiosk@1/remove")
    assert "Go back" in (await ann.get("/console/apps/kiosk@1")).text


async def test_a_prompt_is_made_compared_and_removed(ann: httpx.AsyncClient) -> None:
    assert "greeting@1 is made" in await send(ann, "/prompts/create", name="greeting", text="Say hi.\r\nTwice.")
    assert "greeting@2 is made" in await send(ann, "/prompts/create", name="greeting", text="Say hi.\nThrice.")
    page = (await ann.get("/console/prompts/greeting@2?to=greeting@1")).text
    assert "Twice.</span>" in page
    assert "a b" in await send(ann, "/prompts/create", name="greeting", text="{{a b}}")
    assert "greeting@1 is removed" in await send(ann, "/prompts/greeting@1/remove")


async def test_a_long_run_comes_in_pieces(ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    run = await begin(owner)
    steps = [step(number, state="failed" if number == 240 else "done") for number in range(250)]
    await owner.runs.write(run.id, lease=LEASE, steps=steps)
    page = (await ann.get(f"/console/runs/{run.id}")).text
    assert page.count(f'href="/console/runs/{run.id}/steps/') == STEPS_AT_ONCE
    assert "look-0" in page
    assert "look-100<" not in page
    more = re.search(r'hx-get="([^"]+)" hx-trigger="intersect once"', page)
    assert more is not None
    rows = await ann.get(more[1].replace("&amp;", "&"))
    assert "<html" not in rows.text
    assert "look-100<" in rows.text
    assert "look-199<" in rows.text
    last = (await ann.get(f"/console/runs/{run.id}/rows?first=200")).text
    assert "look-249<" in last
    assert "hx-get" not in last
    assert "look-240<" in (await ann.get(f"/console/runs/{run.id}?step_state=failed")).text
    lines = (await ann.get(f"/console/runs/{run.id}?csv=steps")).text.splitlines()
    assert (len(lines), lines[0].split(",")[:3]) == (251, ["number", "kind", "name"])
    one = (await ann.get(f"/console/runs/{run.id}/steps/249")).text
    assert "look-249" in one
    gone = await ann.get(f"/console/runs/{run.id}/steps/250")
    assert (gone.status_code, "the run has 250 steps" in gone.text) == (404, True)
    assert "is cancelled" in await send(ann, f"/runs/{run.id}/cancel")
    assert "is removed" in await send(ann, f"/runs/{run.id}/remove")


async def test_a_person_decides_with_a_note_and_only_once(ann: httpx.AsyncClient, owner: AsyncClient) -> None:
    decided = {}
    for name, fields in {
        "confirm:call-1": {"decision": "refuse", "note": HOSTILE[:60]},
        "confirm:call-2": {"decision": "approve"},
        "approval": {"decision": "refuse", "note": "which wait_for() must not take for a yes"},
        "amount": {"decision": "other", "value": '{"euros": 5}'},
    }.items():
        run = await begin(owner)
        end = {"state": "waiting", "waits_for": name, "waits_with": {"order": HOSTILE}}
        await owner.runs.write(run.id, lease=LEASE, end=end)
        page = (await ann.get("/console/approvals")).text
        assert run.id in page
        assert "<img" not in page
        assert "has got your decision" in await send(ann, f"/runs/{run.id}/signal", name=name, **fields)
        assert "already" in await send(ann, f"/runs/{run.id}/signal", name=name, **fields)
        (signal,) = (await owner.runs.get(run.id)).signals
        decided[name] = signal.value
        assert signal.actor == "user:ann"
        await owner.runs.cancel(run.id)
    assert decided == {
        "confirm:call-1": {"approved": False, "reason": HOSTILE[:60].strip()},
        "confirm:call-2": True,
        "approval": False,
        "amount": {"euros": 5},
    }
    assert "Nothing waits for a decision" in (await ann.get("/console/approvals")).text


async def test_an_effect_in_doubt_is_resolved(
    ann: httpx.AsyncClient, owner: AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await begin(owner)
    pay = step(0, name="pay", state="begun", is_effect=True, attempt="aa", arguments={"cents": 500}, result=None)
    await owner.runs.write(run.id, lease=LEASE, steps=[pay])
    with monkeypatch.context() as patch:  # An hour later, another process finds the run without its process.
        patch.setattr(services.data.app_runs, "_clock", lambda: utc_now() + timedelta(hours=1))
        claimed = await owner.runs.claim(run.id, OTHER_LEASE)
    assert claimed.steps[0].state == "in_doubt"
    await owner.runs.write(run.id, lease=OTHER_LEASE, end={"state": "waiting", "waits_for": "in_doubt:s0"})
    assert "An effect is in doubt" in (await ann.get("/console/approvals")).text
    page = (await ann.get(f"/console/runs/{run.id}")).text
    assert "Did pay happen (step 0)?" in page
    assert "&#34;cents&#34;: 500" in page
    fields = {"step": "s0", "happened": "yes", "result": "paid"}
    assert "The journal records it" in await send(ann, f"/runs/{run.id}/resolve", **fields)
    resolved = await owner.runs.get(run.id)
    assert (resolved.state, resolved.steps[0].state, resolved.steps[0].result) == ("ready", "done", "paid")
    await owner.runs.cancel(run.id)


async def test_a_question_is_taken_over_answered_and_part_of_the_conversation(
    ann: httpx.AsyncClient, owner: AsyncClient
) -> None:
    session = await owner.sessions.open("shop", HOSTILE[:40])
    asked = await owner.handoffs.create(
        app="shop", key="q1", question=f"Repair? {HOSTILE}", session=session.id, messages=[question("Hello"), answer()]
    )
    assert "1 questions wait for a person" in (await ann.get("/console/handoffs")).text
    page = (await ann.get(f"/console/handoffs/{asked.id}")).text
    assert "<img" not in page
    assert "On its way." in page
    assert "You look after it now" in await send(ann, f"/handoffs/{asked.id}/take")
    assert "The conversation has your answer" in await send(ann, f"/handoffs/{asked.id}/answer", text="Yes, we do.")
    conversation = (await ann.get(f"/console/runs/sessions/{session.id}")).text
    assert "Yes, we do." in conversation
    assert "<img" not in conversation
    assert "answered" in await send(ann, f"/handoffs/{asked.id}/close", reason="late")
    other = await owner.handoffs.create(app="shop", key="q2", question="Still?")
    assert "It is closed." in await send(ann, f"/handoffs/{other.id}/close", reason="By telephone.")
    assert "By telephone." in (await ann.get(f"/console/handoffs/{other.id}")).text


async def test_another_project_sees_none_of_it(app: FastAPI, services: Services, owner: AsyncClient) -> None:
    run = await begin(owner)
    asked = await owner.handoffs.create(app="shop", key="q3", question="Secret?")
    services.projects.create("rival")
    services.users.create("rita", role="developer", project="rival", password=PASSWORD)
    async with browser_of(app) as browser:
        await sign_in(browser, "rita")
        for path in ("/apps", "/runs", "/approvals", "/handoffs", "/prompts"):
            page = (await browser.get(f"/console{path}")).text
            assert run.id not in page
            assert "Secret?" not in page
        for path in (f"/runs/{run.id}", f"/handoffs/{asked.id}"):
            assert (await browser.get(f"/console{path}")).status_code == 404
        await send(browser, f"/runs/{run.id}/cancel")
    assert (await owner.runs.get(run.id)).state == "running"
    await owner.runs.cancel(run.id)
