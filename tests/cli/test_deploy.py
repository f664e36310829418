"""llmos deploy and its like, without a server: what is wanted is in the database."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.queries import ensure_model
from llmos.models.tables import VersionFileRow, VersionRow

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def tiny(home: Path) -> None:
    """A model on record: what is in its files is beside the point here."""
    registry = open_registry(load_settings())
    with registry.database.transaction() as session:
        ensure_model(session, "tiny", NOON)
        file = VersionFileRow(name="model.gguf", digest=f"sha256:{1:064}", size=1)
        session.add(
            VersionRow(
                model="tiny", number=1, digest=f"sha256:{1:064}", created_at=NOON, source="import:/nowhere",
                format="gguf", family="llama", quantization="Q4_1", parameters=1, sampling={}, files=[file],
            )
        )  # fmt: skip
    registry.database.close()


@pytest.mark.process
def test_a_model_is_deployed_and_what_is_wanted_of_it_is_said(cli: Any) -> None:
    outcome = cli("deploy", "tiny", "--min", "0", "--max", "3", "--idle", "60", "--route", "chat")
    assert (outcome.status, outcome.out) == (0, "tiny@1 is deployed: 0 to 3 replicas.\nchat → tiny@1\n")
    assert "llmos serve" in outcome.err, "no server runs here"
    [listed] = json.loads(cli("deployment", "list", "--json").out)
    assert (listed["version"], listed["min_replicas"], listed["max_replicas"]) == ("tiny@1", 0, 3)
    assert (listed["idle_seconds"], listed["asleep"]) == (60, True)
    assert "tiny@1" in cli("deployment", "list").out
    assert json.loads(cli("route", "list", "--json").out)


@pytest.mark.process
def test_it_is_scaled_put_to_sleep_woken_and_undeployed(cli: Any) -> None:
    assert cli("deploy", "tiny", "--replicas", "2", "--option", "threads=1").out == "tiny@1 is deployed: 2 replicas.\n"
    assert cli("scale", "tiny", "--replicas", "1").out == "tiny@1 is scaled to 1 replica.\n"
    assert cli("sleep", "tiny").out == "tiny@1 sleeps.\n"
    assert json.loads(cli("wake", "tiny", "--json").out)["wanted"]["options"] == {"threads": 1}
    assert cli("undeploy", "tiny@1").out == "tiny@1 is not deployed any more.\n"
    history = json.loads(cli("deployment", "history", "tiny@1", "--json").out)
    assert [event["kind"] for event in history] == ["deployed", "changed", "slept", "woken", "removed"]
    assert "max_replicas" in cli("deployment", "history", "tiny@1").out
    assert "Nothing is deployed" in cli("deployment", "list").err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["deploy", "nobody"], "There is no model 'nobody'"),
        (["deploy", "tiny@7"], "It has tiny@1"),
        (["deploy", "tiny", "--min", "3", "--max", "2"], "min_replicas 3 is more than max_replicas 2"),
        (["deploy", "tiny", "--replicas", "2", "--max", "2"], "not both"),
        (["deploy", "tiny", "--option", "threds=1"], "threads"),
        (["deploy", "tiny", "--option", "threads"], "NAME=VALUE"),
        (["deploy", "tiny", "--keep-warm", "--idle", "5"], "leave one of them out"),
        (["scale", "tiny", "--replicas", "2"], "llmos deploy tiny"),
        (["deploy", "tiny", "--route", "no name"], "'no name' is not a valid name for a route"),
        (["scale", "tiny"], "--replicas N"),
        (["sleep", "tiny"], "tiny isn't deployed"),
        (["undeploy", "tiny"], "tiny isn't deployed"),
        (["deployment", "history", "tiny"], "tiny isn't deployed"),
    ],
)
def test_what_can_not_be_is_one_line_and_status_2_and_nothing_is_deployed(
    cli: Any, arguments: list[str], says: str
) -> None:
    outcome = cli(*arguments)
    assert outcome.status == 2
    assert says in outcome.err
    assert outcome.err.count("\n") == 1
    assert json.loads(cli("deployment", "list", "--json").out) == []


@pytest.mark.process
def test_a_deployed_version_can_not_be_removed(cli: Any) -> None:
    cli("deploy", "tiny")
    for name in ("tiny", "tiny@1"):
        outcome = cli("rm", name)
        assert (outcome.status, "llmos undeploy tiny@1" in outcome.err) == (2, True)
    cli("undeploy", "tiny")
    assert cli("rm", "tiny").status == 0
