"""llmos alias, tag, describe, policy, sign, verify, trust."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from safetensors.numpy import save_file

from llmos.core.config import load_settings
from llmos.models import open_registry
from llmos.models.queries import ensure_model
from llmos.models.tables import AliasMoveRow, VersionRow
from llmos.models.transfer.transfers import Transfers

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def registry(home):
    """With two versions of a model, and an alias that somebody moved in March."""
    registry = open_registry(load_settings())
    with registry.database.transaction() as session:
        ensure_model(session, "tiny", NOON)
        for number, source in ((1, "import:/one"), (2, "import:/two")):
            session.add(
                VersionRow(
                    model="tiny", number=number, digest=f"sha256:{number:064}", created_at=NOON, source=source,
                    format="gguf", family="llama", quantization="Q4_1", parameters=1, sampling={}, files=[],
                )
            )  # fmt: skip
        for number, day in ((1, 1), (2, 3)):
            moved_at = datetime(2026, 3, day, 14, 30, tzinfo=UTC)
            session.add(AliasMoveRow(owner="tiny", alias="prod", number=number, moved_at=moved_at, moved_by="ada"))
    yield registry
    registry.database.close()


def test_what_production_was_on_a_day(cli, registry):
    def on(day):
        return cli("alias", "history", "tiny:prod", "--at", day).out.strip()

    assert on("2026-02-03") == "tiny:prod was no version on 2026-02-03."
    assert on("2026-03-02") == "tiny:prod was tiny@1 on 2026-03-02."
    assert on("2026-03-03").startswith("tiny:prod was tiny@1 until 2026-03-03 ")
    assert on("2026-03-03").endswith(", then tiny@2 on 2026-03-03.")
    assert on("2026-03-03T14:29:00+00:00") == "tiny:prod was tiny@1 at 2026-03-03T14:29:00+00:00."
    assert on("2026-03-03T14:31:00Z") == "tiny:prod was tiny@2 at 2026-03-03T14:31:00Z."
    spans = json.loads(cli("alias", "history", "tiny:prod", "--at", "2026-03-03", "--json").out)
    assert [span["version"] for span in spans] == ["tiny@1", "tiny@2"]


def test_an_alias_is_set_listed_and_removed(cli, registry):
    assert cli("alias", "set", "tiny:next", "tiny").out == "tiny:next → tiny@2\n"
    assert cli("alias", "set", "tiny:next", "tiny@1", "--from", "tiny@2").out == ("tiny:next → tiny@1 (was tiny@2)\n")
    listed = json.loads(cli("alias", "list", "--json").out)
    assert [(row["name"], row["now"]) for row in listed] == [("tiny:next", "tiny@1"), ("tiny:prod", "tiny@2")]
    assert "tiny:next" in cli("alias", "list", "tiny").out
    assert cli("alias", "rm", "tiny:next").out == "Removed the alias tiny:next, which pointed at tiny@1.\n"
    moves = json.loads(cli("alias", "history", "tiny:next", "--json").out)
    assert [(move["was"], move["now"]) for move in moves] == [
        (None, "tiny@2"), ("tiny@2", "tiny@1"), ("tiny@1", None)
    ]  # fmt: skip
    assert len(json.loads(cli("alias", "history", "tiny", "--json").out)) == 5
    assert "ada" in cli("alias", "history", "tiny:prod").out


@pytest.mark.process
def test_an_alias_that_a_route_or_a_deployment_needs_says_what_to_do(cli, registry):
    cli("route", "set", "chat", "tiny:prod")
    for command in (["rm", "tiny:prod"], ["alias", "rm", "tiny:prod"], ["rm", "tiny"]):
        outcome = cli(*command)
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.err.strip().endswith("llmos route set chat MODEL")
    cli("route", "rm", "chat")
    assert cli("deploy", "tiny:prod").status == 0
    for command in (["rm", "tiny:prod"], ["rm", "tiny@2"], ["rm", "tiny"]):
        outcome = cli(*command)
        assert outcome.status == 2
        assert len(outcome.err.strip().splitlines()) == 1
    assert "undeploy tiny@2" in cli("rm", "tiny:prod").err
    assert len(json.loads(cli("list", "--json").out)) == 2


def test_a_version_that_a_route_needs_says_what_to_do(cli, registry):
    cli("route", "set", "chat", "tiny@1")
    for command in (["rm", "tiny@1"], ["rm", "tiny"]):
        outcome = cli(*command)
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.err.strip().endswith("llmos route set chat MODEL")
    cli("route", "rm", "chat")
    assert cli("rm", "tiny@1").status == 0


def test_tags_and_descriptions_are_kept_shown_and_looked_for(cli, registry):
    assert cli("tag", "tiny").out == "tiny has no tags.\n"
    assert cli("tag", "tiny@1", "approved", "team=search").out == "approved, team=search\n"
    assert cli("describe", "tiny", "Answers our customers").out == "Answers our customers\n"
    assert cli("describe", "tiny").out == "Answers our customers\n"
    assert cli("describe", "tiny@1").out == "tiny@1 has no description.\n"
    assert [row["version"] for row in json.loads(cli("list", "--tag", "team=search", "--json").out)] == ["tiny@1"]
    outcome = cli("list", "--tag", "nobody")
    assert (outcome.out, "llmos tag MODEL nobody" in outcome.err) == ("", True)
    assert cli("tag", "tiny@1", "--rm", "approved", "--json").out == '{\n  "team": "search"\n}\n'
    changes = json.loads(cli("tag", "tiny@1", "--history", "--json").out)
    assert [(change["what"], change["was"], change["now"]) for change in changes] == [
        ("tag approved", None, ""), ("tag team", None, "search"), ("tag approved", "", None)
    ]  # fmt: skip
    assert "Answers our customers" in cli("describe", "tiny", "--history").out


def test_policies_are_set_listed_and_unset(cli, registry):
    assert "require_signature" in cli("policy", "list").err
    assert cli("policy", "set", "require_signature", "on").out == "require_signature is on.\n"
    assert cli("policy", "set", "max_perplexity_increase", "5%").out == "max_perplexity_increase is 0.05.\n"
    listed = json.loads(cli("policy", "list", "--json").out)
    assert {row["name"]: row["value"] for row in listed} == {"require_signature": True, "max_perplexity_increase": 0.05}
    assert cli("policy", "unset", "require_signature").status == 0
    assert "require_signature" not in cli("policy", "list").out


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["alias", "set", "tiny", "tiny@1"], "is not an alias. Write NAME:ALIAS, such as tiny:prod"),
        (["alias", "set", "tiny:a", "tiny@7"], "It has tiny@1, tiny@2"),
        (["alias", "set", "tiny:prod", "tiny@1", "--from", "tiny@1"], "points at tiny@2, not at"),
        (["alias", "rm", "tiny:prd"], "no such alias. It has tiny:prod"),
        (["alias", "history", "tiny:prd"], "Known aliases: tiny:prod"),
        (["alias", "history", "tiny:prod", "--at", "3 March"], "Write 2026-03-03"),
        (["alias", "list", "tinny"], "Did you mean tiny?"),
        (["tag", "tiny", "--rm", "x"], "no tag 'x'"),
        (["tag", "tiny", "a b"], "not a valid name for a tag"),
        (["policy", "set", "require_signatures", "on"], "Did you mean require_signature?"),
        (["policy", "set", "require_signature", "perhaps"], "must be on or off"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_what_can(cli, registry, command, says):
    outcome = cli(*command)
    assert (outcome.status, outcome.out) == (2, "")
    assert len(outcome.err.strip().splitlines()) == 1
    assert says in outcome.err


@pytest.fixture
def signed_home(home, tmp_path_factory):
    """A home with a version that has files, and a key beside it."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", "max_position_embeddings": 512}))
    save_file({"weight": np.zeros((8, 4), np.float32)}, folder / "model.safetensors")
    registry = open_registry(load_settings())
    Transfers(registry).import_path(folder, "mine")
    registry.database.close()
    key = ec.generate_private_key(ec.SECP256R1())
    path = folder / "key.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(path)


