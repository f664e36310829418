"""Describes the machine and the commit of a measurement."""

import platform
import subprocess
from pathlib import Path

from environments import ROOT

from llmos.core.hardware import Hardware, inspect_hardware

FEATURES_THAT_MATTER = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimd", "asimddp", "i8mm", "bf16", "sve",
)  # fmt: skip


def describe_machine() -> str:
    hardware = inspect_hardware()
    parts = [
        f"{hardware.cpu}{family()}",
        f"{hardware.num_cores} cores",
        f"{hardware.memory_bytes / 2**30:.0f} GiB",
        *caches(),
        f"Linux {platform.release()}",
        features(hardware),
    ]
    return ", ".join(part for part in parts if part)


def features(hardware: Hardware) -> str:
    return " ".join(name for name in FEATURES_THAT_MATTER if name in hardware.features)


def family() -> str:
    """Return the CPU's full model name, which virtual machines often shorten."""
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    if "cpu family" not in fields:
        return ""
    return f" (family {fields['cpu family']}, model {fields.get('model', '?')})"


def caches() -> list[str]:
    folders = sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"))
    found = [((each / "level").read_text().strip(), (each / "size").read_text().strip()) for each in folders]
    return [f"L{level} {size}" for level, size in dict(found).items() if level in "23"]


def commit() -> str:
    """Return the commit of this project, with -dirty if files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"
