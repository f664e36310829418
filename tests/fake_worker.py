"""The real worker around a fake model. The model's file is a JSON object of faults and logs:

refuse          loading raises BadModelFile with this message
stumble         loading raises an unexpected error with this message
die_loading     number of times that the process dies while it loads
die_computing   number of times that the process dies in the forward pass of a prompt with the token 13
hang_loading    number of times that loading never ends
hang_computing  number of times that the forward pass of a prompt with the token 13 never ends
hang_encoding   number of times that encoding the text "13" never ends
load_log        path of a file that gets a line for each load
tell_loading    half of the progress is reported before loading ends
pid_log         path of a file that gets a line with the process id for each load
"""

import json
import os
import signal
import sys
import threading

from llmos.core.errors import BadModelFile
from llmos.engine.config import EngineConfig
from llmos.engine.engine import Engine
from llmos.engine.messages import Ready
from llmos.engine.replica import worker
from llmos.engine.replica.worker import main
from support.fakes import FakeRunner, FakeTokenizer


def load(files, config, progress, stages):
    path = files["model"]
    behaviour = json.loads(path.read_text())
    if log := behaviour.get("load_log"):
        with open(log, "a") as lines:
            lines.write("load\n")
    if log := behaviour.get("pid_log"):
        with open(log, "a") as lines:
            lines.write(f"{os.getpid()}\n")
    if "refuse" in behaviour:
        raise BadModelFile(behaviour["refuse"])
    if "stumble" in behaviour:
        raise ValueError(behaviour["stumble"])
    if "tell_loading" in behaviour:
        worker.PROGRESS_SECONDS = 0
        progress("packing", 1, 2)
    if take_one(path, behaviour, "die_loading"):
        os.kill(os.getpid(), signal.SIGKILL)
    if take_one(path, behaviour, "hang_loading"):
        hang()

    class Runner(FakeRunner):
        def forward(self, batch):
            if 13 in batch.tokens and take_one(path, behaviour, "die_computing"):
                os.kill(os.getpid(), signal.SIGKILL)
            if 13 in batch.tokens and take_one(path, behaviour, "hang_computing"):
                hang()
            return super().forward(batch)

    class Tokenizer(FakeTokenizer):
        def encode(self, text, *, add_bos=True, find_control=False):
            if text == "13" and take_one(path, behaviour, "hang_encoding"):
                hang()
            return super().encode(text, add_bos=add_bos)

    runner = Runner(num_blocks=8192, max_positions=100_000)
    engine = Engine(runner, Tokenizer(), EngineConfig())
    return engine, Ready(
        family="fake", context_length=engine.context_length, vocab_size=runner.spec.vocab_size, has_template=True,
        num_blocks=runner.num_blocks, weight_bytes=0, kv_bytes=0, load_seconds=0.0, isa="fake", threads=1,
    )  # fmt: skip


def hang():
    """Block this thread for ever."""
    threading.Event().wait()


def take_one(path, behaviour, key):
    """Count the fault down in the file, for the next process too; return whether it happens now."""
    if not behaviour.get(key, 0):
        return False
    behaviour[key] -= 1
    path.write_text(json.dumps(behaviour))
    return True


if __name__ == "__main__":
    sys.exit(main(load))
