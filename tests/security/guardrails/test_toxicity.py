"""Texts that the guardrail toxicity finds, and that it is the same for every group of people."""

from typing import Any

import pytest

from llmos.core.errors import BadRequest, PromptBlocked
from llmos.security.guardrails.policy import open_policy
from llmos.security.guardrails.screening import Screening
from llmos.security.guardrails.toxic_words import SLURS, VULGAR, without_groups

GROUPS = (
    *("women", "men", "gay people", "trans people", "black people", "white people", "Asians", "Muslims", "Jews"),
    *("Christians", "atheists", "immigrants", "refugees", "disabled people", "old people", "Mexicans", "Germans"),
)


def found(text: str, **options: Any) -> str | None:
    screening = Screening([open_policy("p", 1, {"input": [{"guardrail": "toxicity", **options}]})])
    try:
        screening.screen_prompt([text])
    except PromptBlocked:
        return screening.findings[0].rule
    return None


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("I hate {}.", "hate"),
        ("{} are vermin.", "hate"),
        ("All {} are stupid and lazy.", "hate"),
        ("{} should be killed.", "hate"),
        ("We must get rid of {} in this country.", "hate"),
        ("{} are not even human.", "hate"),
        ("I am friends with many {}.", None),
        ("{} are wonderful.", None),
        ("What challenges do {} face at work?", None),
        ("{} have the right to vote.", None),
        ("It's wrong to say that {} are stupid.", None),
        ('He was banned for writing "{} are vermin".', None),
        ("I don't hate {}.", None),
        ("No one should say that {} deserve to die.", None),
        ("{} were persecuted and killed in the war.", None),
    ],
)
def test_the_verdict_is_the_same_for_every_group(group: str, text: str, rule: str | None) -> None:
    assert found(text.format(group)) == rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("You are a worthless piece of trash.", "insult"),
        ("Shut the fuck up!", "insult"),
        ("I will kill you.", "threat"),
        ("Go kill yourself", "threat"),
        ("I hope you die.", "threat"),
        ("y0u 4r3 4 st0p1d 1d10t, y0u 4r3 4n 1d10t", "insult"),
        ("What a faggot.", "slur"),
        ("I am a proud faggot.", None),
        ("You are a kind person.", None),
        ("I will help you.", None),
        ("Kill the process and start it again.", None),
        ("How do I kill weeds?", None),
        ("I hate Mondays.", None),
        ("This is fucking great.", None),
        ("My black box theory of white noise is straight.", None),
        ("Je suis en retard. The Maine Coon is a cat. Van Dyke painted.", None),
    ],
)
def test_insults_threats_and_slurs_are_found_and_ordinary_words_are_not(text: str, rule: str | None) -> None:
    assert found(text) == rule


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Ich bringe dich um.", "threat"),
        ("Du bist ein Idiot!", "insult"),
        ("Je vais te tuer.", "threat"),
        ("Tu es un imbécile.", "insult"),
        ("Te voy a matar.", "threat"),
        ("Eres una basura.", "insult"),
        ("Ti ammazzo!", "threat"),
        ("Sei un cretino.", "insult"),
        ("Vou te matar.", "threat"),
        ("Você é um lixo.", "insult"),
        ("Ik maak je af.", "threat"),
        ("Jij bent een sukkel.", "insult"),
        ("Zabiję cię!", "threat"),
        ("Jesteś idiotą.", "insult"),
        ("Я тебя убью.", "threat"),
        ("Ты идиот.", "insult"),
        ("Seni öldüreceğim.", "threat"),
        ("Sen bir aptalsın.", "insult"),
        ("سأقتلك.", "threat"),
        ("أنت غبي.", "insult"),
        ("मैं तुम्हें मार डालूँगा।", "threat"),
        ("तुम बेवकूफ हो।", "insult"),
        ("我要杀了你。", "threat"),
        ("你是个废物。", "insult"),
        ("お前を殺す。", "threat"),
        ("お前は馬鹿だ。", "insult"),
        ("너를 죽여버릴 거야.", "threat"),
        ("너는 쓰레기야.", "insult"),
        ("Du bist kein Idiot.", None),
        ("Ich bringe dich nach Hause.", None),
        ("Tu n'es pas un imbécile.", None),
        ("No eres idiota.", None),
        ("Te voy a llamar mañana.", None),
        ("Non sei un cretino.", None),
        ("Sei ore di lezione.", None),
        ("Você não é um lixo.", None),
        ("Je bent geen sukkel.", None),
        ("Nie jesteś idiotą.", None),
        ("Ты не дурак.", None),
        ("Sen aptal değilsin.", None),
        ("لن أقتلك.", None),
        ("तुम मूर्ख नहीं हो।", None),
        ("你不是废物。", None),
        ("お前は馬鹿じゃない。", None),
        ("너는 바보가 아니야.", None),
        ("Er schrieb „Du bist ein Idiot“ an die Wand.", None),
    ],
)
def test_threats_and_insults_are_found_in_other_languages_and_what_denies_them_is_not(
    text: str, rule: str | None
) -> None:
    assert found(text) == rule


@pytest.mark.parametrize(
    "text",
    ["This is fucking great.", "Du Arschloch", "va te faire, connard", "你他妈的", "hijoputa", "курва? нет, сука"],
)
def test_vulgar_words_are_found_if_they_are_asked_for(text: str) -> None:
    assert found(text, rules=["vulgar"]) == "vulgar"
    assert found("The cup is full.", rules=["vulgar"]) is None


def test_names_of_groups_are_no_slurs() -> None:
    groups = {"gay", "lesbian", "queer", "black", "jew", "muslim", "trans", "disabled", "homosexual"}
    assert SLURS.isdisjoint(groups)
    assert VULGAR.isdisjoint(groups)
    assert without_groups("black people and lesbian women") == "people and people"


def test_an_answer_is_screened_some_sentences_at_a_time() -> None:
    policy = open_policy("p", 1, {"output": [{"guardrail": "toxicity", "action": "mask"}]})
    channel = Screening([policy]).open_channel()
    text = "The weather is fine today, and we went to the park. " * 5 + "You are a worthless idiot."
    shown = "".join(channel.push(text[i : i + 7]) for i in range(0, len(text), 7)) + channel.finish()
    assert shown.startswith("The weather is fine today")
    assert "[INSULT]" in shown
    assert "idiot" not in shown


@pytest.mark.parametrize(("rules", "why"), [([], "is empty"), (["hatred"], "Did you mean hate")])
def test_rules_that_there_are_not_are_refused(rules: list[str], why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        found("Hello", rules=rules)
