"""Renders docs/benchmarks.md from the results. Pure: results in, Markdown out."""

import statistics
from collections.abc import Iterable, Sequence

from goals import Verdict, verdicts
from limits import limit_of
from rates import OURS, Rates, Spread
from results import Limits, Results, Speeds

from llmos.engine.sizing.workloads import WORKLOADS

NAMES = [workload.name for workload in WORKLOADS]
TITLES = {
    "small": "SmolLM2-135M-Instruct",
    "large": "Ten times as large: a llama of 1.2 billion random parameters",
}
HOW = """\
Every engine runs in an environment of its own, alone on the machine, in turn: in each round it starts, warms up,
runs all workloads and ends before the next one starts; each round begins with another engine. All get the same prompts
of random tokens (new ones in every round), the same numbers of tokens and the same threads, and answer greedily, the
end of the sequence ignored.

- The forms of a model are made from the same numbers. The 4-bit GGUF files and int4 have an embedding, which is the
  head too, of 8 bits.
- Prefix caching is off everywhere, and so is LLMOS's speculation: these tables are about computing tokens. What the
  two add is below.
- The peers run with their defaults, except: llama.cpp gets room for all streams in one cache, OpenVINO chunked prefill
  (it is faster with it), vLLM all cores (it keeps one for its frontend otherwise).
- A cell is the median (lowest to highest) of the rounds. A ratio is the median of the rounds' own ratios.

| workload | prompts | prompt tokens | output tokens | counted |
|---|---:|---:|---:|---|
| prefill_512 | 1 | 512 | 1 | prompt tokens |
| decode_1 | 1 | 32 | 128 | output tokens after the first |
| decode_8 | 8 | 32 | 128 | output tokens over the whole time, prefill included |
| decode_32 | 32 | 32 | 128 | the same |
| mixed_16 | 16 | 256 | 128 | the same |"""


def write_page(results: Results, notes: str = "") -> str:
    """Return the whole page, without sections that were not measured. `notes`: Markdown for its end."""
    sections = [opening(results)]
    if found := verdicts(results):
        sections.append(goals_section(found))
    for model, speeds in results.speeds.items():
        sections.append(speeds_section(model, speeds))
    if results.speeds:
        sections.append(f"## How it is measured\n\n{HOW}")
    if results.limits and results.speeds:
        sections.append(limits_section(results.limits, results.speeds))
    if results.regions:
        sections.append(regions_section(results))
    sections += [part for part in (first_token_section(results), memory_section(results)) if part]
    sections += [part for part in (http_section(results), prefix_section(results)) if part]
    if results.speculation:
        sections.append(speculation_section(results))
    if notes:
        sections.append(notes.strip())
    return "\n\n".join(sections) + "\n"


def opening(results: Results) -> str:
    versions = dict.fromkeys(facts.version for speeds in results.speeds.values() for facts in speeds.facts.values())
    commits = dict.fromkeys(section.commit for section in results.sections.values())
    dates = sorted({section.date for section in results.sections.values()})
    when = " to ".join(dict.fromkeys([*dates[:1], *dates[-1:]]))
    lines = [
        "# Benchmarks",
        "",
        "Printed by `make bench-peers` (`benchmarks/peers/compare.py`), which installs the peers and measures it all.",
        "",
        f"- Machine: {results.machine}; {results.threads} threads",
        f"- Versions: {', '.join(versions)}; this project at {', '.join(commits)}",
        f"- Measured on {when}",
    ]
    return "\n".join(lines)


def goals_section(found: Sequence[Verdict]) -> str:
    rows = [
        (
            verdict.what,
            verdict.against,
            f"{'≤' if verdict.is_ceiling else '≥'} {verdict.goal:g} ×",
            times(verdict.ratio),
            "met" if verdict.is_met else "**not met**",
        )
        for verdict in found
    ]
    num_met = sum(verdict.is_met for verdict in found)
    head = f"## Goals\n\n{num_met} of {len(found)} are met in this run."
    return f"{head}\n\n{table(('what', 'against', 'goal', 'measured', ''), rows, 'llrrl')}"


