"""A cluster of three hosts: a server, and two nodes that run the real model, over links that can be cut.

The limits of time below are promises of docs/cluster.md; each is many times what it takes when nothing else runs.
"""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.hosts import running_hosts, why_not
from support.lan import HERE, PATIENCE_SECONDS, Lan, ending, running_lan, streaming
from support.real_server import KEY

pytestmark = [pytest.mark.process, pytest.mark.timing, pytest.mark.skipif(bool(why_not()), reason=why_not())]


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Iterator[Lan]:
    folder = tmp_path_factory.mktemp("lan")
    with running_hosts("head", "ada", "bob") as hosts, running_lan(hosts, folder, smollm2_path) as lan:
        lan.deploy(1, None)
        lan.expected = lan.answer()
        for name in ("ada", "bob"):
            lan.join(name)
        lan.wait_for(lambda: len(lan.send("GET", "/llmos/v1/nodes")["data"]) == 2)
        yield lan


def test_a_chat_is_answered_by_a_node_as_on_this_machine(lan: Lan) -> None:
    lan.deploy(1, "zone=ada")
    assert lan.places() == ["ada"]
    assert lan.answer() == lan.expected


def test_what_runs_where_is_in_every_list(lan: Lan) -> None:
    lan.deploy(2)
    assert lan.places() == ["ada", "bob"]
    shown = lan.hosts["head"].llmos(
        "ps", home=lan.home("head"), LLMOS_ENDPOINT=str(lan.http.base_url), LLMOS_API_KEY=KEY, COLUMNS="250"
    )
    assert re.search(r"ada, bob|bob, ada", shown.communicate()[0])
    nodes = {each["name"]: each for each in lan.send("GET", "/llmos/v1/nodes")["data"]}
    for name, node in nodes.items():
        assert (node["state"], node["address"]) == ("connected", lan.hosts[name].address)
        assert [each["version"] for each in node["replicas"]] == ["smollm2@1"]
        assert node["free_bytes"] > 0
        assert node["round_trip_ms"] > 0
    events = lan.send("GET", f"{HERE}/history")["data"]
    assert {event["data"].get("node") for event in events if event["kind"] == "ready"} >= {"ada", "bob"}
    metrics = lan.http.get("/metrics").text
    assert 'llmos_node_up{node="ada"} 1.0' in metrics
    assert 'llmos_node_replicas_ready{model_name="smollm2@1",node="bob"} 1.0' in metrics


@pytest.mark.timing
def test_a_short_break_of_the_link_is_survived(lan: Lan) -> None:
    lan.deploy(1, "ada")
    with streaming(lan) as lines:
        lan.hosts["ada"].cut()
        (mending := threading.Timer(5, lan.hosts["ada"].mend)).start()
        mending.join()
        assert ending(lines) == "data: [DONE]"
    assert lan.send("GET", HERE)["restarts"] == 0


def test_callers_hear_of_a_cut_link_and_sooner_of_a_killed_agent(lan: Lan) -> None:
    lan.deploy(2)
    with streaming(lan) as first, streaming(lan) as second:
        lan.hosts["ada"].cut()
        lan.agents["bob"].send_signal(signal.SIGKILL)
        ends: list[str] = []

        def follow(lines: Iterator[str]) -> None:
            ends.append(ending(lines))

        threads = [threading.Thread(target=follow, args=(lines,)) for lines in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    killed, cut = ends
    assert "node bob" in killed
    assert "node ada" in cut
    lan.hosts["ada"].mend()
    lan.start_agent("bob", "node")
    lan.wait_for(lambda: lan.is_settled(2))
    assert lan.answer() == lan.expected


def test_a_model_over_two_hosts_answers_as_on_one_and_names_the_node_behind_a_cut_link(lan: Lan) -> None:
    parts = "ada:0-11,bob:12-29"
    lan.deploy(1, f"{parts}!")
    assert lan.places() == [parts]
    assert lan.answer() == lan.expected
    with streaming(lan) as lines:
        lan.hosts["bob"].cut()
        assert re.search(r"The stage of the layers 12-29 on bob", ending(lines))
    lan.hosts["bob"].mend()
    lan.wait_for(lambda: lan.is_settled(1))
    assert lan.answer() == lan.expected


def test_a_stopped_agent_is_replaced_and_comes_back(lan: Lan) -> None:
    lan.deploy(1, "nodes")
    [name] = lan.places()
    with streaming(lan) as lines:
        lan.agents[name].send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, lan.agents[name].pid, os.WSTOPPED)
        assert f"node {name}" in ending(lines)
    lan.wait_for(lambda: lan.is_settled(1, lambda host: host != name))
    assert lan.answer() == lan.expected
    lan.agents[name].send_signal(signal.SIGCONT)
    lan.wait_for(lambda: all(each["state"] == "connected" for each in lan.send("GET", "/llmos/v1/nodes")["data"]))


def test_a_head_that_was_killed_finds_its_nodes_again(lan: Lan) -> None:
    lan.deploy(2)
    lan.server.kill()
    lan.server.wait()
    lan.start_server()
    lan.wait_for(lambda: lan.is_settled(2))
    assert lan.answer() == lan.expected


def test_a_node_that_leaves_goes_after_its_answers(lan: Lan) -> None:
    lan.deploy(2)
    lan.send("DELETE", "/llmos/v1/nodes/bob")
    assert lan.agents["bob"].wait(PATIENCE_SECONDS) == 0
    assert not (lan.home("bob") / "node").exists()
    assert lan.answer() == lan.expected
    assert [each["name"] for each in lan.send("GET", "/llmos/v1/nodes")["data"]] == ["ada"]
