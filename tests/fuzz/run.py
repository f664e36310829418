"""Search for inputs that break a target: coverage-guided, with atheris. `make fuzz` runs all targets.

python tests/fuzz/run.py TARGET [--seconds 60]

An input that breaks the target is written to tests/fuzz/regressions/TARGET/, to be committed with the fix.
"""

import argparse
import hashlib
import logging
import os
import random
import sys
import tempfile
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

INSTRUMENTED = ["llmos.engine", "llmos.gateway.http", "llmos.core", "llmos.data", "pypdf", "mammoth", "markdown_it"]
"""The packages whose branches the fuzzer sees."""

REGRESSIONS = Path(__file__).parent / "regressions"


def main() -> None:
    try:
        import atheris
    except ImportError:
        sys.exit("Fuzzing needs atheris: pip install --constraint constraints.txt atheris")
    parser = argparse.ArgumentParser(description="Search for inputs that break a target.")
    parser.add_argument("target")
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    with atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz.mutations import MUTATIONS
        from fuzz.seeds import seeds_of
        from fuzz.targets import TARGETS

        if arguments.target == "documents":
            from fuzz.data_targets import import_parsers

            import_parsers()
    if arguments.target not in TARGETS:
        sys.exit(f"There is no target {arguments.target}. There are: {', '.join(TARGETS)}")
    target, mutation = TARGETS[arguments.target], MUTATIONS.get(arguments.target)
    logging.disable()  # Most inputs are refused, and each refusal is logged.

    def test(data: bytes) -> None:
        try:
            target(data)
        except Exception:
            folder = REGRESSIONS / arguments.target
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / hashlib.sha256(data).hexdigest()[:16]
            path.write_bytes(data)
            traceback.print_exc()
            print(f"The input is in {path}.", file=sys.stderr, flush=True)
            os._exit(1)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        rng = random.Random(seed)
        changed = mutation(data, rng) if mutation is not None and rng.random() < 0.7 else None
        if changed is None or len(changed) > max_size:
            return atheris.Mutate(data, len(data))
        return changed

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds_of(arguments.target)):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [f"-max_total_time={arguments.seconds}", "-rss_limit_mb=2500", "-timeout=20", "-print_final_stats=1"]
        prefix = f"-artifact_prefix={REGRESSIONS}/{arguments.target}-"
        atheris.Setup([sys.argv[0], corpus, "-max_len=65536", *options, prefix], test, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
