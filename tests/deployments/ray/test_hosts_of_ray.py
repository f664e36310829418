"""A replica on a node of a real Ray cluster, between network namespaces, with the real model."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hosts import running_hosts, why_not
from support.lan import HERE, Lan, ending, running_lan, streaming
from support.ray_nodes import QUICK, RayNodes, ray_nodes, why_no_ray

REASON = why_not() or why_no_ray()
pytestmark = [pytest.mark.process, pytest.mark.timing, pytest.mark.skipif(bool(REASON), reason=REASON)]


@pytest.fixture(scope="module")
def ray() -> Iterator[RayNodes]:
    with running_hosts("head", "ada") as hosts:
        for host in hosts.values():
            host.prepare_for_ray()
        with ray_nodes(hosts) as nodes:
            yield nodes


@pytest.fixture(scope="module")
def lan(ray: RayNodes, tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Iterator[Lan]:
    folder = tmp_path_factory.mktemp("lan")
    with running_lan(ray.hosts, folder, smollm2_path) as lan:
        for name, host in ray.hosts.items():
            made = host.llmos(
                "cluster", "ray", host.address, str(folder / f"ray-{name}"), "--json", home=lan.home("head")
            )
            ray.variables[name] = json.loads(made.communicate()[0])["variables"]
        lan.restart_server(LLMOS_RAY_ADDRESS=ray.address, **QUICK, **ray.variables["head"])
        lan.deploy(1, None)
        lan.expected = lan.answer()
        yield lan


def reason(lan: Lan) -> str:
    return lan.send("GET", HERE)["reason"] or ""


def test_a_replica_waits_for_a_node_of_ray_and_outlives_the_head_of_ray(lan: Lan, ray: RayNodes) -> None:
    lan.send("PUT", HERE, {"replicas": 1, "placement": "ray"})
    lan.wait_for(lambda: "can't be reached" in reason(lan))
    ray.start("head", home=lan.home("ray-head"))
    needs_and_has = rf"with 1 CPU and [0-9,]+ bytes. {ray.hosts['head'].address} has 0 CPU"
    lan.wait_for(lambda: re.search(needs_and_has, reason(lan)))
    ray.start("ada", home=lan.home("ada"))
    lan.wait_for(lambda: lan.is_settled(1, lambda host: host.startswith("ray-")))
    assert lan.answer() == lan.expected
    with streaming(lan, max_tokens=1000, min_tokens=1000) as lines:
        ray.kill("head")
        ray.processes["ada"].wait()
        assert ending(lines) == "data: [DONE]"
    lan.wait_for(lambda: "was lost" in reason(lan))
    assert lan.answer() == lan.expected
    assert lan.send("GET", HERE)["restarts"] == 0


def raylets(ray: RayNodes) -> int:
    """Return the number of Ray's nodes on the host of its head."""
    commands = [Path(f"/proc/{pid}/cmdline") for pid in ray.hosts["head"].pids()]
    return sum("/raylet/raylet" in path.read_text().partition("\0")[0] for path in commands if path.exists())


def has_no_nodes(lan: Lan) -> bool:
    nodes: list[object] = lan.send("GET", "/llmos/v1/nodes")["data"]
    return not nodes


def test_pending_replicas_bring_nodes_and_idle_ones_go(lan: Lan, ray: RayNodes) -> None:
    lan.deploy(1, None)
    lan.wait_for(lambda: has_no_nodes(lan))  # A lease of the test before would be used again.
    ray.start("head", home=lan.home("ray-head"), max_nodes=2)
    for count in (1, 2):
        lan.send("PUT", HERE, {"replicas": count, "placement": "ray"})
        lan.wait_for(lambda count=count: lan.is_settled(count, lambda host: host != "head"))
        assert raylets(ray) == 1 + count
    assert lan.answer() == lan.expected
    lan.send("POST", f"{HERE}/sleep", {})
    lan.wait_for(lambda: raylets(ray) == 1)
    lan.wait_for(lambda: has_no_nodes(lan))
