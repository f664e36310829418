"""llmos cluster and llmos node without a server: what they make, print and refuse."""

import json
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from llmos.core.config import load_settings
from llmos.core.database import Database
from llmos.core.errors import BadRequest
from llmos.deployments.cluster.nodes import Candidate, Nodes
from llmos.deployments.opening import open_ray


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


def test_ray_makes_files_that_only_their_owner_reads_with_one_token_and_authority_for_all(cli, made, home, tmp_path):
    for address, name in (("192.0.2.1", "one"), ("192.0.2.2", "two")):
        outcome = cli("cluster", "ray", address, str(tmp_path / name), "--json")
        variables = json.loads(outcome.out)["variables"]
        assert (variables["RAY_AUTH_MODE"], variables["RAY_USE_TLS"]) == ("token", "1")
        for path in (tmp_path / name).iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for path in [value for value in variables.values() if "/" in value]:
            assert Path(path).parent == tmp_path / name
            assert Path(path).exists()
    for name in ("token", "authority.pem"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    for name in ("ray.key", "ray.pem"):
        assert (tmp_path / "one" / name).read_bytes() != (tmp_path / "two" / name).read_bytes()


def test_a_certificate_of_ray_is_none_of_a_node(cli, made, home, tmp_path):
    cli("cluster", "ray", "192.0.2.1", str(tmp_path))
    ours, rays = (folder / "authority.pem" for folder in (home / "cluster", tmp_path))
    assert ours.read_bytes() != rays.read_bytes()


@pytest.mark.parametrize("address", ["head.example", "192.0.2.256", ""])
def test_ray_knows_machines_by_their_ip_addresses(cli, made, tmp_path, address):
    outcome = cli("cluster", "ray", address, str(tmp_path))
    assert (outcome.status, "is no IP address" in outcome.err) == (2, True)


def test_ray_without_a_cluster(cli, tmp_path):
    outcome = cli("cluster", "ray", "192.0.2.1", str(tmp_path))
    assert (outcome.status, "llmos cluster init" in outcome.err) == (2, True)


PROTECTED = {"RAY_AUTH_MODE": "token", "RAY_USE_TLS": "1"}


@pytest.mark.parametrize(
    ("address", "environ", "is_allowed"),
    [
        ("10.0.0.1:6379", {}, False),
        ("ray.example:6379", {"RAY_AUTH_MODE": "token"}, False),
        ("ray.example:6379", {"RAY_USE_TLS": "1"}, False),
        ("10.0.0.1:6379", PROTECTED, True),
        ("10.0.0.1:6379", {"LLMOS_ALLOW_INSECURE_RAY": "on"}, True),
        ("127.0.0.1:6379", {}, True),
        ("localhost:6379", {}, True),
        ("[::1]:6379", {}, True),
    ],
)
def test_a_server_uses_a_ray_of_other_machines_only_with_tls_and_a_token(address, environ, is_allowed, tmp_path):
    settings = load_settings({"LLMOS_HOME": str(tmp_path), "LLMOS_RAY_ADDRESS": address, **environ})
    expected = nullcontext() if is_allowed else pytest.raises(BadRequest, match="without TLS and a token")
    with expected:
        open_ray(settings, Nodes(Database("sqlite://")))