@pytest.mark.process
def test_a_version_is_signed_trusted_and_verified(cli, signed_home):
    outcome = cli("verify", "mine")
    assert (outcome.status, outcome.out) == (2, "")
    assert "llmos sign mine@1 --key FILE" in outcome.err
    outcome = cli("sign", "mine", "--key", signed_home)
    assert outcome.out.startswith("mine@1 is signed by key.pem (")
    assert f"llmos trust add NAME {signed_home}" in outcome.err
    assert "llmos trust add NAME FILE" in cli("verify", "mine").err
    assert cli("trust", "add", "ada", signed_home).status == 0
    assert cli("verify", "mine").out.startswith("mine@1 is verified: every byte is what ada (")
    assert json.loads(cli("verify", "mine", "--key", signed_home, "--json").out)["key"]["name"] == "key.pem"
    (key,) = json.loads(cli("trust", "list", "--json").out)
    assert key["name"] == "ada"
    assert cli("trust", "rm", "ada").status == 0
    assert cli("verify", "mine").status == 2


@pytest.mark.process
def test_the_policy_keeps_an_unsigned_version_from_being_run(cli, signed_home):
    cli("policy", "set", "require_signature", "on")
    outcome = cli("run", "mine", "Hello")
    assert (outcome.status, outcome.out) == (2, "")
    assert "mine@1 is not loaded because the project's policy require_signature is on" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["sign", "mine", "--key", "/nowhere"], "can't be read: No such file"),
        (["sign", "mine@2", "--key", "/nowhere"], "openssl ecparam"),
        (["verify", "nobody"], "There is no model 'nobody'"),
        (["trust", "rm", "ada"], "llmos trust add NAME FILE"),
        (["trust", "add", "a b", "/nowhere"], "not a valid name for a key"),
    ],
)
def test_what_cannot_be_signed_or_trusted_is_one_line(cli, signed_home, command, says):
    outcome = cli(*command)
    assert (outcome.status, outcome.out) == (2, "")
    assert len(outcome.err.strip().splitlines()) == 1
    assert says in outcome.err
