"""Train the model of the guardrail `prompt_injection`, and report what it blocks of families that it hasn't seen.

    python training/prompt_injection/train.py --data FOLDER [--others FOLDER] [--save] [--report]

FOLDER gets the packages that sources.py names. `--others`: JSON files of further texts, {"name": …, "is_attack": …,
"texts": […]}, if need be with "languages", which the model is measured on and never trained on. `--save` writes the
weights into the package, `--report` the figures into docs/guardrail-figures.md.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "training")]

from figures import save
from linear import Examples, Fitted, featurize, fit, untrained
from prompt_injection import attacks, report
from prompt_injection.corpus import Text, measured_texts, training_texts

from llmos.security.guardrails.injection_rules import RULES, readings
from llmos.security.guardrails.kinds.prompt_injection import WINDOW
from llmos.security.guardrails.windows import windows_of

NUM_PARTS = 8
"""Two families and three sources are held out at a time."""
NUM_PHRASINGS = 3
"""A third of the templates of all families is held out at a time."""
FALSE_POSITIVES = 0.002
"""The share of benign texts of others, of sources that the model hasn't seen, that the threshold lets it block."""
TOOL_FALSE_POSITIVES = 0.004
"""The same for what tools return, of DOCUMENTS."""
DOCUMENTS = ("code", "documentation", "messages of Django", "stories")
"""The sources of benign texts that are most like what tools return."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Texts as windows, each in every way to read it."""

    group_of: NDArray[np.str_]
    """The family of a text, or the source of a benign one."""
    language_of: NDArray[np.str_]
    phrasing_of: NDArray[np.int64]
    is_attack: NDArray[np.bool_]
    text_of: NDArray[np.int64]
    """The text that a window is of."""
    windows: Examples


def prepare(texts: Sequence[Text]) -> Prepared:
    text_of, contents, rules = [], [], []
    for i, text in enumerate(texts):
        for window in windows_of(text.text, WINDOW):
            for content, matching in readings(window):
                text_of.append(i)
                contents.append(content)
                rules.append([RULES.index(rule) for rule in matching])
    groups, labels, languages, _, phrasings = zip(*texts, strict=True)
    return Prepared(
        np.array(groups),
        np.array(languages),
        np.array(phrasings),
        np.array(labels),
        np.array(text_of),
        featurize(contents, rules),
    )


def scores(fitted: Fitted, texts: Prepared) -> NDArray[np.float64]:
    """Return the highest logit of each text's windows."""
    highest = np.full(len(texts.group_of), -np.inf)
    np.maximum.at(highest, texts.text_of, fitted.logits(texts.windows))
    return highest


def train(texts: Prepared, rows: NDArray[np.bool_]) -> Fitted:
    """Fit to the windows of some texts. Of a long attack, only the most suspicious windows count as one."""
    used = np.flatnonzero(rows[texts.text_of])
    is_attack = texts.is_attack[texts.text_of]
    num_windows = np.bincount(texts.text_of, minlength=len(rows))
    fitted = _fit(texts, used[~is_attack[used] | (num_windows[texts.text_of[used]] == 1)], untrained(len(RULES)))
    logits = fitted.logits(texts.windows)
    highest = np.full(len(rows), -np.inf)
    np.maximum.at(highest, texts.text_of, logits)
    return _fit(texts, used[~is_attack[used] | (logits[used] >= highest[texts.text_of[used]])], fitted)


def _fit(texts: Prepared, used: NDArray[np.int64], begin: Fitted) -> Fitted:
    labels = texts.is_attack[texts.text_of[used]]
    # All benign text together counts as much as all attacks, and each family as much as any other; a family in English
    # is one, and in all other languages another.
    is_english = texts.language_of[texts.text_of[used]] == "en"
    cells = np.char.add(texts.group_of[texts.text_of[used]], np.where(is_english, "", "*"))
    _, index, counts = np.unique(cells, return_inverse=True, return_counts=True)
    importance = 1 / counts[index]
    for label in (True, False):
        importance[labels == label] /= importance[labels == label].sum()
    importance[~labels] *= 2
    return fit(texts.windows.take(used), labels, importance, begin)


def held_out(texts: Prepared) -> NDArray[np.float64]:
    """Return the score of each text by a model that has seen neither its family nor its source, in any language."""
    families, others = (sorted(set(texts.group_of[texts.is_attack == label])) for label in (True, False))
    found = np.full(len(texts.group_of), np.nan)
    for i in range(NUM_PARTS):
        left_out = np.isin(texts.group_of, [*families[i::NUM_PARTS], *others[i::NUM_PARTS]])
        found[left_out] = scores(train(texts, ~left_out), texts)[left_out]
    return found


def held_out_phrasings(texts: Prepared) -> NDArray[np.float64]:
    """Return the score of each text from a template by a model that has seen its family in other words alone."""
    found = np.full(len(texts.group_of), np.nan)
    for i in range(NUM_PHRASINGS):
        left_out = (texts.phrasing_of >= 0) & (texts.phrasing_of % NUM_PHRASINGS == i)
        found[left_out] = scores(train(texts, ~left_out), texts)[left_out]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    texts = training_texts(options.data)
    prepared = prepare(texts)
    num_attacks = int(prepared.is_attack.sum())
    print(f"{num_attacks:,} attacks, {len(texts) - num_attacks:,} benign texts, {len(prepared.windows):,} windows")

    unseen, unseen_words = held_out(prepared), held_out_phrasings(prepared)
    is_of_others = ~prepared.is_attack & ~np.char.startswith(prepared.group_of, "ours")
    threshold = _quantile(unseen[is_of_others], FALSE_POSITIVES)
    tool_threshold = _quantile(unseen[np.isin(prepared.group_of, DOCUMENTS)], TOOL_FALSE_POSITIVES)
    fitted = train(prepared, np.ones(len(texts), bool))
    measured = list(measured_texts(options.data, options.others))
    results = [
        report.Result(text, held, bool(score >= threshold), bool(score >= tool_threshold))
        for held, found, scored in (
            ("group", texts, unseen),
            ("phrasing", texts, unseen_words),
            ("collection", measured, scores(fitted, prepare(measured))),
        )
        for text, score in zip(found, scored, strict=True)
        if not np.isnan(score)
    ]
    tables = report.tables(results)
    for name, table in tables.items():
        print(f"\n{name}\n\n{table}")
    english = train(prepared, prepared.language_of == "en")
    first = [Text("", True, "", attacks.fill(text, Random(1))) for text in attacks.FIRST_OF_OTHER_LANGUAGES]
    share = float(np.mean(scores(english, prepare(first)) >= threshold))
    print(f"\nTrained on English attacks alone, of those in other languages: {100 * share:.1f} %")
    thresholds = {
        "threshold": f"{_probability(threshold):.4f}",
        "tool_threshold": f"{_probability(tool_threshold):.4f}",
    }
    print(thresholds)
    if options.report:
        report.write(ROOT / "docs/guardrail-figures.md", tables)
    if options.save:
        path = ROOT / "src/llmos/security/guardrails/weights/prompt_injection.safetensors"
        about = "Trained by training/prompt_injection/train.py; see docs/guardrails.md. Apache-2.0."
        save(path, fitted, RULES, {**thresholds, "about": about})
        print(f"\n{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def _quantile(logits: NDArray[np.float64], share: float) -> float:
    """Return the logit that a share of the highest has at least."""
    return float(np.sort(logits)[int((1 - share) * len(logits))])


def _probability(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


if __name__ == "__main__":
    main()
