"""Ray on the hosts of `support.hosts`: a head without CPUs of its own, and nodes."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from support.hosts import Host

PORT = 6379
QUICK = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5", "RAY_enable_metrics_collection": "0"}
"""Ray's processes notice after five seconds, instead of sixty, that its head is gone."""


def why_no_ray() -> str:
    """Return why Ray can't be used here; empty if it can."""
    return "" if importlib.util.find_spec("ray") else "needs pip install llmos[cluster]"


@dataclass
class RayNodes:
    hosts: Mapping[str, Host]
    folder: Path
    """A short path: Ray makes sockets there."""
    variables: dict[str, dict[str, str]] = field(default_factory=dict)
    """The variables of the environment on each host."""
    processes: "dict[str, subprocess.Popen[str]]" = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{self.hosts['head'].address}:{PORT}"

    def start(self, name: str, *, home: Path, num_cpus: int = 1) -> None:
        """Start Ray on a host, and return when its raylet runs. `home`: of the agents that are started there."""
        host = self.hosts[name]
        if name == "head":
            role = ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false"]
        else:
            role = [f"--address={self.address}", f"--num-cpus={num_cpus}"]
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *role]
        options = [
            f"--node-ip-address={host.address}",
            f"--temp-dir={self.folder / name}",
            "--object-store-memory=80000000",
            "--disable-usage-stats",
            "--include-log-monitor=false",
        ]
        process = self.processes[name] = host.start(
            *command, *options, home=home, **QUICK, **self.variables.get(name, {})
        )
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            if "Ray runtime started" in line:
                return
        raise AssertionError("Ray has ended")

    def kill(self, name: str) -> None:
        """Kill Ray's own processes on the host, and what it has as children."""
        for pid in _tree(self.processes.pop(name).pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def ray_nodes(hosts: Mapping[str, Host]) -> Iterator[RayNodes]:
    """Yield what starts Ray. Its processes end with their hosts."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    try:
        yield RayNodes(hosts, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tree(root: int) -> list[int]:
    """Return a process and all below it."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found
