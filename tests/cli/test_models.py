"""llmos pull, import, list, show, rm."""

import hashlib
import json
from functools import partial

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from llmos.client import Client
from support.tiny_folders import write_folder
from support.tiny_gguf import write_gguf

pytestmark = pytest.mark.process


@pytest.fixture
def encoder(tmp_path_factory):
    """A folder with a model that can be kept, though not run."""
    folder = tmp_path_factory.mktemp("encoder")
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", "max_position_embeddings": 512}))
    save_file({"weight": np.zeros((8, 4), np.float32)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def catalog(encoder, tmp_path, monkeypatch):
    """A catalog whose model lies in a folder of this machine."""
    files = "".join(
        f'[[embedder.files]]\nname = "{path.name}"\nsize = {path.stat().st_size}\n'
        f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"\n'
        for path in encoder.iterdir()
    )
    path = tmp_path / "catalog.toml"
    path.write_text(
        '[embedder]\ndescription = "sentences to numbers"\nlicense = "MIT"\ntemplate = "none"\n'
        f'{files}[[embedder.sources]]\nfrom = "file:///nowhere"\n[[embedder.sources]]\nfrom = "file://{encoder}"\n'
    )
    monkeypatch.setenv("LLMOS_CATALOG", str(path))
    return path


def test_an_empty_home_says_how_to_fill_it(cli):
    outcome = cli("list")
    assert (outcome.status, outcome.out) == (0, "")
    assert "llmos pull smollm2" in outcome.err
    assert json.loads(cli("list", "--json").out) == []


def test_a_pull_says_what_arrived_and_which_source_failed(cli, catalog):
    outcome = cli("pull", "embedder")
    assert outcome.status == 0
    assert "embedder@1 is here: t5, 32 parameters, F32" in outcome.out
    assert "file:///nowhere" in outcome.err
    assert "trying the next source" in outcome.err
    assert "sentences to numbers. Other models, with their sizes: llmos list --catalog" in outcome.err


def test_a_pull_of_what_the_catalog_lacks_is_one_line(cli, catalog):
    outcome = cli("pull", "embeder")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.strip().splitlines() == [
        "Error: The catalog has no model 'embeder'. Did you mean embedder? To get another one from the Hugging Face"
        " hub, run: llmos pull hf:OWNER/NAME. To add one of your own: llmos import PATH --name embeder"
    ]


def test_a_pull_as_json_is_the_version(cli, catalog):
    assert json.loads(cli("pull", "embedder", "--json").out)["version"] == "embedder@1"


def test_the_catalog_is_listed_with_what_is_here(cli, catalog):
    (entry,) = json.loads(cli("list", "--catalog", "--json").out)
    assert (entry["name"], entry["here"], entry["template"]) == ("embedder", False, "none")
    cli("pull", "embedder")
    assert json.loads(cli("list", "--catalog", "--json").out)[0]["here"] is True
    assert "sentences to numbers" in cli("list", "--catalog").out


def test_an_import_of_what_cannot_run_says_so_and_keeps_it(cli, encoder):
    outcome = cli("import", str(encoder), "--name", "mine", "--license", "MIT")
    assert outcome.status == 0
    assert "mine@1 is here" in outcome.out
    assert "can't run it" in outcome.err
    assert "t5" in outcome.err


def test_an_import_needs_a_name(cli, encoder):
    outcome = cli("import", str(encoder))
    assert outcome.status == 2
    assert "--name" in outcome.err


def test_a_list_is_a_table_for_people_and_facts_for_programs(cli, encoder):
    cli("import", str(encoder), "--name", "mine")
    header, row = cli("list").out.splitlines()
    assert header.split() == ["model", "family", "weights", "parameters", "size", "context", "since"]
    assert row.split()[:4] == ["mine@1", "t5", "F32", "32"]
    (facts,) = json.loads(cli("list", "--json").out)
    assert facts["version"] == "mine@1"
    assert facts["size_bytes"] == sum(path.stat().st_size for path in encoder.iterdir())


def test_show_says_everything_and_whether_it_runs(cli, encoder):
    cli("import", str(encoder), "--name", "mine")
    outcome = cli("show", "mine")
    assert "no: This model has the type t5" in outcome.out
    assert f"import:{encoder}" in outcome.out
    facts = json.loads(cli("show", "mine", "--json").out)
    assert facts["runs"] is False
    assert [file["name"] for file in facts["files"]] == ["config.json", "model.safetensors"]


def test_show_of_the_default_model_says_that_it_runs(cli, smollm2_home, monkeypatch):
    monkeypatch.setenv("LLMOS_HOME", str(smollm2_home))
    facts = json.loads(cli("show", "smollm2", "--json").out)
    assert facts["runs"] is True
    assert facts["parameters"] == 134_515_008


def test_show_takes_a_route_too(cli, tmp_path):
    cli("import", str(write_folder(tmp_path / "folder")), "--name", "mine")
    cli("route", "set", "gpt-3", "mine")
    facts = json.loads(cli("show", "gpt-3", "--json").out)
    assert (facts["version"], facts["versions"]) == ("mine@1", ["mine@1"])


def test_an_import_says_that_a_route_hides_it(cli, encoder):
    assert "route" not in cli("import", str(encoder), "--name", "smollm2").err
    assert (
        "The route dialogue points at smollm2, so requests for dialogue go there."
        " To send them to the new model: llmos route set dialogue dialogue@1"
    ) in " ".join(cli("import", str(encoder), "--name", "dialogue").err.split())


def test_a_model_that_a_route_needs_is_kept_and_removing_another_says_what_was_freed(cli, encoder):
    cli("import", str(encoder), "--name", "smollm2")
    outcome = cli("rm", "smollm2")
    assert (outcome.status, outcome.out) == (2, "")
    assert "The route dialogue points at smollm2. Remove the route first, with llmos route rm dialogue" in outcome.err
    cli("route", "rm", "dialogue")
    assert cli("rm", "smollm2").out.startswith("Removed smollm2@1; ")
    assert json.loads(cli("list", "--json").out) == []


@pytest.mark.parametrize(("status", "stopped"), [(200, ["mine@1"]), (401, [])])
def test_removing_what_the_server_runs_stops_it_there(cli, encoder, monkeypatch, status, stopped):
    asked = []

    def answer(request):
        if request.method == "DELETE":
            asked.append(request.url.path.rpartition("/")[2])
            return httpx.Response(204)
        runs = [{"version": "mine@1", "state": "ready"}, {"version": "other@1", "state": "ready"}]
        return httpx.Response(status, json={"data": runs})

    monkeypatch.setattr("llmos.cli.control.local.accepts_connections", lambda endpoint: True)
    monkeypatch.setattr("llmos.client.Client", lambda **_: Client(transport=httpx.MockTransport(answer)))
    cli("import", str(encoder), "--name", "mine")
    assert cli("rm", "mine").status == 0
    assert asked == stopped


@pytest.fixture
def serve_as(monkeypatch):
    """Return a function that lets a server on this machine answer like this."""

    def serve_as(answer):
        monkeypatch.setattr("llmos.cli.control.local.accepts_connections", lambda endpoint: True)
        monkeypatch.setattr("llmos.client.Client", partial(Client, transport=httpx.MockTransport(answer)))

    return serve_as


def another_program(request):
    return httpx.Response(200, text="<html>It works!</html>")


def older_server(request):
    return httpx.Response(404, json={"error": {"message": "There is no such page.", "code": "not_found"}})


def server_that_fails_to_stop(request):
    if request.method == "DELETE":
        return httpx.Response(502, json={"error": {"message": "The replica died.", "code": "replica_failed"}})
    return httpx.Response(200, json={"data": [{"version": "mine@1", "state": "ready"}]})


def server_that_goes_away(request):
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize(
    "answer",
    [another_program, older_server, server_that_fails_to_stop, server_that_goes_away],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_was_removed_is_told_though_the_server_cannot_be_asked(cli, encoder, serve_as, answer, options):
    serve_as(answer)
    cli("import", str(encoder), "--name", "mine")
    outcome = cli("rm", "mine", *options)
    assert outcome.status == 0
    assert "mine@1" in outcome.out
    assert "could not be asked to stop mine@1" in " ".join(outcome.err.split())
    assert json.loads(cli("list", "--json").out) == []


def test_removing_what_somebody_else_has_just_stopped_is_no_failure(cli, encoder, serve_as):
    def answer(request):
        if request.method == "DELETE":
            return httpx.Response(404, json={"error": {"message": "It doesn't run.", "code": "not_found"}})
        return httpx.Response(200, json={"data": [{"version": "mine@1", "state": "ready"}]})

    serve_as(answer)
    cli("import", str(encoder), "--name", "mine")
    outcome = cli("rm", "mine")
    assert (outcome.status, "could not" in outcome.err) == (0, False)


def test_the_removal_is_told_before_the_server_is_waited_for(cli, encoder, serve_as, capsys):
    told = []

    def answer(request):
        if request.method == "DELETE":
            told.append(capsys.readouterr().out)
            return httpx.Response(204)
        return httpx.Response(200, json={"data": [{"version": "mine@1", "state": "ready"}]})

    serve_as(answer)
    cli("import", str(encoder), "--name", "mine")
    assert cli("rm", "mine").status == 0
    assert [text.startswith("Removed mine@1; ") for text in told] == [True]


def test_removing_as_json_counts_bytes(cli, encoder):
    cli("import", str(encoder), "--name", "mine")
    removed = json.loads(cli("rm", "mine", "--json").out)
    assert removed["versions"] == ["mine@1"]
    assert removed["freed_bytes"] > 0


@pytest.mark.parametrize("command", [("show", "nothing"), ("rm", "nothing"), ("show", "a/b")])
def test_what_is_not_there_is_one_line_and_status_2(cli, command):
    outcome = cli(*command)
    assert (outcome.status, outcome.out) == (2, "")
    assert len(outcome.err.splitlines()) == 1


# A server on another machine


@pytest.fixture
def elsewhere(monkeypatch, cli):
    """LLMOS_ENDPOINT names a server that is not here; returns what it was asked."""
    asked = []
    facts = {"name": "big", "version": "big@4", "family": "llama", "parameters": 7_000_000_000, "size_bytes": 10**9}

    def answer(request):
        asked.append((request.method, request.url.path, request.content, request.headers.get("Authorization")))
        if request.url.path == "/llmos/v1/models":
            return httpx.Response(200, json={"data": [facts]})
        if request.url.path in ("/llmos/v1/models/big", "/llmos/v1/models/big/details"):
            return httpx.Response(200, json=facts)
        if request.method == "DELETE":
            return httpx.Response(204)
        if request.url.path == "/llmos/v1/routes":
            return httpx.Response(200, json={"data": [{"name": "gpt-3", "target": "big"}]})
        if request.method == "PUT":
            return httpx.Response(200, json={"name": "gpt-3", "target": "big"})
        return httpx.Response(404, json={"error": {"message": "There is none.", "code": "model_not_found"}})

    monkeypatch.setattr("llmos.client.Client", partial(Client, transport=httpx.MockTransport(answer)))
    monkeypatch.setenv("LLMOS_ENDPOINT", "http://10.1.2.3:8000")
    monkeypatch.setenv("LLMOS_API_KEY", "secret")
    return asked


def test_a_server_elsewhere_is_asked_for_its_models(cli, elsewhere):
    assert "big@4" in cli("list").out
    assert json.loads(cli("show", "big", "--json").out)["version"] == "big@4"
    assert elsewhere == [
        ("GET", "/llmos/v1/models", b"", "Bearer secret"),
        ("GET", "/llmos/v1/models/big/details", b"", "Bearer secret"),
    ]


def test_a_server_on_this_machine_is_asked_with_the_key_that_is_set(cli, elsewhere, monkeypatch):
    monkeypatch.setenv("LLMOS_ENDPOINT", "http://127.0.0.1:8000")
    assert "big@4" in cli("list").out
    assert elsewhere == [("GET", "/llmos/v1/models", b"", "Bearer secret")]


def test_without_a_key_a_server_on_this_machine_is_not_asked(cli, elsewhere, monkeypatch):
    monkeypatch.setenv("LLMOS_ENDPOINT", "http://127.0.0.1:8000")
    monkeypatch.delenv("LLMOS_API_KEY")
    assert "No models yet" in cli("list").err
    assert elsewhere == []


def test_a_server_elsewhere_has_its_own_routes(cli, elsewhere):
    assert cli("route", "set", "gpt-3", "big").out.strip() == "gpt-3 → big"
    assert "gpt-3" in cli("route", "list").out
    assert cli("route", "rm", "gpt-3").status == 0
    assert [(method, path) for method, path, *_ in elsewhere] == [
        ("PUT", "/llmos/v1/routes/gpt-3"),
        ("GET", "/llmos/v1/routes"),
        ("DELETE", "/llmos/v1/routes/gpt-3"),
    ]
    assert json.loads(elsewhere[0][2]) == {"target": "big"}


def test_a_server_elsewhere_says_what_is_wrong_itself(cli, elsewhere):
    outcome = cli("show", "nothing")
    assert (outcome.status, outcome.err) == (2, "Error: There is none.\n")


@pytest.mark.parametrize("command", [("trust", "list"), ("trust", "add", "x", "y"), ("trust", "rm", "x")])
def test_what_works_on_this_machine_alone_refuses_a_server_elsewhere(cli, elsewhere, command):
    outcome = cli(*command)
    assert outcome.status == 2
    assert "works on this machine only, but LLMOS_ENDPOINT is http://10.1.2.3:8000" in outcome.err
    assert elsewhere == []


def test_a_server_elsewhere_that_does_not_answer_is_named(cli, monkeypatch):
    def refuse(request):
        raise httpx.ConnectError("refused", request=request)

    far = partial(Client, max_retries=0, transport=httpx.MockTransport(refuse))
    monkeypatch.setattr("llmos.client.Client", far)
    monkeypatch.setenv("LLMOS_ENDPOINT", "http://10.1.2.3:9")
    outcome = cli("list")
    assert outcome.status == 1
    assert "No server answers at http://10.1.2.3:9" in outcome.err


def test_a_name_that_has_a_version_already_gets_another_and_that_is_said(cli, encoder, tmp_path):
    assert "It is version" not in cli("import", str(encoder), "--name", "mine").err
    outcome = cli("import", str(write_gguf(tmp_path / "tiny.gguf")), "--name", "mine")
    assert "mine@2 is here" in outcome.out
    assert "It is version 2 of mine; the earlier ones stay." in outcome.err
