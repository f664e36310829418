"""Count the texts of HateCheck that the guardrail `toxicity` blocks, by group and by function, and benign ones.

    python benchmarks/toxicity.py FILE… [--cases]

HateCheck (Röttger et al. 2021, CC BY 4.0) is the file test_suite_cases.csv of github.com/paul-rottger/hatecheck-data;
in ten other languages (Röttger et al. 2022, CC BY 4.0), the files in `MHC Final Cases` of
github.com/rewire-online/multilingual-hatecheck. `--cases` prints what is blocked of what isn't hateful.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "training")]

from figures import row

from llmos.core.errors import PromptBlocked
from llmos.security.guardrails.policy import Policy, open_policy
from llmos.security.guardrails.screening import Screening


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hatecheck", type=Path, nargs="+")
    parser.add_argument("--cases", action="store_true")
    options = parser.parse_args()
    policy = open_policy("toxicity", 1, {"input": [{"guardrail": "toxicity", "budget_ms": 1000}]})
    for path in options.hatecheck:
        print(f"\n{path.name}")
        report(policy, path, shows_cases=options.cases)
    passages = [each for text in topics.values() for each in text.split("\n\n") if len(each) > 80]
    print_row("passages of Python's documentation", [is_blocked(policy, passage) for passage in passages])


def report(policy: Policy, path: Path, *, shows_cases: bool) -> None:
    """Print what is blocked of one file, by group and by function."""
    cases = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    blocked = [is_blocked(policy, case["test_case"]) for case in cases]
    for label in ("hateful", "non-hateful"):
        chosen = [i for i, case in enumerate(cases) if case["label_gold"] == label]
        for field in ("target_ident", "functionality"):
            print(f"\n| {label}, by {field} | texts | blocked | 95 % |\n|---|---|---|---|")
            for value in sorted({cases[i][field] for i in chosen}):
                print_row(value or "no group", [blocked[i] for i in chosen if cases[i][field] == value])
        print_row("all", [blocked[i] for i in chosen])
    if shows_cases:
        for i, case in enumerate(cases):
            if blocked[i] and case["label_gold"] != "hateful":
                print(case["functionality"], case["test_case"])


def is_blocked(policy: Policy, text: str) -> bool:
    try:
        Screening([policy]).screen_prompt([text])
    except PromptBlocked:
        return True
    return False


def print_row(name: str, blocked: Sequence[bool]) -> None:
    print(row(name, sum(blocked), len(blocked)))


if __name__ == "__main__":
    main()
