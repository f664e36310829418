"""The owner's key goes to the owner's server and to no other program."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmos.core.errors import UnknownServer
from llmos.core.server_proof import PROOF_PATH, prove

pytestmark = pytest.mark.usefixtures("no_own_settings")

KEY = "the-key-of-the-owner"


@pytest.fixture(autouse=True)
def owner_key(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "owner").write_text(f"{KEY}\n")


def proof(server: Any, key: str = KEY, port_offset: int = 0) -> Any:
    """The reply of a server that has this key and was reached at this port."""

    def reply(handler: Any) -> None:
        challenge = handler.headers["llmos-challenge"]
        port = handler.server.server_port + port_offset
        server.json({}, llmos_proof=prove(key, challenge, port))(handler)

    return reply


def sent(server: Any) -> Iterator[str]:
    for each in server.received:
        yield from (each.path, str(each.headers), str(each.body))


def test_a_server_that_proves_itself_gets_the_key(connect: Any, server: Any) -> None:
    server.replies(proof(server), server.json({"data": []}))
    connect().models.list()
    asked, listed = server.received
    assert (asked.path, "authorization" in asked.headers) == (PROOF_PATH, False)
    assert listed.headers["authorization"] == f"Bearer {KEY}"


def test_a_stream_is_not_read_ahead(connect: Any, server: Any) -> None:
    server.replies(proof(server), server.json(server.model), proof(server), server.endless)
    with connect().models.get("dialogue").generate_text("Hi", stream=True) as stream:
        assert next(iter(stream)).startswith("more")


@pytest.mark.parametrize("case", ["nothing", "not found", "wrong key", "another port", "an answer to an old challenge"])
def test_any_other_program_gets_nothing_that_is_secret(connect: Any, server: Any, case: str) -> None:
    replies = {
        "nothing": server.json({"data": []}),
        "not found": server.error(404, "not_found"),
        "wrong key": proof(server, key="the-key-of-another-owner"),
        "another port": proof(server, port_offset=1),  # the challenge was passed on to the real server there
        "an answer to an old challenge": server.json({}, llmos_proof=prove(KEY, "0" * 64, 1)),
    }
    server.replies(replies[case])
    with pytest.raises(UnknownServer, match="your key was not sent"):
        connect().models.list()
    assert len(server.received) == 1
    assert not any(KEY in text for text in sent(server))


def test_a_program_that_took_the_port_later_gets_nothing_either(connect: Any, server: Any) -> None:
    client = connect()
    server.replies(proof(server), server.json({"data": []}))
    client.models.list()
    server.received.clear()
    server.replies(server.json({"data": []}))
    with pytest.raises(UnknownServer):
        client.models.list()
    assert not any(KEY in text for text in sent(server))


def test_a_key_that_the_user_chose_is_sent_without_a_question(connect: Any, server: Any) -> None:
    server.replies(server.json({"data": []}))
    connect(api_key="chosen").models.list()
    assert [each.headers["authorization"] for each in server.received] == ["Bearer chosen"]
