"""The program of a replica process: python -m llmos.engine --fd N."""

import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# This must precede the import of numpy: its BLAS, which serving never calls, would start a thread for each core, which
# spin for a while on the cores that pack weights (a fifth of the CPU time of starting a replica).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from llmos.core.progress import Progress
from llmos.engine.config import EngineConfig
from llmos.engine.embedding import EmbeddingEngine
from llmos.engine.engine import Engine
from llmos.engine.loading import load as load_model
from llmos.engine.messages import Ready
from llmos.engine.replica.worker import main
from llmos.engine.stages import StageOrder


def load(
    files: Mapping[str, Path], config: EngineConfig, progress: Progress, stages: Sequence[StageOrder]
) -> tuple[Engine | EmbeddingEngine, Ready]:
    """Load the model, and exclude its objects from garbage collection."""
    loaded = load_model(files, config, progress, stages)
    # The loaded objects live as long as the process, so collections between two steps need not walk through them.
    gc.freeze()
    return loaded


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    sys.exit(main(load))
