"""Sign-in through an OpenID provider that runs here: what it vouches for, and everything that may be wrong with it."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import pytest

from llmos.core.database import Database
from llmos.core.errors import BadRequest, LLMOSError, PermissionDenied, ProviderFailed, Unauthenticated
from llmos.core.oidc_config import OidcConfig, read_oidc
from llmos.security.oidc.flow import OidcFlow, Pending, Reply, read_pending
from llmos.security.oidc.provider import MIN_REREAD_SECONDS, Provider
from llmos.security.users.users import Identity
from support.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider, new_key, oidc_provider

PUBLIC_URL = "https://llmos.example.com"


@pytest.fixture(autouse=True)
def _one_certificate(one_certificate: None) -> None:
    """The provider speaks plain HTTP."""


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture
def config(provider: OidcProvider) -> OidcConfig:
    config = read_oidc(
        {
            "LLMOS_OIDC_ISSUER": provider.issuer,
            "LLMOS_OIDC_CLIENT_ID": CLIENT_ID,
            "LLMOS_OIDC_CLIENT_SECRET": CLIENT_SECRET,
            "LLMOS_OIDC_ROLES": "admins=owner, ops=operator, shop team=developer@shop",
        },
        PUBLIC_URL,
    )
    assert config is not None
    return config


class Clock:
    """Seconds that pass when a test says so, from now on."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def flow(config: OidcConfig, database: Database, clock: Clock) -> Iterator[OidcFlow]:
    flow = OidcFlow(config, database, Provider(config, monotonic=clock), time=clock)
    yield flow
    flow.threads.shutdown()


def signed_in(flow: OidcFlow, provider: OidcProvider) -> Identity:
    url, pending = flow.begin("/console")
    state, code = provider.authorize(url)
    return flow.finish(pending, Reply(state=state, code=code))


def test_a_person_has_the_role_of_the_first_group_that_counts(flow: OidcFlow, provider: OidcProvider) -> None:
    assert signed_in(flow, provider) == Identity(
        issuer=provider.issuer, subject="7", name="ann", role="operator", project="owner"
    )
    provider.claims["groups"] = ["shop team", "admins"]
    assert signed_in(flow, provider).role == "owner"
    provider.claims["groups"] = "shop team"
    found = signed_in(flow, provider)
    assert (found.role, found.project) == ("developer", "shop")


@pytest.mark.parametrize("groups", [None, [], ["others"], ["OPS"], ["ops2"], "op", [["ops"]], {"ops": True}, 7])
def test_who_is_in_no_group_of_the_mapping_is_refused(flow: OidcFlow, provider: OidcProvider, groups: Any) -> None:
    provider.claims["groups"] = groups
    with pytest.raises(PermissionDenied, match="ann is in no group"):
        signed_in(flow, provider)


def test_without_a_mapping_nobody_gets_in(config: OidcConfig, database: Database, provider: OidcProvider) -> None:
    flow = OidcFlow(dataclasses.replace(config, roles=()), database)
    with pytest.raises(PermissionDenied):
        signed_in(flow, provider)


@pytest.mark.parametrize("claim", ["realm_access.roles", "https://example.com/groups"])
def test_groups_may_be_in_another_claim(
    config: OidcConfig, database: Database, provider: OidcProvider, claim: str
) -> None:
    provider.claims |= {"groups": None, "realm_access": {"roles": ["ops"]}, "https://example.com/groups": ["ops"]}
    assert signed_in(OidcFlow(dataclasses.replace(config, group_claim=claim), database), provider).role == "operator"


