"""Aliases: atomic moves, and a complete history."""

import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checking
from hypothesis import strategies as st

from llmos.core.errors import BadRequest, Conflict, ModelNotFound, NotFound
from llmos.models import open_registry
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from support.examples import examples

pytestmark = pytest.mark.process

MARCH = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def tiny(registry, gguf_path):
    return Transfers(registry).import_path(gguf_path, "tiny")


@pytest.fixture
def second(registry, make_folder, tiny):
    return Transfers(registry).import_path(make_folder(), "tiny")


@pytest.fixture
def dated(registry):
    """Return a function that opens the registry on a day of March."""
    return lambda day: Registry(registry.database, registry.store, clock=lambda: MARCH + timedelta(days=day - 1))


def moves_of(registry, alias="prod"):
    return [(move.was, move.now) for move in registry.aliases.history("tiny", alias)]


def test_an_alias_moves_and_its_history_stays(registry, tiny, second):
    move = registry.aliases.set("tiny", "prod", "tiny@1", actor="ada")
    assert (move.was, move.now, move.actor) == (None, "tiny@1", "ada")
    registry.aliases.set("tiny", "prod", "tiny")
    registry.aliases.set("tiny", "prod", None)
    with pytest.raises(ModelNotFound):
        registry.resolve("tiny:prod")
    assert moves_of(registry) == [(None, "tiny@1"), ("tiny@1", "tiny@2"), ("tiny@2", None)]


def test_an_alias_that_points_there_already_is_not_moved(registry, tiny):
    first = registry.aliases.set("tiny", "prod", "tiny@1")
    assert registry.aliases.set("tiny", "prod", "tiny") == first
    assert moves_of(registry) == [(None, "tiny@1")]


def test_the_history_outlives_the_model(registry, tiny):
    registry.aliases.set("tiny", "prod", "tiny@1")
    registry.remove("tiny")
    assert moves_of(registry) == [(None, "tiny@1"), ("tiny@1", None)]


def test_the_aliases_of_a_model_are_listed_with_their_last_move(registry, tiny, second):
    registry.aliases.set("tiny", "prod", "tiny@1")
    registry.aliases.set("tiny", "next", "tiny@2")
    registry.aliases.set("tiny", "gone", "tiny@2")
    registry.aliases.set("tiny", "gone", None)
    assert {name: move.now for name, move in registry.aliases.list("tiny").items()} == {
        "next": "tiny@2", "prod": "tiny@1"
    }  # fmt: skip
    assert len(registry.aliases.history("tiny")) == 4
    with pytest.raises(ModelNotFound):
        registry.aliases.list("nobody")


@pytest.mark.parametrize(
    ("alias", "ref", "error", "says"),
    [
        ("prod", "other@1", Conflict, "can only point at a version of tiny"),
        ("prod", "tiny@9", ModelNotFound, "no such version"),
        ("never-set", None, ModelNotFound, "no such alias"),
        ("a b", "tiny@1", BadRequest, "not a valid name for an alias"),
        ("prod", "tiny@sha256:zz", BadRequest, "is not a reference to a model"),
    ],
)
def test_an_invalid_move_is_refused(registry, tiny, make_folder, alias, ref, error, says):
    Transfers(registry).import_path(make_folder(), "other")
    with pytest.raises(error, match=says):
        registry.aliases.set("tiny", alias, ref)
    assert registry.aliases.history("tiny") == []


def test_a_move_that_expects_another_version_is_refused(registry, tiny, second):
    registry.aliases.set("tiny", "prod", "tiny@2")
    with pytest.raises(Conflict, match=r"points at tiny@2, not at tiny@1.*llmos alias history tiny:prod"):
        registry.aliases.set("tiny", "prod", "tiny@1", expected="tiny@1")
    registry.aliases.set("tiny", "prod", "tiny@1", expected="tiny@2")
    assert moves_of(registry) == [(None, "tiny@2"), ("tiny@2", "tiny@1")]


def test_a_clock_that_is_set_back_does_not_change_the_order(dated, tiny, second):
    dated(9).aliases.set("tiny", "prod", "tiny@1")
    move = dated(2).aliases.set("tiny", "prod", "tiny@2")
    assert move.at == MARCH + timedelta(days=8)


def test_an_unknown_alias_is_reported_with_similar_names(registry, tiny):
    registry.aliases.set("tiny", "prod", "tiny@1")
    with pytest.raises(NotFound, match=r"alias tiny:prd never existed\. Known aliases: tiny:prod\."):
        registry.aliases.history("tiny", "prd")


@given(plans=st.lists(st.lists(st.sampled_from(["tiny@1", "tiny@2"]), max_size=4), min_size=2, max_size=3))
@checking(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_concurrent_moves_leave_a_linear_history(settings, registry, tiny, second, plans):
    """Each mover has its own connection, like a process. No move is lost or duplicated."""
    start = threading.Barrier(len(plans))
    told = []

    def mover(plan):
        own = open_registry(settings)
        start.wait()
        for ref in plan:
            told.append(own.aliases.set("tiny", "prod", ref))
        own.database.close()

    threads = [threading.Thread(target=mover, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == sum(map(len, plans))
    history = list(registry.aliases.history("tiny"))
    assert all(one.now == other.was for one, other in pairwise(history))
    assert all(one.at <= other.at for one, other in pairwise(history))
    assert all(move in history for move in told), "what a mover was told is what happened"
    assert not history or registry.resolve("tiny:prod").ref == history[-1].now


def test_of_two_moves_that_expect_the_same_version_one_succeeds(settings, registry, tiny, second):
    registry.aliases.set("tiny", "prod", "tiny@1")
    start, outcomes = threading.Barrier(4), []

    def mover():
        own = open_registry(settings)
        start.wait()
        try:
            own.aliases.set("tiny", "prod", "tiny@2", expected="tiny@1")
            outcomes.append("moved")
        except Conflict:
            outcomes.append("refused")
        own.database.close()

    threads = [threading.Thread(target=mover) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["moved", "refused", "refused", "refused"]
    assert moves_of(registry) == [(None, "tiny@1"), ("tiny@1", "tiny@2")]


# Removing


def test_a_refused_removal_removes_nothing(registry, tiny, second):
    registry.aliases.set("tiny", "prod", "tiny@1")
    asked = []

    def refuse(session, model, alias, numbers):
        asked.append((model, alias, list(numbers)))
        if alias == "prod":
            raise Conflict("It is needed.")

    for ref in ("tiny:prod", "tiny"):
        with pytest.raises(Conflict, match="needed"):
            registry.remove(ref, refuse)
    assert asked == [("tiny", "prod", []), ("tiny", None, [1, 2]), ("tiny", "prod", [])]
    assert moves_of(registry) == [(None, "tiny@1")]
    assert [version.ref for version in registry.list()] == ["tiny@1", "tiny@2"]
    assert registry.remove("tiny@2", refuse).versions == ("tiny@2",)
