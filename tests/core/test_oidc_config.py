"""The settings of sign-in through an OpenID provider: read, or refused with the variable's name."""

from pathlib import Path
from typing import Any

import pytest

from llmos.core.config import load_settings
from llmos.core.errors import BadRequest

GOOD = {
    "LLMOS_HOME": "/nowhere",
    "LLMOS_PUBLIC_URL": "https://llmos.example.com/",
    "LLMOS_OIDC_ISSUER": "https://id.example.com",
    "LLMOS_OIDC_CLIENT_ID": "llmos",
}


def read(**changes: str) -> Any:
    return load_settings({**GOOD, **changes}).oidc


def test_the_least_settings_let_nobody_in() -> None:
    oidc = read()
    assert (oidc.issuer, oidc.public_url, oidc.client_secret) == (
        "https://id.example.com", "https://llmos.example.com", None,
    )  # fmt: skip
    assert (oidc.scopes, oidc.group_claim, oidc.roles) == (("openid", "profile", "email"), "groups", ())
    assert oidc.role_of(frozenset({"admins"})) is None
    assert load_settings({"LLMOS_HOME": "/nowhere"}).oidc is None


def test_groups_may_have_equal_signs_and_the_first_counts() -> None:
    oidc = read(LLMOS_OIDC_ROLES="cn=admins=owner,\n ops = operator , shop=developer@acme,")
    assert [(each.group, each.role, each.project) for each in oidc.roles] == [
        ("cn=admins", "owner", "owner"),
        ("ops", "operator", "owner"),
        ("shop", "developer", "acme"),
    ]
    assert oidc.role_of(frozenset({"shop", "ops"})).role == "operator"


def test_the_secret_may_be_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("s3cret\n")
    assert read(LLMOS_OIDC_CLIENT_SECRET_FILE=str(path)).client_secret == "s3cret"
    assert read(LLMOS_OIDC_SCOPES="email groups email").scopes == ("openid", "email", "groups")


@pytest.mark.parametrize(
    ("changes", "variable"),
    [
        ({"LLMOS_OIDC_ISSUER": ""}, "LLMOS_OIDC_CLIENT_ID"),
        ({"LLMOS_OIDC_ISSUER": "id.example.com"}, "LLMOS_OIDC_ISSUER"),
        ({"LLMOS_OIDC_ISSUER": "http://id.example.com"}, "LLMOS_OIDC_ISSUER"),
        ({"LLMOS_OIDC_ISSUER": "https://id.example.com?a=1"}, "LLMOS_OIDC_ISSUER"),
        ({"LLMOS_OIDC_ISSUER": "https://[::1"}, "LLMOS_OIDC_ISSUER"),
        ({"LLMOS_OIDC_CLIENT_ID": ""}, "LLMOS_OIDC_CLIENT_ID"),
        ({"LLMOS_PUBLIC_URL": ""}, "LLMOS_PUBLIC_URL"),
        ({"LLMOS_PUBLIC_URL": "http://llmos.example.com"}, "LLMOS_PUBLIC_URL"),
        ({"LLMOS_OIDC_CLIENT_SECRET_FILE": "/nowhere/secret"}, "LLMOS_OIDC_CLIENT_SECRET_FILE"),
        ({"LLMOS_OIDC_CLIENT_SECRET": "a", "LLMOS_OIDC_CLIENT_SECRET_FILE": "/b"}, "LLMOS_OIDC_CLIENT_SECRET"),
        ({"LLMOS_OIDC_ROLES": "admins"}, "LLMOS_OIDC_ROLES"),
        ({"LLMOS_OIDC_ROLES": "=owner"}, "LLMOS_OIDC_ROLES"),
        ({"LLMOS_OIDC_ROLES": "admins="}, "LLMOS_OIDC_ROLES"),
        ({"LLMOS_OIDC_ROLES": "admins=owner@"}, "LLMOS_OIDC_ROLES"),
        ({"LLMOS_TRUSTED_PROXIES": "10.0.0.1/8"}, "LLMOS_TRUSTED_PROXIES"),
        ({"LLMOS_SESSION_SECONDS": "5"}, "LLMOS_SESSION_SECONDS"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, str], variable: str) -> None:
    with pytest.raises(BadRequest) as error:
        read(**changes)
    assert error.value.param == variable
    assert variable in error.value.message


def test_http_is_fine_on_this_machine() -> None:
    for host in ("localhost:9400", "127.0.0.1:9400", "[::1]:9400"):
        assert read(LLMOS_OIDC_ISSUER=f"http://{host}", LLMOS_PUBLIC_URL="http://localhost:8000") is not None
