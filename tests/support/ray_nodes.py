"""Ray on the hosts of `support.hosts`: a head without CPUs of its own, and nodes."""

import importlib.util
import json
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
QUICK = {
    "RAY_gcs_rpc_server_reconnect_timeout_s": "5",
    "RAY_enable_metrics_collection": "0",
}
"""Ray's processes notice after five seconds, instead of sixty, that its head is gone."""


def why_no_ray() -> str:
    """Return why Ray can't be used here; empty if it can."""
    return "" if importlib.util.find_spec("ray") else "needs pip install llmos[cluster]"


_HEAD_ID = "f" * 51 + "00000"
_HEAD_OF_AUTOSCALER = {
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD_ID,
    "RAY_CLOUD_INSTANCE_ID": _HEAD_ID,
    "RAY_NODE_TYPE_NAME": "ray.head.default",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "PYTHONPATH": str(Path(__file__).parent.parent),
}
"""The environment of the head, by which the provider of the nodes recognises it."""

_PROVIDER = "support.ray_provider.Provider"


_COMMANDS = (
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
"""Parts of a configuration that `ray up` would fill in."""


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

    def start(self, name: str, *, home: Path, num_cpus: int = 1, max_nodes: int = 0) -> None:
        """Start Ray on a host, and return when its raylet runs. `home`: of the agents that are started there.

        `max_nodes`: the head's autoscaler may add so many nodes with one CPU, on the head's host.
        """
        host = self.hosts[name]
        if name == "head":
            role = ["--head", f"--port={PORT}", "--num-cpus=0", "--include-dashboard=false"]
        else:
            role = [f"--address={self.address}", f"--num-cpus={num_cpus}"]
        if max_nodes:
            role.append(f"--autoscaling-config={self._write_autoscaling(max_nodes)}")
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *role]
        options = [
            f"--node-ip-address={host.address}",
            f"--temp-dir={self.folder / name}",
            "--object-store-memory=80000000",
            "--disable-usage-stats",
            "--include-log-monitor=false",
        ]
        variables = QUICK | self.variables.get(name, {}) | (_HEAD_OF_AUTOSCALER if max_nodes else {})
        process = self.processes[name] = host.start(*command, *options, home=home, **variables)

        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            if "Ray runtime started" in line:
                return
        raise AssertionError("Ray has ended")

    def _write_autoscaling(self, max_nodes: int) -> Path:
        node = {
            "resources": {"CPU": 1, "memory": 2_000_000_000},
            "node_config": {},
            "min_workers": 0,
            "max_workers": max_nodes,
        }
        config = {
            "cluster_name": "test",
            "max_workers": max_nodes,
            "idle_timeout_minutes": 0.05,
            "provider": {
                "type": "external",
                "module": _PROVIDER,
                "gcs_address": self.address,
                "head_node_id": _HEAD_ID,
                "disable_node_updaters": True,
                "disable_launch_config_check": True,
            },
            "available_node_types": {
                "ray.head.default": node | {"resources": {"CPU": 0}, "max_workers": 0},
                "worker": node,
            },
            "head_node_type": "ray.head.default",
            "upscaling_speed": 1,
            "auth": {},
            "file_mounts": {},
            "file_mounts_sync_continuously": False,
            **{key: [] for key in _COMMANDS},
        }
        path = self.folder / "autoscaling.yaml"
        path.write_text(json.dumps(config))  # Which is YAML, too.
        return path

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
