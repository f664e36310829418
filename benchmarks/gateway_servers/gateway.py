"""`llmos serve` with the instant engine in the place of a model's process. Everything else is what users run.

The environment says where, as for `llmos serve`: LLMOS_HOME, LLMOS_PORT. With a path as argument, stages are sampled
into that file; see stages.py.
"""

import sys
from functools import partial
from pathlib import Path

from llmos.core.config import load_settings
from llmos.deployments.placing.local import LocalPlacer
from llmos.gateway import opening, serving

sys.path.insert(0, str(Path(__file__).parent.parent))

from gateway_servers.stages import Sampler

ENGINE = (sys.executable, str(Path(__file__).with_name("instant_engine.py")))


def main() -> None:
    opening.LocalPlacer = partial(LocalPlacer, ENGINE)  # type: ignore[misc, assignment]
    if len(sys.argv) > 1:
        Sampler(Path(sys.argv[1])).start()
    settings = load_settings()
    serving.run(settings, ["instant"], port=settings.port)


if __name__ == "__main__":
    main()
