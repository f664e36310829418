"""Exporters: what they are, what is kept of them, and what can't be one."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import text

from llmos.billing.exporters import queries
from llmos.billing.exporters.batches import ExportBatches
from llmos.billing.exporters.events import FORMATS
from llmos.billing.exporters.exporters import MAX_EXPORTERS, Exporters, NewExporter
from llmos.billing.exporters.lag import ExporterLags
from llmos.billing.ledger import Ledger
from llmos.core.database import Database
from llmos.core.errors import BadRequest, Conflict, NotFound
from support.ledger import AT, entry
from support.turned_clock import Clock


def add(exporters: Exporters, name: str = "meter", **fields: Any) -> Any:
    given = {"kind": "openmeter", "url": "https://openmeter.example.com"} | fields
    return exporters.add(NewExporter(name=name, **given))


def test_a_key_is_kept_encrypted_and_never_shown(
    exporters: Exporters, batches: ExportBatches, database: Database, ledger: Ledger
) -> None:
    added = add(exporters, key="om-secret-key")
    assert (added.has_key, added.state, added.type, added.subject) == (True, "running", "llmos.usage", "project")
    with database.session() as session:
        (row,) = session.execute(text("SELECT * FROM exporters")).all()
        assert all(b"om-secret" not in (each if isinstance(each, bytes) else str(each).encode()) for each in row)
    assert "om-secret" not in str(exporters.get("meter").raw)
    ledger.add([entry("answer-1")])
    (id,) = batches.due()
    claim = batches.claim(id)
    assert claim is not None
    assert claim.channel.key == "om-secret-key"
    assert "om-secret" not in repr(claim)


def test_somebody_who_changes_the_url_in_the_database_gets_no_key(
    exporters: Exporters, batches: ExportBatches, database: Database, ledger: Ledger
) -> None:
    add(exporters, key="om-secret-key")
    with database.transaction() as session:
        session.execute(text("UPDATE exporters SET url = 'https://elsewhere.example.com'"))
    ledger.add([entry("answer-1")])
    (id,) = batches.due()
    assert batches.claim(id) is None
    found = exporters.get("meter")
    assert (found.state, "can't be read" in found.error) == ("waiting", True)


@pytest.mark.parametrize("database_kind", ["sqlite"])
@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"kind": "openmetre"}, "Did you mean openmeter"),
        ({"subject": "team"}, "project, key, user"),
        ({"url": "http://openmeter.example.com"}, "unencrypted"),
        ({"url": "https://user:pw@openmeter.example.com"}, "Give the key separately"),
        ({"url": "https://openmeter.example.com?x=1"}, r"without \? and #"),
        ({"key": "two words"}, "HTTP header"),
        ({"key": ""}, "HTTP header"),
        ({"type": "two words"}, "`type` takes"),
        ({"source": "é"}, "`source` takes"),
        ({"name": "a b"}, "an exporter"),
    ],
)
def test_what_can_not_be_an_exporter_is_refused(exporters: Exporters, fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadRequest, match=complaint):
        add(exporters, **fields)


def test_names_are_taken_once_and_numbers_are_limited(exporters: Exporters) -> None:
    add(exporters)
    with pytest.raises(Conflict, match="already"):
        add(exporters)
    for number in range(1, MAX_EXPORTERS):
        add(exporters, f"meter{number}")
    with pytest.raises(Conflict, match="the maximum"):
        add(exporters, "another")
    with pytest.raises(NotFound, match="Did you mean meter"):
        exporters.get("meterr")
    exporters.remove("meter")
    with pytest.raises(NotFound):
        exporters.pause("meter")


def test_the_path_of_a_service_is_added_once() -> None:
    for given in ("https://m.example.com", "https://m.example.com/", "https://m.example.com/api/v1/events"):
        assert FORMATS["openmeter"].url(given) == "https://m.example.com/api/v1/events"
    assert FORMATS["cloudevents"].url("https://m.example.com/in?x=1") == "https://m.example.com/in?x=1"


def test_entries_from_now_on_are_sent_or_those_since_a_time(exporters: Exporters, ledger: Ledger) -> None:
    ledger.add([entry("answer-1"), entry("answer-2", at=AT + 10), entry("answer-3", at=AT + 20)])
    assert add(exporters, "now").num_pending == 0
    since = add(exporters, "since", start=datetime.fromtimestamp(AT + 10, UTC))
    assert since.num_pending == 2
    assert since.oldest_pending_at == datetime.fromtimestamp(AT + 10, UTC)
    assert add(exporters, "later", start=datetime.fromtimestamp(AT + 30, UTC)).num_pending == 0
    assert [each.name for each in exporters.list()] == ["later", "now", "since"]


def test_a_paused_exporter_sends_nothing(exporters: Exporters, batches: ExportBatches, ledger: Ledger) -> None:
    add(exporters)
    ledger.add([entry("answer-1")])
    (id,) = batches.due()
    assert exporters.pause("meter").state == "paused"
    assert batches.due() == []
    assert batches.claim(id) is None
    assert exporters.resume("meter").state == "running"
    assert batches.due() == [id]


def test_the_lag_is_the_age_of_what_waits(
    exporters: Exporters, ledger: Ledger, database: Database, clock: Clock
) -> None:
    lags = ExporterLags(database, clock=clock)
    assert lags.read() == {}
    add(exporters)
    assert lags.read()["meter"].seconds == 0
    ledger.add([entry("answer-1", at=int(clock().timestamp()) - 60)])
    assert (lags.read()["meter"].seconds, lags.read()["meter"].num_pending) == (60, 1)


def test_keys_that_are_lost_are_discarded(exporters: Exporters, database: Database) -> None:
    add(exporters, key="om-secret-key")
    with database.transaction() as session:
        queries.discard_keys(session)
    found = exporters.get("meter")
    assert (found.has_key, found.state) == (False, "paused")
    assert "key is lost" in found.error
