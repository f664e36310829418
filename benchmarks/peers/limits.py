"""The upper limits that the machine sets for each workload, and how they are measured.

Every step reads all the weights once and multiplies each with every row; it can't take less time than the slower of the
two takes. What an engine does besides (attention, norms, sampling) comes on top, so no engine reaches the limit.
"""

import json
import os
import subprocess
from pathlib import Path

from environments import PLACE
from results import Limits, Shape

from llmos.engine.sizing.workloads import Timing, Workload

PROBE = Path(__file__).parent.parent / "probe.cpp"
FLAGS = ("-O3", "-march=native", "-pthread", "-std=c++20")


def probe_limits(threads: int) -> Limits:
    """Compile the probe for this machine and run it."""
    program = PLACE / "probe"
    compiler = os.environ.get("CXX", "g++")
    subprocess.run([compiler, *FLAGS, str(PROBE), "-o", str(program)], check=True)
    output = subprocess.run([str(program), str(threads)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return Limits(**json.loads(output))


def limit_of(workload: Workload, shape: Shape, weight_bytes: int, limits: Limits) -> float:
    """Return the tokens per second that nothing on this machine can exceed with weights of so many bytes."""
    read_bytes = weight_bytes
    if not shape.is_tied:  # of the embedding, a step reads one row for each token
        read_bytes = weight_bytes * (shape.layers + shape.head) // (shape.layers + 2 * shape.head)

    def step_seconds(rows: int, logit_rows: int) -> float:
        macs = rows * shape.layers + logit_rows * shape.head
        return max(read_bytes / limits.read_bytes_per_second, macs / limits.int8_macs_per_second)

    streams = workload.num_prompts
    prefill = step_seconds(streams * workload.prompt_length, streams)
    decode = (workload.num_output_tokens - 1) * step_seconds(streams, streams)
    return workload.tokens_per_second(Timing(seconds=prefill + decode, first_token_seconds=prefill))
