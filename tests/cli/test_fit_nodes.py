"""llmos fit --nodes: where the layers of a model would lie, whether one node would do, and the next command."""

import json
import os

import pytest

from llmos.cli.control.local_nodes import LocalNodes
from llmos.core.schemas.nodes import NodeDescription


@pytest.fixture
def nodes(monkeypatch):
    """Let a cluster have these nodes: name -> free bytes; None for one that is away."""

    def let(**free):
        described = [
            NodeDescription(name=name, state="connected", num_cores=1, memory_bytes=1 << 40, free_bytes=num_bytes)
            if num_bytes is not None
            else NodeDescription(name=name, state="away")
            for name, num_bytes in free.items()
        ]
        monkeypatch.setattr(LocalNodes, "list", lambda _: described)

    return let


@pytest.fixture
def model(cli, home, smollm2_path):
    path = home / "smol.gguf"
    path.symlink_to(os.path.realpath(smollm2_path))
    return str(path)


def split_of(cli, model, *options):
    said = cli("fit", model, "--json", *options)
    return said.status, json.loads(said.out)


def test_a_model_that_no_node_holds_is_split_over_as_few_as_it_needs(cli, model, nodes):
    nodes(ada=165_000_000, bob=165_000_000, cy=165_000_000)
    code, found = split_of(cli, model, "--nodes", "all")
    home, other = found["stages"]
    assert (code, found["alone"], home["first"], other["first"], other["last"]) == (0, [], 0, home["last"] + 1, 29)
    assert all(each["bytes"] <= each["available"] for each in found["stages"])
    assert found["command"].endswith(f"--split ada:0-{home['last']},bob:{other['first']}-29")
    shown = cli("fit", model, "--nodes", "bob,cy").out
    assert "share of a step" in shown
    assert "To deploy it: llmos deploy" in shown


def test_a_node_that_holds_it_alone_is_named(cli, model, nodes):
    nodes(ada=165_000_000, bob=8 << 30)
    _, found = split_of(cli, model, "--nodes", "all")
    assert found["alone"] == ["bob"]
    assert found["command"].endswith("--split-anyway")
    assert "The node bob alone has room for it, which is faster" in cli("fit", model, "--nodes", "all").out


def test_nodes_without_room_are_a_no(cli, model, nodes):
    nodes(ada=90_000_000, bob=90_000_000)
    code, found = split_of(cli, model, "--nodes", "ada,bob")
    assert (code, found["fits"], found["stages"], found["command"]) == (1, False, [], "")
    assert "have no room" in cli("fit", model, "--nodes", "all").out


def test_a_node_that_is_not_connected_is_named(cli, model, nodes):
    nodes(ada=1 << 30, bob=None)
    result = cli("fit", model, "--nodes", "ada,bob")
    assert result.status == 2
    assert "No connected node is bob" in result.err


def test_options_of_one_machine_are_refused(cli, model, nodes):
    result = cli("fit", model, "--nodes", "all", "--streams", "4")
    assert result.status == 2
