"""Pages of evals as a browser without scripts gets them: runs, intervals, gates, failing cases, comparisons."""

import asyncio
import re

import httpx
import pytest

from llmos.console.intervals import WIDTH, drawn_interval
from llmos.data.evals import NewEvalRun
from llmos.data.evals.executing import execute
from llmos.gateway.services import Services
from llmos.security.permissions import OWNER
from support.chromium import HOSTILE
from support.console import send
from support.evals import ScriptedAsker, suite_of

pytestmark = pytest.mark.anyio

SUITE = """
name: capitals
gates: {pass_rate: 0.5}
cases:
  - {id: france, input: "The capital of France?", expect: {contains: Paris}}
  - {id: spain, input: "The capital of Spain?", expect: {contains: Madrid}}
"""


def keep(services: Services, *, answer: str, model: str = "dialogue") -> str:
    """Keep a run that has finished, in which a model says the same to every case. Returns its id."""
    services.encryption.start()
    id = services.data.evals.begin(OWNER, NewEvalRun(suite=suite_of(SUITE), models=[model], num_repeats=1)).id
    asker = ScriptedAsker(lambda prompt, _: answer)
    asyncio.run(execute(services.data.evals, services.data.evals.open(OWNER, id), asker, num_in_flight=1))
    return id


@pytest.fixture(scope="module")
def runs(services: Services) -> tuple[str, str]:
    """A run in which one case passes, and a newer one in which both do."""
    return keep(services, answer=f"Paris. {HOSTILE}"), keep(services, answer="Paris, and Madrid.")


async def test_runs_are_listed_with_what_came_of_them(ann: httpx.AsyncClient, runs: tuple[str, str]) -> None:
    page = (await ann.get("/console/evals?suite=capitals")).text
    assert re.findall(r'href="/console/evals/(eval-\w+)"', page) == [*reversed(runs)]
    assert "1/2 (" in page
    assert "llmos eval list" in page
    assert "capitals" not in (await ann.get("/console/evals?suite=others")).text.partition("<form")[0]


async def test_a_run_shows_intervals_gates_and_the_cases_that_fail_first(
    ann: httpx.AsyncClient, runs: tuple[str, str]
) -> None:
    page = (await ann.get(f"/console/evals/{runs[0]}")).text
    assert page.count('class="interval"') == 1
    assert "pass_rate" in page
    assert re.findall(r"/case\?case=(\w+)&amp;model=dialogue", page) == ["spain", "france"]
    csv = (await ann.get(f"/console/evals/{runs[0]}?csv=cases")).text
    assert csv.splitlines()[1].startswith("spain,dialogue,failed,0/1,")


async def test_a_case_shows_each_check_and_foreign_texts_are_only_texts(
    ann: httpx.AsyncClient, runs: tuple[str, str]
) -> None:
    page = (await ann.get(f"/console/evals/{runs[0]}/case?case=spain&model=dialogue")).text
    assert "Madrid" in page
    assert "onerror" in page
    assert "<img" not in page
    missing = await ann.get(f"/console/evals/{runs[0]}/case?case=atlantis")
    assert (missing.status_code, "There is no case atlantis" in missing.text) == (404, True)


async def test_two_runs_are_compared_case_by_case(ann: httpx.AsyncClient, runs: tuple[str, str]) -> None:
    page = (await ann.get(f"/console/evals/{runs[1]}?to={runs[0]}")).text
    assert re.search(r"<b>1</b><span>only the first passes", page)
    assert f"llmos eval compare {runs[1]} {runs[0]}" in page


async def test_what_cannot_be_asked_is_said_on_the_page(ann: httpx.AsyncClient) -> None:
    assert "There is nothing to ask" in await send(ann, "/evals/run", model="dialogue")
    assert "isn&#39;t an object" in await send(ann, "/evals/run", suite="- a list", model="dialogue")
    page = await send(ann, "/evals/run", suite=SUITE, model="nothing-here")
    assert "nothing-here" in page
    assert 'class="notice failed"' in page


async def test_a_run_is_removed(ann: httpx.AsyncClient, services: Services) -> None:
    id = await asyncio.to_thread(keep, services, answer="Rome.")
    assert f"{id} is removed." in await send(ann, f"/evals/{id}/remove")
    assert (await ann.get(f"/console/evals/{id}")).status_code == 404


def test_an_interval_without_a_width_is_still_seen_within_the_drawing() -> None:
    assert drawn_interval(1.0, 1.0, 1.0).x < WIDTH
    drawn = drawn_interval(0.0, 0.0, 0.0, 0.5)
    assert (drawn.x, drawn.width > 0, drawn.baseline) == (0.0, True, WIDTH / 2)
