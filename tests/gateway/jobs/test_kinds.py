"""The kinds of jobs: what each refuses, does, and says to start it again."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmos.core.config import Settings, load_settings
from llmos.core.encryption.opening import open_encryption
from llmos.core.errors import BadRequest, LLMOSError, ModelNotFound, NotFound, UnsupportedModel
from llmos.core.progress import no_progress
from llmos.data.responses import KeptResponse, KeptResponses
from llmos.gateway.http.requests import convert
from llmos.gateway.jobs.kinds import Context, job_kinds, kind_named
from llmos.models import open_registry
from llmos.models.cards import measure
from llmos.models.policies import Policies
from llmos.models.registry import Registry
from llmos.models.transfer.transfers import Transfers
from llmos.security.guardrails.policies import GuardrailPolicies
from support.made_cards import card
from support.tiny_folders import write_folder

pytestmark = pytest.mark.process


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({"LLMOS_HOME": str(tmp_path / "home")})


@pytest.fixture
def registry(settings: Settings, tmp_path: Path) -> Iterator[Registry]:
    """With the model `tiny`."""
    registry = open_registry(settings)
    Transfers(registry).import_path(write_folder(tmp_path / "tiny"), "tiny")
    yield registry
    registry.database.close()


@pytest.fixture
def context(settings: Settings, registry: Registry) -> Context:
    return Context(settings=settings, registry=registry, project="owner", actor="ada", progress=no_progress)


def request_of(kind: str, **fields: Any) -> Any:
    return convert(fields | {"kind": kind}, kind_named(kind).request)


def test_an_unknown_kind_names_the_nearest() -> None:
    data = {"dataset_import", "dataset_clean", "dataset_check", "knowledge_sync", "knowledge_eval"}
    data |= {"vector_store_sync", "model_import", "eval"}
    assert set(job_kinds()) == {"pull", "push", "quantize", "prune", "card", "encrypt", "verify", "replay", *data}
    with pytest.raises(BadRequest, match="Did you mean 'verify'"):
        kind_named("verfy")
    with pytest.raises(BadRequest, match="It is one of card, dataset_check, dataset_clean, dataset_import, encrypt"):
        kind_named(7)


COMMANDS = [
    ("pull", {"model": "smollm2"}, "llmos pull smollm2"),
    ("pull", {"model": "hf:acme/a model", "name": "mine"}, "llmos pull 'hf:acme/a model' --name mine"),
    ("pull", {"model": "hf:a/b", "task": "rerank"}, "llmos pull hf:a/b --task rerank"),
    ("pull", {"model": "smollm2", "encrypt": True}, "llmos pull smollm2 --encrypt"),
    ("pull", {"model": "hf:a/b", "ignored_keys": ["x", "y"]}, "llmos pull hf:a/b --ignore x --ignore y"),
    ("push", {"model": "tiny@1", "target": "llmos:https://other"}, "llmos push tiny@1 llmos:https://other"),
    ("push", {"model": "tiny@1", "target": "oci:r/m:1", "base": "oci:b"}, "llmos push tiny@1 oci:r/m:1 --base oci:b"),
    (
        "prune",
        {"model": "tiny@1", "scheme": "structured", "options": {"ffn_share": 0.2}, "card": False},
        "llmos prune tiny@1 --scheme structured --ffn-share 0.2 --no-card",
    ),
    (
        "quantize",
        {"model": "tiny@1", "scheme": "gptq", "name": "small", "calibration": "sha256:12"},
        "llmos quantize tiny@1 --scheme gptq --name small --calibration FILE",
    ),
    ("card", {"model": "tiny@1"}, "llmos card tiny@1 --measure"),
    ("encrypt", {"model": "tiny@1"}, "llmos encryption models tiny@1"),
    ("encrypt", {}, "llmos encryption models"),
    ("verify", {"model": "tiny@1"}, "llmos verify tiny@1"),
    ("verify", {"model": "tiny@1", "key": "a key"}, "llmos verify tiny@1 --key FILE"),
]


@pytest.mark.parametrize(("kind", "fields", "command"), COMMANDS)
def test_the_command_starts_the_same_job(kind: str, fields: dict[str, Any], command: str) -> None:
    assert kind_named(kind).command(request_of(kind, **fields)) == command


@pytest.mark.parametrize("kind", ["push", "quantize", "prune", "card", "encrypt", "verify"])
def test_a_name_that_may_move_is_replaced_by_its_version(kind: str, settings: Settings, registry: Registry) -> None:
    registry.aliases.set("tiny", "prod", "tiny@1")
    needed = {"push": {"target": "oci:host/tiny:v1"}, "quantize": {"scheme": "q8_0"}, "prune": {"scheme": "magnitude"}}
    scheme = needed.get(kind, {})
    checked = kind_named(kind).check(settings, registry, request_of(kind, model="tiny:prod", **scheme))
    assert checked.model == "tiny@1"
    with pytest.raises(ModelNotFound):
        kind_named(kind).check(settings, registry, request_of(kind, model="tinny", **scheme))


def test_a_card_comes_with_the_verdicts_of_the_limits(
    context: Context, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    Policies(registry.database).set("max_perplexity_increase", 0.0)
    monkeypatch.setattr(measure, "make_card", lambda registry, version, progress: card(version=version.ref))
    result = kind_named("card").work(context, request_of("card", model="tiny@1"))
    assert result["version"] == "tiny@1"
    assert [verdict["name"] for verdict in result["limits"]] == ["max_perplexity_increase"]


def test_a_version_stays_whose_card_can_not_be_measured(
    context: Context, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UnsupportedModel("It has no words.")

    monkeypatch.setattr(measure, "make_card", fail)
    result = kind_named("quantize").work(context, request_of("quantize", model="tiny@1", scheme="q8_0"))
    assert registry.resolve("tiny-q8_0").digest == result["digest"]
    assert (result["made_by"], result["card"]) == ("ada", None)
    assert "couldn't be measured: It has no words. Try again: llmos card tiny-q8_0@1 --measure" in result["remark"]


def test_a_key_that_is_none_is_refused(settings: Settings, registry: Registry) -> None:
    with pytest.raises(LLMOSError):
        kind_named("verify").check(settings, registry, request_of("verify", model="tiny", key="no key"))


def test_a_replay_screens_what_is_kept_and_says_what_it_would_block(context: Context) -> None:
    database = context.registry.database
    responses = KeptResponses(database, open_encryption(context.settings, database))
    for id, text in (("resp_1", "Tell me of Zanzibar"), ("resp_2", "Hello")):
        items = json.dumps([{"type": "message", "role": "user", "content": text}])
        responses.keep("owner", KeptResponse(id=id, body='{"model": "dialogue"}', items=items))
    document = {"input": [{"guardrail": "denied_topics", "phrases": ["Zanzibar"]}]}
    since = datetime.now(UTC) - timedelta(hours=1)
    kind = kind_named("replay")
    with pytest.raises(NotFound, match="no guardrail policy 'strict'"):
        kind.check(context.settings, context.registry, request_of("replay", policy="strict", since=since.isoformat()))
    request = request_of("replay", policy="strict", since=since.isoformat(), document=document)
    result = kind.work(context, kind.check(context.settings, context.registry, request))
    assert (result["policy"], result["num_calls"], result["then"]["blocked_prompts"]) == ("strict@0", 2, 1)
    assert [each["id"] for each in result["newly_blocked"]] == ["resp_1"]
    GuardrailPolicies(database).set("strict", document)
    request = request_of("replay", policy="strict", since=since.isoformat(), project="acme")
    assert kind.work(context, request)["num_calls"] == 0
    assert kind.command(request) == f"llmos guardrail replay strict --since {since.isoformat()} --project acme"
