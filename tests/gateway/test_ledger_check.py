"""The ledger against its sums, its receipts and its reversals; and receipts that a killed server couldn't make."""

from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import delete, update

from llmos.billing.refused import RefusedEntries
from llmos.billing.tables import UsageRow
from llmos.core.database import Database
from llmos.core.errors import BadRequest, StoreFailed
from llmos.core.schemas.ledger_verification import LedgerVerification
from llmos.gateway.ledger_check import LedgerCheck
from llmos.gateway.receipt_recovery import ReceiptRecovery
from llmos.gateway.services import Services
from llmos.security.receipts.tables import ReceiptRow
from support.databases import KINDS
from support.ledger import entry
from support.scripted import FakePool

pytestmark = pytest.mark.anyio

CHAT = {"model": "dialogue", "messages": [{"role": "user", "content": "Hi"}]}
PATH = "/v1/chat/completions"


@pytest.fixture(scope="module", params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
async def answers(http: httpx.AsyncClient, services: Services, pool: FakePool, database: Database) -> list[str]:
    """The ids of some answers: plain, streamed, vectors, scores, and one that failed and cost nothing."""
    pool.enqueue("Half an ", StoreFailed("It died."))
    calls = [
        (PATH, CHAT),
        (PATH, CHAT),
        (PATH, CHAT | {"stream": True, "n": 2}),
        ("/v1/embeddings", {"model": "minilm", "input": ["12345"]}),
        ("/llmos/v1/likelihood", {"model": "dialogue", "prompt": "hello", "continuations": ["abc"]}),
    ]
    replies = [await http.post(path, json=body) for path, body in calls]
    services.billing.ledger_writer.flush()
    services.answer_sink.flush()
    with database.transaction() as session:  # As if there were older ones, too.
        session.execute(update(ReceiptRow).values(at=ReceiptRow.at - 10))
    return [reply.headers["x-llmos-receipt"].split("/")[4] for reply in replies[1:]]


def check(services: Services, database: Database) -> LedgerVerification:
    folder = services.settings.ledger_spill_path
    return LedgerCheck(database, services.receipts, folder).run(grace_seconds=0)


def problems(services: Services, database: Database) -> list[tuple[str, str]]:
    return [(each.kind, each.id) for each in check(services, database).problems]


async def test_what_the_server_wrote_is_sound(answers: list[str], services: Services, database: Database) -> None:
    found = check(services, database)
    assert (found.is_sound, found.num_problems, found.num_entries, found.num_receipts) == (True, 0, 4, 4)
    receipt = services.receipts.get(answers[1])
    assert receipt.metered["output_tokens"] == 6
    assert not receipt.is_recovered
    services.billing.ledger.reverse(answers[0], note="It was empty.")
    assert check(services, database).is_sound


async def test_each_kind_of_difference_is_found(answers: list[str], services: Services, database: Database) -> None:
    missing, different, *_ = answers
    receipt = services.receipts.get(different)
    with database.transaction() as session:
        session.execute(delete(ReceiptRow).where(ReceiptRow.id.in_([missing, different])))
        session.execute(
            update(UsageRow).where(UsageRow.dimension == "model", UsageRow.period == 3600).values(num_calls=9)
        )
    metered = receipt.metered | {"output_tokens": 1}
    services.receipts.add([receipt.raw | {"metered": metered}, receipt.raw | {"id": "chatcmpl-made-up"}])
    RefusedEntries(services.settings.ledger_spill_path).add(entry("refused"), "It is too large.")
    found = problems(services, database)
    assert {each for each in found if each[0] != "sums"} == {
        ("receipt_missing", missing),
        ("receipt_differs", different),
        ("entry_missing", "chatcmpl-made-up"),
        ("refused", "refused.0"),
    }
    assert sum(kind == "sums" for kind, _ in found) == 2


async def test_it_is_verified_over_http(answers: list[str], http: httpx.AsyncClient) -> None:
    found = (await http.post("/llmos/v1/ledger/verify", json={})).json()
    assert (found["is_sound"], found["num_entries"], found["num_receipts"]) == (True, 4, 4)
    reply = await http.post("/llmos/v1/ledger/verify", json={"from": "2026-11-02", "to": "2026-11-01"})
    assert (reply.status_code, "ends before it begins" in reply.text) == (400, True)


async def test_a_lost_receipt_is_made_from_the_ledger(
    answers: list[str], services: Services, database: Database
) -> None:
    lost = answers[:2]
    before = services.receipts.get(lost[1])
    with database.transaction() as session:
        session.execute(delete(ReceiptRow).where(ReceiptRow.id.in_(lost)))
    recovery = ReceiptRecovery(database, services.receipts)
    assert recovery.run() == 0, "their server may be about to make them"
    assert recovery.run(grace_seconds=0) == 2
    assert recovery.run(grace_seconds=0) == 0
    made = services.receipts.get(lost[1])
    assert (made.is_recovered, made.metered, made.input["sha256"]) == (True, before.metered, None)
    assert (made.project, made.version, made.outcome) == (before.project, before.version, before.outcome)
    assert check(services, database).is_sound


async def test_receipts_wait_for_a_database_that_fails(
    http: httpx.AsyncClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise StoreFailed("The server has gone.")

    with monkeypatch.context() as patched:
        patched.setattr(services.receipts, "sign", fail)
        reply = await http.post(PATH, json=CHAT)
        services.answer_sink.flush()
    services.answer_sink.close()
    assert services.receipts.get(reply.json()["id"]).metered["output_tokens"] == 3


async def test_a_time_that_ends_before_it_begins_is_refused(services: Services, database: Database) -> None:
    now = datetime(2026, 9, 21, tzinfo=UTC)
    with pytest.raises(BadRequest, match="ends before it begins"):
        LedgerCheck(database, services.receipts, services.settings.ledger_spill_path).run(now, now)