def speeds_section(model: str, speeds: Speeds) -> str:
    rates = Rates(speeds.rates)
    rows = [(engine, *(cell(rates.spread(engine, name)) for name in NAMES)) for engine in rates.engines()]
    rows += [(name, "failed", *["–"] * (len(NAMES) - 1)) for name in speeds.failures if name not in rates.engines()]
    parameters = speeds.shape.layers + speeds.shape.head * (1 if speeds.shape.is_tied else 2)
    text = [
        f"## {TITLES.get(model, model)}",
        f"Tokens a second, in process; {parameters / 1e6:,.0f} million parameters, {rates.num_rounds()} rounds.",
    ]
    if model == "small":
        text.append("![Bars of the medians below, workload by workload](benchmarks.svg)")
    text.append(table(("", *NAMES), rows, "l" + "r" * len(NAMES)))
    text += [f"{engine} left the run: {reason}" for engine, reason in speeds.failures.items()]
    best = {name: rates.best(name, rates.peers()) for name in NAMES}
    ratios = [
        (engine, *(times(rates.ratio(engine, peer, name)) if (peer := best[name]) else "–" for name in NAMES))
        for engine in rates.engines()
        if engine.startswith(OURS)
    ]
    if any(best.values()):
        text.append("Times as fast as the best peer of each workload:")
        heads = ("", *(f"{name}, {best[name]}" for name in NAMES))
        text.append(table(heads, ratios, "l" + "r" * len(NAMES)))
    return "\n\n".join(text)


def limits_section(limits: Limits, models: dict[str, Speeds]) -> str:
    text = [
        "## Share of what the machine can do",
        "`benchmarks/probe.cpp` measures on the same threads: "
        f"{limits.read_bytes_per_second / 1e9:.1f} GB/s of memory read, "
        f"{limits.int8_macs_per_second / 1e9:,.0f} billion multiply-adds of 8-bit integers a second "
        f"({limits.instructions}, operands in registers), {limits.f32_fmas_per_second / 1e9:,.0f} billion of floats.",
        "A step reads every weight once and multiplies it with every row; it can't take less than the slower of the "
        "two takes. Attention, norms, sampling and Python come on top and are not in the limit. Weights that stay in "
        "the CPU's caches from step to step can beat it.",
    ]
    rows = []
    for model, speeds in models.items():
        rates = Rates(speeds.rates)
        for engine, facts in speeds.facts.items():
            if not facts.weight_bytes or "AVX2" in engine:  # the probe takes the best instructions there are
                continue
            shares = []
            for workload in WORKLOADS:
                limit = limit_of(workload, speeds.shape, facts.weight_bytes, limits)
                spread = rates.spread(engine, workload.name)
                shares.append(f"{spread.median / limit:.0%} of {limit:,.0f}" if spread else "–")
            rows.append((f"{engine}, {model}", f"{facts.weight_bytes / 1e6:,.0f}", *shares))
    text.append(table(("", "weights, MB", *NAMES), rows, "lr" + "r" * len(NAMES)))
    return "\n\n".join(text)


def regions_section(results: Results) -> str:
    profiles = results.regions
    names = dict.fromkeys(name for profile in profiles.values() for name in profile.regions)
    regions = sorted(names, key=lambda name: -sum(p.regions.get(name, 0.0) / p.seconds for p in profiles.values()))
    rows = []
    for region in regions:
        cells = [share(each.regions.get(region, 0.0), each.seconds, each.steps) for each in profiles.values()]
        rows.append((region, *cells))
    outside = [max(0.0, each.seconds - sum(each.regions.values())) for each in profiles.values()]
    left = [share(rest, each.seconds, each.steps) for rest, each in zip(outside, profiles.values(), strict=True)]
    rows.append(("outside of the forward pass: sampling, scheduling, Python", *left))
    rows.append(("a step", *(f"{each.seconds / each.steps * 1000:,.2f} ms" for each in profiles.values())))
    text = [
        "## Where the time of a step goes",
        "LLMOS Q4_1, SmolLM2: milliseconds of a step on the first thread (`benchmarks/regions.py`), and their share.",
        table(("", *profiles), rows, "l" + "r" * len(profiles)),
    ]
    return "\n\n".join(text)


