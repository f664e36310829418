"""Texts that each kind of guardrail finds, and those that it leaves alone."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from llmos.core.errors import BadRequest, PromptBlocked
from llmos.security.guardrails.guardrail import ALL_CHANNELS, ALL_SOURCES, BOTH_SIDES, Options
from llmos.security.guardrails.kinds import kinds, load_kind
from llmos.security.guardrails.policy import Policy, open_policy
from llmos.security.guardrails.screening import FAILED, OUT_OF_TIME, Screening


@cache
def masking(guardrail: str) -> Policy:
    return open_policy("p", 1, {"output": [{"guardrail": guardrail, "action": "mask"}]})


def passed(policy: Policy, text: str) -> str:
    channel = Screening([policy]).open_channel()
    return channel.push(text) + channel.finish()


def outcome(text: str, **entry: Any) -> tuple[str, bool]:
    """Return the part of an answer that passes, and whether it was cut off."""
    channel = Screening([open_policy("p", 1, {"output": [entry]})]).open_channel()
    return channel.push(text) + channel.finish(), channel.is_blocked


@pytest.mark.parametrize("name", kinds())
def test_every_kind_has_the_interface(name: str) -> None:
    kind = load_kind(name)
    assert issubclass(kind.Options, Options)
    assert set(kind.GUARDRAIL.sides) <= set(BOTH_SIDES)
    assert set(kind.GUARDRAIL.channels) <= set(ALL_CHANNELS)
    assert kind.GUARDRAIL.waits in (True, False)


OPTIONS: dict[str, dict[str, Any]] = {
    "canary": {"tokens": ["x7f3-canary-1c"]},
    "denied_topics": {"phrases": ["Zanzibar"]},
    "json_schema": {"schema": {}},
    "language": {"allowed": ["en"]},
    "max_length": {"characters": 9},
    "webhook": {"url": "http://127.0.0.1:9/", "allow_private": True},
}
"""The required options of each kind."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.torch if name == "presidio" else ()) for name in kinds()]
)
@pytest.mark.combinations
@pytest.mark.parametrize("fail_closed", [True, False])
def test_every_kind_has_a_budget_and_blocks_or_passes_what_it_could_not_screen_in_it(
    monkeypatch: pytest.MonkeyPatch, name: str, fail_closed: bool
) -> None:
    now = iter(range(0, 10**9, 60))
    entry = {"guardrail": name, "action": "flag", "budget_ms": 50, "fail_closed": fail_closed, **OPTIONS.get(name, {})}
    sides = load_kind(name).GUARDRAIL.sides
    policy = open_policy("p", 1, {sides[0]: [entry]})
    for clock in ("_thread_clock", "_wall_clock"):
        monkeypatch.setattr(f"llmos.security.guardrails.screening.{clock}", lambda: next(now))
    rules = {FAILED, OUT_OF_TIME}  # The webhook has no service.
    text = "A text that says nothing. " * 40
    screening = Screening([policy])
    if "input" in sides:
        if fail_closed:
            with pytest.raises(PromptBlocked):
                screening.screen_prompt([text])
        else:
            assert screening.screen_prompt([text]) == [text]
    else:
        channel = screening.open_channel()
        assert channel.push(text) + channel.finish() in (text, "") or fail_closed
        assert channel.is_blocked == fail_closed
    assert {(each.verdict) for each in screening.findings if each.rule in rules} == {"block" if fail_closed else "flag"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mail joe.müller@mail.example.com.", "mail [EMAIL]."),
        ("联系zhang@example.com谢谢", "联系[EMAIL]谢谢"),
        ("card 4111 1111 1111 1111, ok", "card [PAYMENT_CARD], ok"),
        ("DE89 3704 0044 0532 0130 00 IS MINE", "[IBAN] IS MINE"),
        ("身份证号11010519491231002X。手机13812345678", "身份证号[NATIONAL_ID]。手机[PHONE]"),
        ("ssn 536-90-4399", "ssn [NATIONAL_ID]"),
        ("call (415) 555-2671 or +49 30 901820", "call [PHONE] or [PHONE]"),
        ("at 192.168.0.12 and 2001:db8::8a2e:370:7334", "at [IP_ADDRESS] and [IP_ADDRESS]"),
        ("48.8584, 2.2945 is here", "[COORDINATES] is here"),
        ("born on 12 May 1985, DOB: 1985-05-12", "born on [DATE_OF_BIRTH], DOB: [DATE_OF_BIRTH]"),
        ("born May 4, 1985; 生日：1990年1月2日", "born [DATE_OF_BIRTH]; 生日：[DATE_OF_BIRTH]"),
    ],
)
def test_personal_data_is_found(text: str, masked: str) -> None:
    assert passed(masking("pii"), text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112 and order 2023456789",  # no check digit, and no signs
        "on 2024-01-31 12:00, 12.05.2024, at 12:30:45 in std::vector",
        "pi is 3.14159265, version 1.2.3, 127.0.0.1, me@localhost",
        "DE00370400440532013000 and 110105194912310021",
    ],
)
def test_what_only_looks_like_personal_data_is_left_alone(text: str) -> None:
    assert passed(masking("pii"), text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("AKIAIOSFODNN7EXAMPLE x", "[AWS_ACCESS_KEY] x"),
        ("api_key=Zx81kQp03mVt", "api_key=[ASSIGNED_SECRET]"),
        ('{"password": "x9Lq02mZ"}', '{"password": "[ASSIGNED_SECRET]"}'),
        ("the password is Tr0ub4dor&3.", "the password is [ASSIGNED_SECRET]."),
        ("密码：aB3dE5fG7hI9。", "密码：[ASSIGNED_SECRET]。"),
        ("postgres://bob:s3cr3tpw@db:5432/x", "postgres://bob:[URL_PASSWORD]@db:5432/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", "[PRIVATE_KEY] end"),
        (f"ghp_{'a1' * 18}", "[GITHUB_TOKEN]"),
        (f"llmos_{'aB3-' * 10}xyz", "[LLMOS_KEY]"),
    ],
)
def test_secrets_are_found(text: str, masked: str) -> None:
    assert passed(masking("secrets"), text) == masked


