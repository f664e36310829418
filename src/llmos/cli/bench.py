"""llmos bench: measure the speed of a model on this machine."""

from typing import Annotated

import typer

from llmos.cli import options


def register(app: typer.Typer) -> None:
    app.command("bench")(bench)


def bench(
    model: options.ModelOrRoute,
    workload: Annotated[
        list[str] | None, typer.Option(help="Only this workload. Can be repeated.", show_default=False)
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs per workload; the median is reported.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Measure the speed of a model on this machine, with random prompts and greedy decoding."""
    import json
    import sys
    from dataclasses import asdict

    from llmos.cli.backends import find_or_pull
    from llmos.cli.output import print_table, stderr, stdout
    from llmos.core.config import load_settings
    from llmos.engine.config import EngineConfig
    from llmos.engine.loading import load_engine
    from llmos.engine.sizing.workloads import WORKLOADS, measure, runs_on

    known = [each.name for each in WORKLOADS]
    for name in workload or []:
        if name not in known:
            raise typer.BadParameter(f"There is no workload {name!r}. Workloads: {', '.join(known)}")
    chosen = [each for each in WORKLOADS if not workload or each.name in workload]
    settings = load_settings()
    version, loadable = find_or_pull(model, settings)
    engine, ready = load_engine(loadable.files, EngineConfig.from_options(settings.engine_options))
    rows = []
    with stderr().status("Warming up …") as status:  # silent where stderr is no terminal
        for measurement in measure(runs_on(engine), repeats, vocab_size=ready.vocab_size, workloads=chosen):
            row = asdict(measurement)
            rows.append(row)
            status.update(f"{len(rows)} of {len(chosen)} done …")
            if as_json:
                sys.stdout.write(json.dumps(row) + "\n")
                sys.stdout.flush()
    if not as_json:
        stdout().print(f"{version.ref} on {ready.isa}, {ready.threads} threads")
        print_table(rows, {"workload": "workload", "tokens_per_second": "tokens/s", "runs": "runs"})
