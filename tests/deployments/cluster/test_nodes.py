"""Nodes: who may join with a token, and who is a member. Runs on both kinds of database."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from llmos.core.errors import BadRequest, Conflict, NotFound, PermissionDenied
from llmos.deployments.cluster.nodes import Candidate, Nodes

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
ADA = Candidate(name="ada", key_digest="a" * 64, address="10.0.0.2")


class Clock:
    now = NOON

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def nodes(database, clock):
    return Nodes(database, clock=clock)


def test_a_token_makes_one_machine_a_member(nodes):
    token = nodes.make_token()
    nodes.admit(token.id, token.secret, ADA)
    assert [(each.name, each.address, each.joined_at) for each in nodes.list()] == [("ada", "10.0.0.2", NOON)]
    nodes.check("ada", ADA.key_digest)


def test_a_token_is_for_one_node(nodes):
    token = nodes.make_token()
    nodes.admit(token.id, token.secret, ADA)
    with pytest.raises(PermissionDenied, match="was used"):
        nodes.admit(token.id, token.secret, replace(ADA, name="bob", key_digest="b" * 64))
    assert [each.name for each in nodes.list()] == ["ada"]


def test_the_same_machine_may_ask_again_because_the_answer_may_have_been_lost(nodes):
    token = nodes.make_token()
    for _ in range(2):
        nodes.admit(token.id, token.secret, ADA)
    with pytest.raises(PermissionDenied, match="was used"):
        nodes.admit(token.id, token.secret, replace(ADA, key_digest="b" * 64))


def test_a_token_dies_after_its_minutes(nodes, clock):
    token = nodes.make_token(minutes=15)
    clock.now = NOON + timedelta(minutes=15)
    with pytest.raises(PermissionDenied, match="valid until 12:15:00 UTC, and it is 12:15:00"):
        nodes.admit(token.id, token.secret, ADA)


@pytest.mark.parametrize("minutes", [0, -1, 1441])
def test_a_token_lives_minutes_and_at_most_a_day(nodes, minutes):
    with pytest.raises(BadRequest, match="1 to 1,440 minutes"):
        nodes.make_token(minutes)


def test_a_wrong_secret_and_an_unknown_token_get_the_same_answer(nodes):
    token = nodes.make_token()
    answers = set()
    for id, secret in ((token.id, "guessed"), ("00000000", token.secret), (token.id, "")):
        with pytest.raises(PermissionDenied) as error:
            nodes.admit(id, secret, ADA)
        answers.add(error.value.message)
    assert len(answers) == 1
    assert not nodes.list()


def test_a_name_that_is_taken_leaves_the_token_unused(nodes):
    first, second = nodes.make_token(), nodes.make_token()
    nodes.admit(first.id, first.secret, ADA)
    other = replace(ADA, key_digest="b" * 64)
    with pytest.raises(Conflict, match="llmos cluster leave ada"):
        nodes.admit(second.id, second.secret, other)
    nodes.admit(second.id, second.secret, replace(other, name="bob"))


def test_a_node_that_has_left_is_no_member_and_its_name_is_free(nodes):
    for key in ("a", "b"):
        token = nodes.make_token()
        nodes.admit(token.id, token.secret, replace(ADA, key_digest=key * 64))
        nodes.remove("ada")
    with pytest.raises(PermissionDenied, match="has left the cluster"):
        nodes.check("ada", ADA.key_digest)
    with pytest.raises(NotFound, match="There is no node ada"):
        nodes.remove("ada")


def test_a_member_is_known_by_its_key(nodes):
    token = nodes.make_token()
    nodes.admit(token.id, token.secret, ADA)
    with pytest.raises(PermissionDenied):
        nodes.check("ada", "b" * 64)


def test_a_token_that_many_machines_use_at_once_admits_one(nodes):
    token, admitted, barrier = nodes.make_token(), [], threading.Barrier(4)

    def try_to_join(name):
        barrier.wait()
        try:
            nodes.admit(token.id, token.secret, replace(ADA, name=name, key_digest=name * 64))
        except PermissionDenied:
            return
        admitted.append(name)

    threads = [threading.Thread(target=try_to_join, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1
    assert [each.name for each in nodes.list()] == admitted


def test_tokens_that_died_long_ago_are_forgotten(nodes, clock, database):
    old = nodes.make_token()
    clock.now = NOON + timedelta(days=2)
    nodes.make_token()
    with pytest.raises(PermissionDenied, match="isn't one of this cluster"):
        nodes.admit(old.id, old.secret, ADA)