@pytest.mark.parametrize("text", ["password: correcthorse", "token: the-quick-brown-fox", "the secret is out there"])
def test_words_are_no_secrets(text: str) -> None:
    assert passed(masking("secrets"), text) == text


def test_a_canary_never_comes_out() -> None:
    entry = {"guardrail": "canary", "tokens": ["Mark-77-zebra"]}
    assert outcome("It says mark-77-ZEBRA.", **entry) == ("It says ", True)
    with pytest.raises(BadRequest, match="takes 8 to 256"):
        outcome("", guardrail="canary", tokens=["short"])


def test_an_answer_ends_at_its_length() -> None:
    assert outcome("12345678", guardrail="max_length", characters=5) == ("12345", True)
    assert outcome("12345", guardrail="max_length", characters=5) == ("12345", False)


@pytest.mark.parametrize(
    ("text", "is_blocked"), [('{"n": 1}', False), ('{"n": "x"}', True), ("no JSON", True), ('{"n": 1', True)]
)
def test_an_answer_that_breaks_its_schema_is_withheld(text: str, is_blocked: bool) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert outcome(text, guardrail="json_schema", schema=schema) == ("" if is_blocked else text, is_blocked)


@pytest.mark.parametrize(
    ("text", "is_blocked"),
    [
        ("This is a perfectly ordinary sentence of English.", False),
        ("Das ist ein ganz gewöhnlicher Satz auf Deutsch.", True),
        ("今天天气很好，我们一起去公园散步吧。", True),
        ("Ja, gut.", False),
    ],
)
def test_other_languages_are_found(text: str, is_blocked: bool) -> None:
    assert outcome(text, guardrail="language", allowed=["en"])[1] == is_blocked


class Failing:
    """A guardrail that fails, or takes long, on the second piece."""

    actions, sides, channels = ("block",), BOTH_SIDES, ALL_CHANNELS
    sources = ALL_SOURCES
    waits = False

    def __init__(self, error: Exception | None, on_piece: Any = None) -> None:
        self._error, self._on_piece, self._held = error, on_piece or (lambda: None), ""

    def screen_prompt(self, texts: Any, sources: Any) -> Any:
        for text in texts:
            yield self._pieces(text)

    def screen_stream(self) -> "Failing":
        return Failing(self._error, self._on_piece)

    def push(self, chunk: str) -> Any:
        self._held = chunk
        return self._pieces(chunk)

    def finish(self) -> Any:
        return iter(())

    def held(self) -> str:
        return self._held

    def _pieces(self, text: str) -> Any:
        yield ""
        self._on_piece()
        if self._error is not None:
            raise self._error
        self._held = ""
        yield text


def failing(error: Exception | None, *, fail_closed: bool, on_piece: Any = None) -> Policy:
    policy = open_policy("p", 1, {"both": [{"guardrail": "max_length", "characters": 1}]})
    step = replace(policy.input[0], name="own", guardrail=Failing(error, on_piece), fail_closed=fail_closed)
    return replace(policy, input=[step], output=[step])


@pytest.mark.parametrize("rule", [FAILED, OUT_OF_TIME])
@pytest.mark.parametrize("fail_closed", [True, False])
def test_what_cannot_be_screened_is_blocked_or_passes_as_the_policy_says(
    monkeypatch: pytest.MonkeyPatch, rule: str, fail_closed: bool
) -> None:
    now = [0.0]
    for clock in ("_thread_clock", "_wall_clock"):
        monkeypatch.setattr(f"llmos.security.guardrails.screening.{clock}", lambda: now[0])

    def take_long() -> None:
        now[0] += 60

    policy = (
        failing(ValueError("secret text"), fail_closed=fail_closed)
        if rule == FAILED
        else failing(None, fail_closed=fail_closed, on_piece=take_long)
    )
    screening = Screening([policy])
    if fail_closed:
        with pytest.raises(PromptBlocked) as caught:
            screening.screen_prompt(["text"])
        assert "own of the policy p" in caught.value.message
        assert "secret" not in caught.value.message
    else:
        assert screening.screen_prompt(["text"]) == ["text"]
    channel = screening.open_channel()
    # A piece that was certain before the time was over passes.
    is_withheld = fail_closed and rule == FAILED
    assert channel.push("text") + channel.push("more") + channel.finish() == (
        "" if is_withheld else "text" if fail_closed else "textmore"
    )
    assert channel.is_blocked == fail_closed
    assert {finding.rule for finding in screening.findings} == {rule}