def test_groups_may_come_from_the_user_info_of_the_same_person(flow: OidcFlow, provider: OidcProvider) -> None:
    provider.claims["groups"] = None
    provider.user_info = {"sub": "7", "groups": ["admins"], "preferred_username": "mallory"}
    found = signed_in(flow, provider)
    assert (found.role, found.name) == ("owner", "ann")
    provider.user_info = {"sub": "8", "groups": ["admins"]}
    with pytest.raises(PermissionDenied):
        signed_in(flow, provider)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"nonce": "another"}, "another sign-in"),
        ({"nonce": None}, "another sign-in"),
        ({"iss": "https://evil.example.com"}, "comes from"),
        ({"iss": None}, "comes from"),
        ({"aud": "another"}, "another application"),
        ({"aud": None}, "another application"),
        ({"aud": []}, "another application"),
        ({"aud": [CLIENT_ID, "another"]}, "issued to another"),
        ({"aud": [CLIENT_ID, "another"], "azp": "another"}, "issued to another"),
        ({"azp": "another"}, "issued to another"),
        ({"exp": int(time.time()) - 3600}, "has expired"),
        ({"exp": None}, "has expired"),
        ({"exp": "never"}, "has expired"),
        ({"exp": True}, "has expired"),
        ({"exp": 1e300}, "has expired"),
        ({"iat": int(time.time()) + 3600}, "in the future"),
        ({"iat": None}, "in the future"),
        ({"nbf": int(time.time()) + 3600}, "isn't valid yet"),
        ({"sub": None}, "names nobody"),
        ({"sub": ""}, "names nobody"),
        ({"sub": 7}, "names nobody"),
        ({"sub": "a\0"}, "names nobody"),
        ({"sub": "x" * 256}, "names nobody"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(
    flow: OidcFlow, provider: OidcProvider, changes: dict[str, Any], problem: str
) -> None:
    provider.changes = changes
    with pytest.raises(Unauthenticated, match=problem):
        signed_in(flow, provider)


def test_several_audiences_are_fine_with_the_authorized_party(flow: OidcFlow, provider: OidcProvider) -> None:
    provider.changes = {"aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}
    assert signed_in(flow, provider).subject == "7"


@pytest.mark.parametrize("alg", ["none", "HS256"])
def test_a_signature_that_anybody_can_make_proves_nothing(flow: OidcFlow, provider: OidcProvider, alg: str) -> None:
    provider.alg = alg
    with pytest.raises(Unauthenticated, match="proves nothing"):
        signed_in(flow, provider)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("kid", [None, "two"])
def test_signatures_of_other_kinds_and_keys_without_an_id_are_fine(
    flow: OidcFlow, provider: OidcProvider, alg: str, kid: str | None
) -> None:
    provider.alg = alg
    provider.keys.append(new_key(alg, kid))
    assert signed_in(flow, provider).name == "ann"


def test_a_key_that_the_provider_doesnt_publish_signs_nothing(flow: OidcFlow, provider: OidcProvider) -> None:
    provider.token = provider.sign({"sub": "7"})
    provider.keys = [new_key("RS256", "one")]  # The same id, another key.
    with pytest.raises(Unauthenticated, match="none of the provider's keys"):
        signed_in(flow, provider)


def test_a_new_key_of_the_provider_is_fetched_when_it_signs(
    flow: OidcFlow, provider: OidcProvider, clock: Clock
) -> None:
    signed_in(flow, provider)
    provider.keys = [new_key("RS256", "two")]
    clock.passed += MIN_REREAD_SECONDS
    assert signed_in(flow, provider).name == "ann"
    provider.keys = [new_key("RS256", "three")]
    num_fetched = provider.asked.count("/keys")
    for _ in range(3):
        with pytest.raises(Unauthenticated):  # Tokens can't make the server fetch keys again and again.
            signed_in(flow, provider)
    assert provider.asked.count("/keys") == num_fetched


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "..", "é.é.é", "x" * 100_000, "eyJhbGciOiJSUzI1NiJ9..x"])
def test_a_malformed_token_is_refused(flow: OidcFlow, provider: OidcProvider, token: str) -> None:
    provider.token = token
    with pytest.raises(LLMOSError) as error:
        signed_in(flow, provider)
    assert error.value.status in (401, 502)


def test_a_state_works_once_and_in_one_browser(flow: OidcFlow, provider: OidcProvider) -> None:
    url, pending = flow.begin("/")
    state, code = provider.authorize(url)
    flow.finish(pending, Reply(state=state, code=code))
    _, another_code = provider.authorize(url)
    with pytest.raises(Unauthenticated, match="finished before"):
        flow.finish(pending, Reply(state=state, code=another_code))
    _, others = flow.begin("/")
    for browser in (None, others):
        with pytest.raises(Unauthenticated, match="begun in this browser"):
            flow.finish(browser, Reply(state=state, code=code))
    assert provider.asked.count("/token") == 2


