"""The program of a replica's process: python -m llmos.engine --fd N."""

import gc
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path

# Before numpy is imported: its BLAS, which the engine never calls, would start a thread for each core, and they spin
# for a while on the cores that weights are packed on (a fifth of all the processor time that starting took).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from llmos.core.progress import Progress
from llmos.engine.config import EngineConfig
from llmos.engine.embedding import EmbeddingEngine
from llmos.engine.engine import Engine
from llmos.engine.loading import load as load_model
from llmos.engine.messages import Ready
from llmos.engine.replica.worker import main


def load(files: Mapping[str, Path], config: EngineConfig, progress: Progress) -> tuple[Engine | EmbeddingEngine, Ready]:
    loaded = load_model(files, config, progress)
    # What was loaded stays for as long as the process; collections need not walk through it between two steps.
    gc.freeze()
    return loaded


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(main(load))
