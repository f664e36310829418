"""Hosts: network namespaces with an address each, joined by a bridge, so that tests can cut their links.

This process has an address there, too. Everything ends with the block. Needs root and Linux; see `why_not`.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


@cache
def why_not() -> str:
    """Return why there can be no hosts here; empty if there can."""
    if sys.platform != "linux" or shutil.which("ip") is None or shutil.which("nsenter") is None:
        return "needs Linux, ip and nsenter"
    if os.geteuid() != 0:
        return "needs root, which makes network namespaces"
    name = f"llmos-{os.getpid()}-probe"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"no network namespaces here: {tried.stderr.strip()}"
    bridge = subprocess.run(
        ["ip", "-n", name, "link", "add", "br0", "type", "bridge"], capture_output=True, check=False
    )
    _ip("netns", "del", name)
    return "no bridges here" if bridge.returncode else ""


@dataclass
class Host:
    name: str
    address: str
    _network: str
    _switch: str
    _port: str
    _entry: list[str] = field(default_factory=list)
    """A command that enters the host's namespaces."""
    _processes: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def start(self, *command: str, home: Path, **variables: str) -> "subprocess.Popen[str]":
        """Start a process on the host, which ends with it."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")}
        process = subprocess.Popen(
            [*self._entry, *command],
            env=environ | {"LLMOS_HOME": str(home)} | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pipesize=1 << 20,
        )
        self._processes.append(process)
        return process

    def llmos(self, *arguments: str, home: Path, **variables: str) -> "subprocess.Popen[str]":
        return self.start(sys.executable, "-m", "llmos", *arguments, home=home, **variables)

    def cut(self) -> None:
        """Take the link away: packets are lost in both directions, and nobody is told."""
        _ip("-n", self._switch, "link", "set", self._port, "nomaster")

    def mend(self) -> None:
        _ip("-n", self._switch, "link", "set", self._port, "master", "br0")

    def limit(self, rate: str) -> None:
        """Limit what the host sends, such as to 1gbit."""
        command = ["tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "256kb"]
        subprocess.run([*self._entry, *command, "latency", "50ms"], check=True, text=True)

    def prepare_for_ray(self) -> None:
        """Give the host a /dev/shm of its own, since a Ray process with that of another node waits for good, and a
        default route, by which Ray's autoscaler learns its own address."""
        _ip("-n", self._network, "route", "add", "default", "dev", "eth0")
        script = "mount -t tmpfs none /dev/shm && echo mounted && exec sleep infinity"
        keeper = self.start("unshare", "--mount", "sh", "-c", script, home=Path("/nonexistent"))
        assert keeper.stdout is not None, "it is a pipe"
        assert keeper.stdout.readline() == "mounted\n"
        self._entry = ["nsenter", f"--target={keeper.pid}", "--mount", "--net", "--wd"]

    def pids(self) -> list[int]:
        """Return the processes of the host, also those that others have left behind."""
        found = subprocess.run(["ip", "netns", "pids", self._network], capture_output=True, text=True, check=True)
        return [int(each) for each in found.stdout.split()]

    def end(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._processes:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def running_hosts(*names: str) -> Iterator[Mapping[str, Host]]:
    """Make hosts with these names."""
    prefix, pid = f"llmos-{os.getpid()}", os.getpid()
    subnet, switch, mine = f"10.{64 + pid % 128}.{pid // 128 % 256}", f"{prefix}-switch", f"lt{pid}"
    hosts: dict[str, Host] = {}
    networks = [switch]
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", switch, "link", "set", "br0", "up")
        _ip("link", "add", mine, "type", "veth", "peer", "name", "test", "netns", switch)
        _ip("-n", switch, "link", "set", "test", "master", "br0", "up")
        _ip("address", "add", f"{subnet}.254/24", "dev", mine)
        _ip("link", "set", mine, "up")
        for number, name in enumerate(names, 1):
            network, port = f"{prefix}-{name}", f"p{number}"
            networks.append(network)
            _ip("netns", "add", network)
            _ip("-n", network, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", switch)
            _ip("-n", switch, "link", "set", port, "master", "br0", "up")
            _ip("-n", network, "address", "add", f"{subnet}.{number}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", network, "link", "set", device, "up")
            entry = ["nsenter", f"--net=/run/netns/{network}"]
            hosts[name] = Host(name, f"{subnet}.{number}", network, switch, port, entry)
        yield hosts
    finally:
        for host in hosts.values():
            host.end()
        for network in networks:
            subprocess.run(["ip", "netns", "del", network], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
