"""The versions and the hardware that the two ends of a cluster compare. Imports numpy."""

import sys

from llmos import __version__
from llmos.core.hardware import inspect_hardware
from llmos.deployments.cluster.messages import NodeFacts, Versions
from llmos.engine.packed_file import LAYOUT


def own_versions() -> Versions:
    return Versions(llmos=__version__, python=f"{sys.version_info.major}.{sys.version_info.minor}", kernels=LAYOUT)


def own_facts() -> NodeFacts:
    hardware = inspect_hardware()
    return NodeFacts(
        cpu=hardware.cpu,
        features=sorted(hardware.features),
        num_cores=hardware.num_cores,
        memory_bytes=hardware.memory_bytes,
        available_bytes=hardware.available_bytes,
    )
