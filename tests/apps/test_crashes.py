"""Whatever dies, and wherever: each effect happens once or is in doubt, and the session is valid and goes on."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmos.apps import App, EffectKey, Happened, NotHappened, Run, StepFailed
from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import LLMOSError
from llmos.core.schemas.turns import check_turn
from llmos.data.apps.runs import IN_DOUBT, AppRuns
from llmos.data.apps.sessions import AppSessions
from support import examples as examples_module
from support.apps import MovedClock
from support.crashing import (
    PROJECT,
    Crashed,
    CrashingRuns,
    CrashingServer,
    CrashingSessions,
    PlayedModel,
    Process,
)
from support.databases import Databases
from support.encryption import open_test_encryption
from support.examples import examples

PLAN = [
    [("look_up", {"order": 1}), ("refund", {"order": 1, "cents": 500})],
    [("refund", {"order": 2, "cents": 700}), ("refund", {"order": 1, "cents": 500})],
]
"""The calls of the model. The last refund repeats the first one, which the run has already done."""

_names = count()


class World:
    """The effects outside, which nobody can undo, and an application that has them."""

    def __init__(self, database: Database, encryption: Encryption) -> None:
        self.clock = MovedClock()
        self.sessions = AppSessions(database, encryption, clock=self.clock)
        self.runs = AppRuns(database, encryption, clock=self.clock)
        self.refunds: list[str] = []
        """The keys of the effects that happened."""
        self.session = f"u{next(_names)}"
        self.process = Process()
        self.prompts: list[Any] = []
        self.knows = True
        """The app's reconcile finds out what happened."""

    def start(self, plan: Any = PLAN, **faults: Any) -> App:
        """Start a process of the application."""
        process = self.process = Process(**faults)
        app = App("shop", prompt="Help.")

        @app.tool
        async def look_up(order: int) -> dict[str, int]:
            process.point()
            return {"order": order}

        @app.step(effect=True)
        async def refund(order: int, cents: int, *, key: EffectKey) -> str:
            """Pay money back."""
            process.point()
            self.refunds.append(key)
            await asyncio.sleep(0)
            process.point()
            return f"refunded {cents}"

        if self.knows:

            @refund.reconcile
            async def refunded(order: int, cents: int, *, key: EffectKey) -> Happened | NotHappened:
                process.point()
                return Happened(f"refunded {cents}") if key in self.refunds else NotHappened()

        app.tool(refund)
        model = PlayedModel(plan, process, self.prompts)
        app._replacement = CrashingServer(
            CrashingSessions(self.sessions, process), CrashingRuns(self.runs, process), model
        )
        return app

    def ask(self, app: App) -> Run | None:
        return self._run(lambda: app.arun("Refund both.", session=self.session))

    def resume(self, app: App, run_id: str) -> Run | None:
        return self._run(lambda: app.aresume(run_id))

    def _run(self, work: Callable[[], Any]) -> Run | None:
        """Return the run if the process came to its end."""

        async def main() -> Run | None:
            self.process.task = asyncio.ensure_future(work())
            return await self.process.task

        try:
            return asyncio.run(main())
        except (Crashed, LLMOSError, StepFailed, asyncio.CancelledError, RuntimeError):
            return None
        finally:
            self.clock.pass_seconds(31)

    def abandoned(self) -> list[str]:
        return [run.id for run in self.runs.list(PROJECT, app="shop", abandoned=True)]

    def check(self) -> None:
        """Each effect happened once at most, and the session consists of whole turns."""
        assert len(self.refunds) == len(set(self.refunds))
        for session in self.sessions.list(PROJECT, app="shop"):
            for turn in self.sessions.turns(PROJECT, session.id):
                check_turn(turn.messages)

    def check_goes_on(self) -> None:
        """The next question gets its answer, behind a valid history."""
        self.prompts.clear()
        run = self.ask(self.start([]))
        assert run is not None
        assert run.text == "All is done."
        messages = [message for message in self.prompts[-1].messages if message["role"] != "system"]
        starts = [index for index, message in enumerate(messages) if message["role"] == "user"]
        for first, last in zip(starts, [*starts[1:], None], strict=True):
            if last is not None:
                check_turn(messages[first:last])
        self.check()


