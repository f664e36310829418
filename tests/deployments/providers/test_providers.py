"""Providers and their keys."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from llmos.core.encryption.masters import Masters, MasterSettings, make_master_file
from llmos.core.errors import BadRequest, Conflict, NotFound, StoreFailed
from llmos.deployments.providers.providers import KEEP_SECONDS, Providers
from llmos.deployments.routing.routes import Routes
from llmos.deployments.tables import ProviderRow
from support.encryption import open_test_encryption

KEY = "sk-a-key-that-nobody-sees"


@pytest.fixture
def master(tmp_path):
    return tmp_path / "keys" / "master"


@pytest.fixture
def providers(registry, tmp_path):
    return Providers(registry.database, open_test_encryption(registry.database, tmp_path))


@pytest.fixture
def openai(providers):
    return providers.add("openai", kind="openai", base_url="https://api.openai.com/v1/", key=KEY)


def test_a_key_is_kept_so_that_only_the_master_key_opens_it(providers, openai, registry, master):
    assert providers.key_of(providers.get("openai")) == KEY
    assert master.stat().st_mode & 0o777 == 0o600
    assert KEY not in repr(openai)
    with registry.database.session() as session:
        (row,) = session.execute(text("SELECT * FROM providers")).all()
    kept = b"\n".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
    assert KEY.encode() not in kept


def test_the_same_key_never_looks_the_same(providers, openai):
    again = providers.add("openai", kind="openai", base_url=openai.base_url, key=KEY)
    assert again.sealed_key != openai.sealed_key
    assert again.created_at == openai.created_at


@pytest.mark.parametrize(
    "change", [{"base_url": "https://elsewhere.example/v1"}, {"kind": "anthropic"}, {"sealed_key": b"x" * 40}]
)
def test_a_key_that_was_moved_elsewhere_can_not_be_read(providers, openai, registry, change):
    with registry.database.transaction() as session:
        for name, value in change.items():
            setattr(session.get(ProviderRow, "openai"), name, value)
    with pytest.raises(StoreFailed, match=r"key of the provider openai can't be read.*llmos provider add openai"):
        providers.key_of(providers.get("openai"))


def test_a_lost_master_key_is_told(providers, openai, registry, master, tmp_path):
    def restarted():
        return Providers(registry.database, open_test_encryption(registry.database, tmp_path))

    master.unlink()
    with pytest.raises(StoreFailed, match=r"master key .* is missing.*llmos provider add openai"):
        restarted().key_of(openai)
    master.write_text("nonsense")
    with pytest.raises(StoreFailed, match="is not a master key"):
        restarted().key_of(openai)


def test_a_key_of_an_earlier_version_is_read_and_encrypted_anew_before_the_master_key_is_rotated(
    providers, registry, master
):
    """It was encrypted under the master key itself."""
    make_master_file(master)
    local = Masters(MasterSettings(path=master)).current()
    bound_to = b"provider\nopenai\nopenai\nhttps://api.openai.com/v1"
    providers.add("openai", kind="openai", base_url="https://api.openai.com/v1", key=None)
    with registry.database.transaction() as session:
        session.get(ProviderRow, "openai").sealed_key = local.wrap(KEY.encode(), bound_to)
    assert providers.key_of(providers.get("openai")) == KEY
    assert providers.num_old_keys() == providers.reseal_old_keys() == 1
    assert providers.num_old_keys() == providers.reseal_old_keys() == 0
    providers._encryption.ring.rotate_master()
    assert providers.key_of(providers.get("openai")) == KEY


def test_keys_that_cannot_be_read_are_discarded_and_their_providers_stay(providers, openai):
    providers.add("local", kind="openai", base_url="http://127.0.0.1:8001/v1", key=None)
    assert providers.discard_unreadable_keys() == []
    providers._encryption.ring.discard_all()
    assert providers.discard_unreadable_keys() == ["openai"]
    assert not providers.get("openai").has_key


def test_a_provider_may_ask_for_no_key(providers):
    local = providers.add("local", kind="openai", base_url="http://127.0.0.1:8001/v1", key=None)
    assert not local.has_key
    assert providers.key_of(local) is None


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "a/b", "not a valid name for a provider"),
        ("kind", "bedrock", "anthropic or open-inference"),
        ("base_url", "api.openai.com", "isn't a base URL"),
        ("base_url", "file:///etc/passwd", "isn't a base URL"),
        ("base_url", "https://", "isn't a base URL"),
        ("base_url", "ftp://me:secret@api.openai.com", "^'api.openai.com' isn't a base URL"),
        ("base_url", "https://a:99999/v1", "isn't a base URL"),
        ("base_url", "https://me:secret@api.openai.com/v1", "no user"),
        ("base_url", "https://api.openai.com/v1?key=1", "no user"),
        ("key", "two words", "HTTP header"),
        ("key", "", "HTTP header"),
        ("key", "a\nb", "HTTP header"),
    ],
)
def test_what_can_not_be_a_provider_is_refused(providers, field, value, said):
    given = {"name": "openai", "kind": "openai", "base_url": "https://api.openai.com/v1", "key": KEY} | {field: value}
    with pytest.raises(BadRequest, match=said):
        providers.add(given.pop("name"), **given)
    assert list(providers.list()) == []


def test_a_provider_that_a_route_leads_to_stays(providers, openai, registry):
    routes = Routes(registry)
    routes.set("gpt-3", "remote:openai/gpt-4o-mini", actor="ada")
    assert routes.resolve_primary("gpt-3").ref == "remote:openai/gpt-4o-mini"
    with pytest.raises(BadRequest, match="runs at openai and not on this machine"):
        routes.resolve_local("gpt-3")
    assert list(routes.local_versions("gpt-3")) == []
    with pytest.raises(Conflict, match=r"target of the route gpt-3.*llmos route set gpt-3"):
        providers.remove("openai")
    routes.remove("gpt-3", actor="ada")
    providers.remove("openai")
    with pytest.raises(NotFound, match="no provider 'openai'"):
        providers.remove("openai")


def test_an_opened_key_is_remembered_until_the_database_changes_or_a_minute_has_passed(registry, tmp_path):
    now = [0.0]
    encryption = open_test_encryption(registry.database, tmp_path)
    providers = Providers(registry.database, encryption, monotonic=lambda: now[0])
    openai = providers.add("openai", kind="openai", base_url="https://api.openai.com/v1", key=KEY)
    assert providers.remembered_key(openai) is None
    assert (providers.key_of(openai), providers.remembered_key(openai)) == (KEY, KEY)
    assert KEY not in repr(providers._known)
    moved = replace(openai, base_url="https://elsewhere.example/v1")
    assert providers.remembered_key(moved) is None
    now[0] = KEEP_SECONDS
    assert providers.remembered_key(openai) is None
    assert (providers.key_of(openai), providers.remembered_key(openai)) == (KEY, KEY)
    providers.add("other", kind="openai", base_url="http://127.0.0.1:8001/v1", key=None)
    assert providers.remembered_key(openai) is None


def test_a_near_miss_names_the_provider(providers, openai):
    with pytest.raises(NotFound, match=r"Did you mean openai\?"):
        providers.get("opnai")