def first_token_section(results: Results) -> str | None:
    if not results.first_token:
        return None
    rows = [
        (engine, f"{spread.median:.2f} s", f"{spread.lowest:.2f}–{spread.highest:.2f}")
        for engine, seconds in results.first_token.items()
        for spread in [Spread.of(seconds)]
    ]
    rounds = max(map(len, results.first_token.values()))
    text = (
        "From the start of the Python process to the first token after a prompt of 32, the files in the page cache; "
        f"each engine with its own default context, median of {rounds} turns."
    )
    return f"## The first token\n\n{text}\n\n{table(('', 'median', 'spread'), rows, 'lrr')}"


def memory_section(results: Results) -> str | None:
    if not results.memory:
        return None
    rows = [
        (engine, mib(each.peak), mib(each.anonymous), mib(each.peak_of_loading))
        for engine, each in results.memory.items()
    ]
    text = (
        "Resident MiB of the whole process, Python included, with 8 streams of 32 prompt and 128 output tokens and a "
        "KV cache for 8 streams of 1,024 tokens in both engines; llama.cpp touches all of it at once, LLMOS what it "
        "uses."
    )
    heads = ("", "peak while serving", "of it not from files", "peak while loading")
    return f"## Memory\n\n{text}\n\n{table(heads, rows, 'lrrr')}"


def http_section(results: Results) -> str | None:
    measured = results.over_http
    if measured is None:
        return None
    rows = [
        ("in process", cell(Spread.of(measured.in_process))),
        ("`llmos serve`, streamed", cell(Spread.of(measured.streamed))),
        ("`llmos serve`, in one piece", cell(Spread.of(measured.plain))),
    ]
    text = (
        f"Output tokens a second of {measured.clients} clients, 3 requests each of 32 prompt and 128 output tokens, in "
        "turns with the same work in process (`benchmarks/over_http.py`). The clients run on the same cores."
    )
    return f"## Over HTTP\n\n{text}\n\n{table(('', 'tokens/s'), rows, 'lr')}"


def prefix_section(results: Results) -> str | None:
    measured = results.shared_prefix
    if measured is None:
        return None
    rows = [
        (name, *(f"{value * 1000:,.1f} ms" for value in (statistics.median(each), min(each), max(each))))
        for name, each in (("no cache", measured.without_cache), ("prefix in the cache", measured.with_cache))
    ]
    text = (
        f"Time to the first token of {len(measured.with_cache)} requests that share {measured.prefix_tokens:,} tokens "
        f"and differ in the {measured.tail_tokens} after them (`benchmarks/shared_prefix.py`)."
    )
    heads = ("", "median", "lowest", "highest")
    return f"## A shared prefix\n\n{text}\n\n{table(heads, rows, 'lrrr')}"


def speculation_section(results: Results) -> str:
    rows = [
        (
            each.workload,
            times(Spread.of(each.ratios)),
            f"{each.num_accepted_tokens:,} of {each.num_draft_tokens:,}",
            f"{each.tokens_per_step:.2f}",
        )
        for each in results.speculation
    ]
    text = (
        "Prompt-lookup speculation against none, in turns; the number in a workload's name is how many streams run at "
        "once. `benchmarks/speculation.py` says what the workloads are, and checks that the tokens are the same."
    )
    heads = ("", "times as fast", "drafted right", "tokens a step")
    return f"## Speculation\n\n{text}\n\n{table(heads, rows, 'lrrr')}"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], align: str) -> str:
    """Return a Markdown table; `align` has an l or r for each column."""
    lines = [heads, ["---:" if each == "r" else "---" for each in align], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(spread: Spread | None) -> str:
    if spread is None:
        return "–"
    return f"{spread.median:,.0f} ({spread.lowest:,.0f}–{spread.highest:,.0f})"


def times(ratio: Spread | None) -> str:
    if ratio is None:
        return "–"
    if ratio.lowest == ratio.highest:
        return f"{ratio.median:.2f}"
    return f"**{ratio.median:.2f}** ({ratio.lowest:.2f}–{ratio.highest:.2f})"


def share(seconds: float, of: float, steps: int) -> str:
    return f"{seconds / steps * 1000:,.3f} ({seconds / of:.0%})"


def mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.0f}"
