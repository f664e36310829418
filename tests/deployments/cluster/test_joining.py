"""Joining: which machines get a certificate, and what the others are told."""

import asyncio
import hashlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest

from llmos.core.errors import BadRequest, Conflict, ConnectionFailed, PermissionDenied
from llmos.deployments.cluster import authority, joining
from llmos.deployments.cluster.authority import NODE_SUFFIX
from llmos.deployments.cluster.joining import JoinToken, connect, join, parse_head, read_membership
from llmos.deployments.cluster.link import Link, LinkClosed
from llmos.deployments.cluster.messages import (
    AskAuthority,
    BlobChunk,
    BlobSize,
    FetchBlob,
    Refused,
    Register,
    ToNode,
    Versions,
)
from llmos.deployments.cluster.versions import own_facts, own_versions


def test_a_token_gets_a_certificate_and_the_node_remembers_its_head(run_with, tmp_path):
    async def test(cluster):
        folder = tmp_path / "ada"
        membership = await join(folder, cluster.address, cluster.token(), "ada")
        assert membership == read_membership(folder)
        assert (membership.name, membership.host, membership.port) == ("ada", *cluster.address)
        assert (folder / "node.key").stat().st_mode & 0o777 == 0o600
        assert [each.name for each in cluster.nodes.list()] == ["ada"]

    run_with(test)


def test_ten_nodes_join_at_once(run_with, tmp_path):
    async def test(cluster):
        names = [f"node-{number}" for number in range(10)]
        tokens = [cluster.token() for _ in names]
        joins = [join(tmp_path / name, cluster.address, token, name) for token, name in zip(tokens, names, strict=True)]
        await asyncio.gather(*joins)
        assert {each.name for each in cluster.nodes.list()} == set(names)

    run_with(test)


def test_the_secret_is_not_sent_to_another_cluster(run_with, tmp_path):
    async def test(cluster):
        token = cluster.token()
        foreign = JoinToken(token.id, token.secret, "0" * 64)
        with pytest.raises(PermissionDenied, match="of another cluster"):
            await join(tmp_path / "ada", cluster.address, foreign, "ada")
        await join(tmp_path / "ada", cluster.address, token, "ada")  # Nobody has used it.

    run_with(test)


def test_a_used_token_is_refused_with_the_next_command(run_with, tmp_path):
    async def test(cluster):
        token = cluster.token()
        await join(tmp_path / "ada", cluster.address, token, "ada")
        with pytest.raises(PermissionDenied, match=r"was used.*llmos cluster token"):
            await join(tmp_path / "bob", cluster.address, token, "bob")
        await join(tmp_path / "ada", cluster.address, token, "ada")  # The same machine, whose answer was lost.

    run_with(test)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"llmos": "9.9.9"}, r"LLMOS .* at the head and 9\.9\.9 on the node"),
        ({"python": "3.99"}, r"Python 3\.\d+ at the head and 3\.99 on the node"),
        ({"kernels": 99}, r"kernels of layout \d+ at the head and 99 on the node"),
    ],
)
def test_other_versions_are_refused_with_both_named(run_with, tmp_path, monkeypatch, changes, message):
    ours = own_versions()
    theirs = Versions(**{name: getattr(ours, name) for name in ("llmos", "python", "kernels")} | changes)
    monkeypatch.setattr(joining, "own_versions", lambda: theirs)

    async def test(cluster):
        with pytest.raises(Conflict, match=message):
            await join(tmp_path / "ada", cluster.address, cluster.token(), "ada")
        assert not cluster.nodes.list()

    run_with(test)


@pytest.mark.parametrize(("hours", "which"), [(1, "ahead"), (-1, "behind")])
def test_another_clock_is_refused(run_with, tmp_path, hours, which):
    async def test(cluster):
        def clock():
            return datetime.now(UTC) + timedelta(hours=hours)

        with pytest.raises(Conflict, match=rf"clock is 3,\d+ seconds {which}"):
            await join(tmp_path / "ada", cluster.address, cluster.token(), "ada", clock=clock)

    run_with(test)


@pytest.mark.parametrize("name", ["", "Ada", "a_b", "-a", "a-", "nodes", "a" * 49, "a=b"])
def test_names_that_nodes_cannot_have(tmp_path, name):
    with pytest.raises(BadRequest, match="can't be the name of a node"):
        asyncio.run(join(tmp_path, ("127.0.0.1", 1), JoinToken("a", "b", "0" * 64), name))


def test_a_head_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:1 can't be reached.*llmos serve"):
        asyncio.run(join(tmp_path, ("127.0.0.1", 1), JoinToken("a", "b", "0" * 64), "ada"))


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "a.b." + "0" * 63])
def test_a_token_that_was_cut_off(text):
    with pytest.raises(BadRequest, match="token is not complete"):
        JoinToken.parse(text)


def test_a_token_is_read_as_it_is_printed():
    token = JoinToken("1234", "secret", "0" * 64)
    assert JoinToken.parse(f" {token}\n") == token


