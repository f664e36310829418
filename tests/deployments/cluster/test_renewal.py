"""Certificates that end: a node's is renewed over its old one, the head's by itself; one that has ended says so."""

import ssl
from datetime import timedelta

import pytest

from llmos.core.clock import utc_now
from llmos.core.errors import PermissionDenied
from llmos.deployments.cluster.authority import (
    HEAD_NAME,
    client_context,
    is_issued_by,
    make_authority,
    make_request,
    open_authority,
)
from llmos.deployments.cluster.joining import connect, read_membership
from llmos.deployments.cluster.messages import Refused, Renew
from llmos.deployments.cluster.node_renewal import renew_node
from llmos.deployments.cluster.renewal import expires_at, renew_head
from support.looking import pause


def days_ago(days):
    return lambda: utc_now() - timedelta(days=days)


def age(cluster, folder, days):
    """Give a node the certificate that it had if it joined so many days ago."""
    request = make_request(folder / "node.key", "ada")
    (folder / "node.pem").write_text(
        open_authority(cluster.folder / "cluster").sign_node(request, "ada", clock=days_ago(days))
    )


def test_a_node_renews_its_certificate_long_before_it_ends_and_uses_the_new_one(run_with):
    async def test(cluster):
        node = await cluster.join("ada")
        await node.end()
        age(cluster, node.folder, 300)
        node = await cluster.start("ada")
        while "The certificate of this node was renewed." not in node.said:
            await pause()
        assert expires_at(node.folder, "node") > utc_now() + timedelta(days=360)
        cluster.head.nodes["ada"].close()
        await cluster.until(lambda: "ada" not in cluster.head.nodes)
        await cluster.until(lambda: "ada" in cluster.head.nodes)
        shown = cluster.head.nodes["ada"]._link.peer_certificate
        assert shown == ssl.PEM_cert_to_DER_cert((node.folder / "node.pem").read_text())

    run_with(test)


def test_a_certificate_that_is_good_for_long_stays(run_with):
    async def test(cluster):
        node = await cluster.join("ada")
        await node.end()
        age(cluster, node.folder, 200)
        before = (node.folder / "node.pem").read_bytes()
        membership = read_membership(node.folder)
        assert not await renew_node(node.folder, membership, [client_context(node.folder, "node")], clock=utc_now)
        assert (node.folder / "node.pem").read_bytes() == before

    run_with(test)


def test_a_node_whose_certificate_has_ended_says_since_when_and_what_to_do(run_with):
    async def test(cluster):
        node = await cluster.join("ada")
        await node.end()
        age(cluster, node.folder, 400)
        node = await cluster.start("ada")
        with pytest.raises(PermissionDenied, match=r"has ended on 20\d\d-\d\d-\d\d.*llmos cluster leave.*join again"):
            await node.running

    run_with(test)


@pytest.mark.parametrize(("key", "says"), [("other.key", "for the key that it has"), ("node.key", "has left")])
def test_another_key_and_a_node_that_has_left_get_no_certificate(run_with, key, says):
    async def test(cluster):
        node = await cluster.join("ada")
        if key == "node.key":
            await node.end()
            cluster.nodes.remove("ada")
        link = await connect(cluster.address, client_context(node.folder, "node"))
        link.send(Renew(make_request(node.folder / key, "ada")))
        reply = await link.receive()
        assert isinstance(reply, Refused)
        assert says in reply.message
        link.close()

    run_with(test)


def test_the_head_renews_its_own_certificate_and_nodes_know_it_still(tmp_path):
    make_authority(tmp_path, clock=days_ago(300))
    key = (tmp_path / "head.key").read_bytes()
    authority = open_authority(tmp_path)
    assert renew_head(tmp_path, clock=utc_now)
    assert not renew_head(tmp_path, clock=utc_now)
    assert expires_at(tmp_path, "head") > utc_now() + timedelta(days=360)
    assert (tmp_path / "head.key").read_bytes() == key
    shown = ssl.PEM_cert_to_DER_cert((tmp_path / "head.pem").read_text())
    assert is_issued_by(shown, authority.certificate, HEAD_NAME)
