"""llmos cluster and llmos node without a server: what they make, print and refuse."""

import json
import stat

import pytest

from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.deployments.cluster.nodes import Candidate, Nodes


@pytest.fixture
def made(cli):
    outcome = cli("cluster", "init", "--address", "head.example", "--json")
    assert outcome.status == 0, outcome.err
    return json.loads(outcome.out)


def test_init_makes_an_authority_that_only_the_owner_reads(cli, made, home):
    folder = home / "cluster"
    assert stat.S_IMODE((folder / "authority.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert made["command"].startswith("llmos node --join head.example:8001 --token ")
    again = cli("cluster", "init")
    assert (again.status, "llmos cluster token" in again.err) == (2, True)


def test_token_prints_one_line_that_can_be_copied(cli, made):
    outcome = cli("cluster", "token", "--minutes", "5")
    assert outcome.out.startswith("llmos node --join head.example:8001 --token ")
    assert outcome.out.count("\n") == 1
    assert "other machine" in outcome.err


def test_token_without_a_cluster(cli):
    outcome = cli("cluster", "token")
    assert (outcome.status, "llmos cluster init" in outcome.err) == (2, True)


def test_nodes_are_listed_and_leave(cli, made, home):
    assert "llmos cluster token" in cli("cluster", "nodes").err
    database = Database(load_settings({"LLMOS_HOME": str(home)}).database_url)
    nodes = Nodes(database)
    token = nodes.make_token()
    nodes.admit(token.id, token.secret, Candidate(name="ada", key_digest="a" * 64, address="10.0.0.2"))
    database.close()
    [listed] = json.loads(cli("cluster", "nodes", "--json").out)
    assert (listed["name"], listed["state"]) == ("ada", "unknown")
    assert "10.0.0.2" in cli("cluster", "nodes").out
    assert cli("cluster", "leave", "ada").out.startswith("ada leaves the cluster.")
    gone = cli("cluster", "leave", "ada")
    assert (gone.status, "no node ada" in gone.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "llmos cluster token"),
        (["--join", "127.0.0.1:1"], "llmos cluster token"),
        (["--join", "127.0.0.1:1", "--token", "short"], "token is not complete"),
        (["--join", "://", "--token", "a.b." + "0" * 64], "is not the address of a head"),
        (["--join", "127.0.0.1:1", "--token", "a.b." + "0" * 64, "--name", "A b"], "can't be the name of a node"),
        (["--join", "127.0.0.1:1", "--token", "a.b." + "0" * 64], "can't be reached"),
        (["--label", "north"], "LABEL=VALUE"),
    ],
)
def test_node_says_what_is_wrong(cli, arguments, says):
    outcome = cli("node", *arguments)
    assert outcome.status != 0
    assert says in outcome.err