@pytest.mark.parametrize(
    ("text", "head"),
    [
        ("head", ("head", 8001)),
        ("head:9000", ("head", 9000)),
        ("https://head:9000", ("head", 9000)),
        ("10.0.0.1", ("10.0.0.1", 8001)),
        ("[::1]:9000", ("::1", 9000)),
    ],
)
def test_addresses_of_heads(text, head):
    assert parse_head(text) == head


@pytest.mark.parametrize("text", ["", "head:port", "https://", ":9000"])
def test_what_is_no_address_of_a_head(text):
    with pytest.raises(BadRequest, match="is not the address of a head"):
        parse_head(text)


async def ask(cluster, context, message):
    """Send one message to the head, and return its reply."""
    link = await connect(cluster.address, context)
    link.send(message)
    try:
        return await link.receive()
    finally:
        link.close()
        await link.closed


def registration(**changes):
    fields = {
        "versions": own_versions(),
        "facts": own_facts(),
        "labels": {},
        "blobs_port": 1,
        "digests": [],
        "time": datetime.now(UTC).timestamp(),
    }
    return Register(**fields | changes)


def test_without_a_certificate_nothing_but_joining_is_answered(run_with):
    async def test(cluster):
        for message in (registration(), FetchBlob(f"sha256:{'0' * 64}", 0)):
            reply = await ask(cluster, authority.unverified_context(), message)
            assert isinstance(reply, Refused)
            assert reply.code == "permission_denied"
        assert not cluster.head.nodes

    run_with(test)


def test_a_certificate_of_another_cluster_ends_the_handshake(run_with, tmp_path):
    foreign = tmp_path / "foreign"
    other = authority.make_authority(foreign)
    request = authority.make_request(foreign / "node.key", "ada")
    (foreign / "node.pem").write_text(other.sign_node(request, "ada"))

    async def test(cluster):
        await cluster.join("ada")
        context = authority.client_context(foreign, "node")
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with pytest.raises((LinkClosed, ConnectionFailed, PermissionDenied)):
            await ask(cluster, context, registration())
        with pytest.raises(PermissionDenied, match="not the head that this node has joined"):
            await ask(cluster, authority.client_context(foreign, "node"), registration())

    run_with(test)


def test_a_node_can_not_take_the_place_of_the_head(run_with, tmp_path):
    """Every certificate of the cluster is signed by its authority, and only one of them is the head's."""

    async def test(cluster):
        node = await cluster.join("ada")
        context = authority.client_context(node.folder, "node")
        server = await asyncio.start_server(
            lambda reader, writer: writer.close(),
            "127.0.0.1",
            0,
            ssl=authority.server_context(node.folder, "node", requires_certificate=False),
        )
        with pytest.raises(PermissionDenied, match="not the head that this node has joined"):
            await connect(("127.0.0.1", server.sockets[0].getsockname()[1]), context)
        server.close()
        await server.wait_closed()

    run_with(test)


def test_a_node_that_has_left_is_not_let_in_again(run_with):
    async def test(cluster):
        node = await cluster.join("ada")
        context = authority.client_context(node.folder, "node")
        await node.end()
        cluster.nodes.remove("ada")
        reply = await ask(cluster, context, registration())
        assert isinstance(reply, Refused)
        assert "has left the cluster" in reply.message

    run_with(test)


GARBAGE = pytest.mark.parametrize(
    "garbage", [b"\0" * 100, b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n" * 5, b"\0\0\0\5hello", b"\0\0\0\1\x80"]
)


@GARBAGE
def test_a_hundred_frames_of_garbage_to_the_port_for_files_change_nothing(run_with, garbage):
    async def test(cluster):
        node = await cluster.join("ada")
        context = authority.client_context(node.folder, "node")
        address = "127.0.0.1", cluster.head.nodes["ada"].blobs_port
        for each in (context, None):
            for _ in range(50):
                await send(address, garbage, each, server_hostname=None if each is None else f"ada{NODE_SUFFIX}")
        content = b"a file"
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        path = node.store.blob_path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        link = Link(ToNode)
        await asyncio.get_running_loop().create_connection(
            lambda: link, *address, ssl=context, server_hostname=f"ada{NODE_SUFFIX}"
        )
        link.send(FetchBlob(digest, 0))
        assert [await link.receive(), await link.receive()] == [BlobSize(len(content)), BlobChunk(content)]
        link.close()

    run_with(test)


@GARBAGE
def test_a_hundred_frames_of_garbage_change_nothing(run_with, garbage):
    async def test(cluster):
        await cluster.join("ada")
        for context in (authority.unverified_context(), None):
            for _ in range(50):
                await send(cluster.address, garbage, context)
        reply = await ask(cluster, authority.unverified_context(), AskAuthority())
        assert not isinstance(reply, Refused)
        assert list(cluster.head.nodes) == ["ada"]

    run_with(test)


async def send(address, garbage, context, **options):
    reader, writer = await asyncio.open_connection(*address, ssl=context, **options)
    writer.write(garbage)
    writer.write_eof() if context is None else writer.close()
    try:
        await reader.read()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()