def test_a_state_that_another_server_used_works_no_second_time(
    flow: OidcFlow, provider: OidcProvider, config: OidcConfig, database_url: str
) -> None:
    url, pending = flow.begin("/")
    state, code = provider.authorize(url)
    flow.finish(pending, Reply(state=state, code=code))
    other = Database(database_url)
    with pytest.raises(Unauthenticated, match="finished before"):
        OidcFlow(config, other).finish(pending, Reply(state=state, code=provider.authorize(url)[1]))
    other.close()


def test_a_code_needs_the_verifier_of_its_own_sign_in(flow: OidcFlow, provider: OidcProvider) -> None:
    url, pending = flow.begin("/")
    _, stolen = provider.authorize(flow.begin("/")[0])
    with pytest.raises(Unauthenticated, match="invalid_grant"):
        flow.finish(pending, Reply(state=provider.authorize(url)[0], code=stolen))


def test_a_sign_in_that_takes_too_long_ends(flow: OidcFlow, provider: OidcProvider, clock: Clock) -> None:
    url, pending = flow.begin("/")
    clock.passed += 601
    with pytest.raises(Unauthenticated, match="took too long"):
        flow.finish(pending, Reply(state=provider.authorize(url)[0], code="code"))


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ({"error": "access_denied"}, "access_denied"),
        ({"code": ""}, "no code"),
        ({"issuer": "https://evil.example.com"}, "Another provider"),
    ],
)
def test_a_provider_that_refuses_is_believed(
    flow: OidcFlow, provider: OidcProvider, reply: dict[str, str], problem: str
) -> None:
    url, pending = flow.begin("/")
    state, code = provider.authorize(url)
    with pytest.raises(Unauthenticated, match=problem):
        flow.finish(pending, Reply(**{"state": state, "code": code, **reply}))


@pytest.mark.parametrize("methods", [["client_secret_basic"], ["client_secret_post"]])
def test_the_secret_is_sent_as_the_provider_wants_it(
    flow: OidcFlow, provider: OidcProvider, methods: list[str]
) -> None:
    provider.auth_methods = methods
    assert signed_in(flow, provider).name == "ann"


def test_a_wrong_secret_is_named(config: OidcConfig, database: Database, provider: OidcProvider) -> None:
    with pytest.raises(Unauthenticated, match="invalid_client"):
        signed_in(OidcFlow(dataclasses.replace(config, client_secret="wrong"), database), provider)


def test_a_provider_with_another_name_or_without_tls_is_refused(
    config: OidcConfig, database: Database, provider: OidcProvider
) -> None:
    provider.claimed_issuer = "https://evil.example.com"
    with pytest.raises(ProviderFailed, match="calls itself"):
        OidcFlow(config, database).begin("/")
    provider.claimed_issuer = provider.issuer
    provider.endpoints = {"token_endpoint": "http://far.example.com/token"}
    with pytest.raises(ProviderFailed, match="isn't https"):
        OidcFlow(config, database).begin("/")
    gone = dataclasses.replace(config, issuer="http://127.0.0.1:9")
    with pytest.raises(ProviderFailed, match="can't be reached"):
        OidcFlow(gone, database).begin("/")


@pytest.mark.parametrize("text", [None, "", "x", "é", "e30=", "bnVsbA==", "W10=" * 1000])
def test_a_damaged_cookie_is_none(text: str | None) -> None:
    assert read_pending(text) is None


def test_a_cookie_keeps_what_was_begun() -> None:
    pending = Pending(state="a", nonce="b", verifier="c", next="/", begun_at=1.5)
    assert read_pending(pending.encoded()) == pending


def test_a_role_that_there_is_not_is_named_at_the_start(config: OidcConfig, database: Database) -> None:
    for text in ("ops=admin", "ops=operator@shop"):
        environ = {
            "LLMOS_OIDC_ISSUER": config.issuer,
            "LLMOS_OIDC_CLIENT_ID": "x",
            "LLMOS_OIDC_ROLES": text,
        }
        with pytest.raises(BadRequest, match="LLMOS_OIDC_ROLES"):
            OidcFlow(read_oidc(environ, PUBLIC_URL), database)  # type: ignore[arg-type]
