"""llmos promote, rollback, rollout: what they say, and to what they say no."""

import json
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import replace

from llmos.core.config import load_settings
from llmos.core.schemas.rollouts import RolloutDescription, RolloutEventDescription
from llmos.deployments.routing.routes import Routes
from llmos.models import open_registry
from llmos.models.queries import ensure_model
from llmos.models.tables import VersionRow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def routes(home):
    """With two models, and `chat` that leads to one of them."""
    registry = open_registry(load_settings())
    with registry.database.transaction() as session:
        for number, model in enumerate(("old", "new"), start=1):
            ensure_model(session, model, NOON)
            session.add(
                VersionRow(
                    model=model, number=1, digest=f"sha256:{number:064}", created_at=NOON, source="import:/it",
                    format="gguf", family="llama", quantization="Q4_1", parameters=1, sampling={}, files=[],
                )
            )  # fmt: skip
    routes = Routes(registry)
    routes.set("chat", "old@1", actor="ada")
    yield routes
    registry.database.close()


def test_a_version_is_promoted_listed_and_undone(cli, routes):
    outcome = cli("promote", "new@1", "--route", "chat", "--steps", "5%,100%")
    assert outcome.out == "Rollout 1: new@1 takes over chat in steps of 5 %, 100 %.\n"
    (listed,) = json.loads(cli("rollout", "list", "chat", "--json").out)
    assert (listed["state"], listed["steps"]) == ("starting", [5, 100])
    assert cli("rollback", "chat").out == "chat → old@1 100 %\n"
    assert "rolled back on request" in cli("rollout", "history", "chat").out
    assert "no rollout to undo" in cli("rollback", "chat").err


@pytest.mark.process
@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("promote", "new", "--route", "chat", "--gate", ""), "is not a condition"),
        (("promote", "new", "--route", "chat", "--steps", "some"), "Write them like 5%,25%,100%"),
        (("promote", "new", "--route", "chat", "--cases", "/nowhere"), "in /nowhere can't be read: No such file"),
        (("promote", "new", "--route", "chat", "--cases", "/"), "in / can't be read: Is a directory"),
        (("promote", "new", "--route", "chats"), "Did you mean chat"),
        (("promote", "old", "--route", "chat"), "old@1 already answers all calls to chat"),
        (("rollback", "chat"), "no rollout to undo"),
        (("rollback", "chats"), "Did you mean chat"),
        (("rollout", "list", "chats"), "Did you mean chat"),
        (("rollout", "history", "chats"), "Did you mean chat"),
        (("rollout", "history", "chat"), "has no rollouts"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_what_can(cli, routes, arguments, hint):
    outcome = cli(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert hint in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert cli("rollout", "list").out == ""


def test_cases_that_are_no_text_are_told_so(cli, routes, home):
    cases = home / "cases"
    cases.write_bytes(b"\xff\xfe\x00")
    outcome = cli("promote", "new", "--route", "chat", "--cases", str(cases))
    assert (outcome.status, outcome.err) == (
        2,
        f"Error: {cases} isn't text. Write one JSON object per line, in UTF-8.\n",
    )


def test_a_route_without_a_rollout_says_how_to_begin_one(cli, routes):
    outcome = cli("rollout", "list", "chat")
    assert (outcome.status, outcome.err) == (
        0, "No rollouts yet. To start one: llmos promote MODEL@NUMBER --route chat\n",
    )  # fmt: skip


class FarServer:
    """The control port of a server on another machine, with one rollout, which ends when it is looked at."""

    def __init__(self):
        self.rollouts = self.routes = self
        self.asked = []

    def promote(self, version, route, **settings):
        self.asked.append((version, route, settings["steps"]))
        return replace(self.get(7), state="starting", ended_at=None)

    def get(self, id):
        return RolloutDescription(
            id=id, route="chat", version="new@1", state="finished", percent=100, steps=[100], before={"old@1": 100},
            reason="well", ended_at=NOON,
        )  # fmt: skip

    def list(self, route):
        return [self.get(7)]

    def history(self, id):
        return [RolloutEventDescription(at=NOON, kind="rolled_back", reason="because")]

    def roll_back(self, route):
        return replace(self.get(7), state="rolled_back")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_server_on_another_machine_is_asked(cli, monkeypatch):
    far = FarServer()
    monkeypatch.setattr("llmos.cli.rollouts.open_control", lambda settings: far)
    outcome = cli("promote", "new@1", "--route", "chat", "--steps", "100%", "--watch")
    assert (outcome.status, far.asked) == (0, [("new@1", "chat", [100])])
    assert "rolled back: because" in outcome.err
    (listed,) = json.loads(cli("rollout", "list", "--json").out)
    assert msgspec.convert(listed, RolloutDescription) == far.get(7)
    assert "2026-01-01" in cli("rollout", "history", "chat").out
    assert cli("rollback", "chat").out == "chat → old@1 100 %\n"
