"""Measure the memory of serving 8 streams: the resident set of the process, with weights, KV cache and Python."""

import re
from pathlib import Path

from engines import Engine, engine
from environments import Environments
from forms import GGUF_KINDS, Model
from results import Memory
from turns import VOCAB_SIZE, started

from llmos.engine.sizing.workloads import random_prompts

STREAMS, TOKENS_PER_STREAM = 8, 1024
PROMPT_TOKENS, OUTPUT_TOKENS = 32, 128


def memory_while_serving(
    model: Model, environments: Environments, threads: int, kinds: tuple[str, ...] = GGUF_KINDS
) -> dict[str, Memory]:
    """Serve 8 streams on each engine; both have a KV cache for 8 streams of 1,024 tokens."""
    room = ("--streams", STREAMS, "--tokens-per-stream", TOKENS_PER_STREAM)
    found = {}
    for kind in kinds:
        path = model.gguf(kind)
        for each in (
            engine(f"LLMOS {kind}", environments.llmos, "run_llmos.py", path, threads, *room),
            engine(f"llama.cpp {kind}", environments.llama_cpp, "run_llama_cpp.py", path, threads, *room),
        ):
            found[each.name] = serve_and_look(each)
    return found


def serve_and_look(engine: Engine) -> Memory:
    with started(engine) as running:
        running.facts()
        process = Path(f"/proc/{running.pid}")
        peak_of_loading = resident(process)["VmHWM"]
        (process / "clear_refs").write_text("5")  # resets the peak; see proc(5)
        running.ask(random_prompts(STREAMS, PROMPT_TOKENS, 100, VOCAB_SIZE), OUTPUT_TOKENS)
        after = resident(process)
    return Memory(peak=after["VmHWM"], anonymous=after["RssAnon"], peak_of_loading=peak_of_loading)


def resident(process: Path) -> dict[str, int]:
    """Return the sizes in a process's /proc status, in bytes, by name."""
    lines = re.findall(r"^(\w+):\s+(\d+) kB$", (process / "status").read_text(), re.MULTILINE)
    return {name: int(kib) * 1024 for name, kib in lines}
