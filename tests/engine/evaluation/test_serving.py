"""A model in a process of its own, whose speed and memory are measured."""

import os
import signal

import pytest

from llmos.core.errors import LLMOSError, ReplicaFailed
from llmos.engine.evaluation.serving import ServedModel


@pytest.mark.process
def test_invalid_model_files_raise_the_engines_error(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"no model at all")
    files = {"model.gguf": tmp_path / "model.gguf"}
    with pytest.raises(LLMOSError, match="GGUF"), ServedModel(files, threads=1, streams=2, tokens_per_stream=64):
        pytest.fail("it was served")


def test_the_real_model_is_timed_and_its_memory_measured(smollm2_path):
    with ServedModel({"model.gguf": smollm2_path}, threads=2, streams=2, tokens_per_stream=128) as served:
        served.reset_peak()
        timing = served.run([[1000] * 16, [2000] * 16], 4)
        assert 0 < timing.first_token_seconds <= timing.seconds
        assert served.peak() > served.facts.weight_bytes > 50_000_000

        with pytest.raises(LLMOSError, match="128"):
            served.run([[1000] * 200], 4)
        assert served.run([[1000] * 16], 2).seconds > 0  # a request that fails ends nothing

        os.kill(served._process.pid, signal.SIGKILL)
        with pytest.raises(ReplicaFailed, match="Free some memory"):
            served.run([[1000] * 16], 2)