@pytest.fixture(scope="module")
def world_in(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Callable[[], World]]:
    folder = tmp_path_factory.mktemp("world")
    with databases.create("sqlite", folder / "database") as url:
        database = Database(url)
        encryption = open_test_encryption(database, Path(folder))

        def make() -> World:
            with database.transaction() as session:
                from llmos.data.apps import queries

                queries.remove_all_of(session, PROJECT)
            return World(database, encryption)

        yield make
        database.close()


def num_points(world: World, plan: Any = PLAN) -> int:
    """Return how many points an undisturbed run has."""
    run = world.ask(world.start(plan))
    assert run is not None
    assert run.text == "All is done."
    assert len(world.refunds) == 2, "the same refund again is the one that was done"
    return world.process.num_points


def points(total: int) -> range:
    """All points, or in the fast run every third."""
    return range(0, total, 3 if examples_module.is_fast else 1)


@pytest.mark.thorough
def test_a_run_that_is_killed_at_any_point_is_finished_by_another_process(world_in: Callable[[], World]) -> None:
    total = num_points(world_in())
    assert total >= 30
    for first in points(total):
        world = world_in()
        world.ask(world.start(crash_at=first))
        world.check()
        for run_id in world.abandoned():
            run = world.resume(world.start(), run_id)
            assert run is not None, first
            assert (run.state, run.text) == ("succeeded", "All is done.")
            assert len(world.refunds) == 2
        world.check_goes_on()


@pytest.mark.process
def test_a_run_that_is_killed_at_any_two_points_does_each_effect_once(world_in: Callable[[], World]) -> None:
    """More than a thousand deaths."""
    total, num_deaths = num_points(world_in()), 0
    for first in range(total):
        for second in range(total):
            world = world_in()
            world.ask(world.start(crash_at=first))
            found = world.abandoned()
            if not found:
                break
            num_deaths += 1
            if world.resume(world.start(crash_at=second), found[0]) is not None:
                break  # It came to its end before that point.
            num_deaths += 1
            world.check()
            if world.abandoned():
                run = world.resume(world.start(), found[0])
                assert run is not None
                assert run.state == "succeeded"
            assert len(world.refunds) == 2, (first, second)
            world.check()
    assert num_deaths > 1000


@pytest.mark.thorough
def test_an_effect_in_doubt_waits_for_a_person_if_nobody_else_knows(world_in: Callable[[], World]) -> None:
    total, num_asked = num_points(world_in()), 0
    for first in points(total):
        world = world_in()
        world.knows = False
        world.ask(world.start(crash_at=first))
        for run_id in world.abandoned():
            run = world.resume(world.start(), run_id)
            assert run is not None
            while run is not None and run.state == "waiting":
                num_asked += 1
                assert run.waits_for is not None
                assert run.waits_with["step"] == "refund"
                step = run.waits_for.removeprefix(IN_DOUBT)
                happened = f"{run_id}:{step}" in world.refunds
                world.runs.resolve(PROJECT, run_id, step, has_happened=happened, result="refunded")
                run = world.resume(world.start(), run_id)
            assert run is not None
            assert run.state == "succeeded"
            assert len(world.refunds) == 2
        world.check_goes_on()
    assert num_asked > 0


CALLS = st.sampled_from(
    [
        ("look_up", {"order": 1}),
        ("look_up", {"order": "none"}),
        ("refund", {"order": 1, "cents": 5}),
        ("refund", {"order": 2, "cents": 5}),
        ("no_such_tool", {}),
    ]
)
PLANS = st.lists(st.lists(CALLS, min_size=1, max_size=3), max_size=3)
FAULTS = st.lists(
    st.tuples(st.sampled_from(["crash_at", "fail_at", "hang_up_at"]), st.integers(0, 60), st.booleans()), max_size=4
)


@pytest.mark.thorough
@settings(max_examples=examples(150))
@given(plan=PLANS, faults=FAULTS)
def test_after_a_crash_an_error_or_a_hang_up_at_any_event_the_history_is_valid_and_goes_on(
    world_in: Callable[[], World], plan: Any, faults: list[tuple[str, int, bool]]
) -> None:
    world = world_in()
    for kind, at, is_resumed in faults:
        found = world.abandoned()
        app = world.start(plan, **{kind: at})
        if found and is_resumed:
            world.resume(app, found[0])
        else:
            world.ask(app)
        world.check()
    world.check_goes_on()
