"""Cards in the database."""

import msgspec
import pytest

from llmos.core.errors import Conflict
from llmos.models.cards.card import from_json, to_json
from llmos.models.cards.cards import Cards
from llmos.models.transfer.transfers import Transfers
from support.made_cards import CARD, card


@pytest.fixture
def version(registry, gguf_path):
    return Transfers(registry).import_path(gguf_path, "tiny")


def test_a_card_survives_json():
    assert from_json(to_json(CARD)) == CARD
    bare = card(quality=None, comparison=None, layers=None, not_measured={"quality": "It writes no text."})
    assert from_json(to_json(bare)) == bare


def test_a_card_of_a_newer_format_is_refused_with_advice():
    fields = msgspec.json.decode(to_json(CARD)) | {"format": 99, "quality": "excellent"}
    with pytest.raises(Conflict, match=r"newer LLMOS .*--measure"):
        from_json(msgspec.json.encode(fields))


@pytest.mark.process
def test_a_version_has_no_card_until_it_is_measured(registry, version):
    assert Cards(registry.database).get(version) is None
    assert Cards(registry.database).measured() == set()


@pytest.mark.process
def test_a_card_is_stored_and_replaced(registry, version):
    cards = Cards(registry.database)
    mine = card(version=version.ref, digest=version.digest)
    cards.put(version, mine)
    assert cards.get(version) == mine
    again = msgspec.structs.replace(mine, llmos="9.9")
    cards.put(version, again)
    assert cards.get(version) == again
    assert cards.measured() == {version.digest}


@pytest.mark.process
def test_the_same_bytes_under_another_name_have_the_same_card(registry, version, gguf_path):
    twin = Transfers(registry).import_path(gguf_path, "twin")
    cards = Cards(registry.database)
    cards.put(version, card(version=version.ref, digest=version.digest))
    found = cards.get(twin)
    assert found is not None
    assert (found.version, found.digest) == ("twin@1", version.digest)
