"""The dashboard, the alert rules and docs/monitoring.md name metrics and labels that a real server has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from llmos.cli import main
from support.doc_pages import DocPage
from support.real_server import KEY, Running

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
PAGE = DocPage("monitoring.md")

_NAME = re.compile(r"\bllmos_\w+")
_LABELS = re.compile(r"\b(llmos_\w+)(?:\{([^}]*)\})?")


LONG = [{"role": "user", "content": "word " * 20_000}]


@pytest.fixture
def scraped(running: Running) -> str:
    """The metrics of a server that has answered two calls, one of them with an error."""
    with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as http:
        ask: dict[str, Any] = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
        assert http.post("/v1/chat/completions", json=ask).status_code == 200
        assert http.post("/v1/chat/completions", json=ask | {"messages": LONG}).status_code == 400
        return http.get("/metrics").text


def metrics_in(text: str) -> dict[str, set[str]]:
    """The labels of each name, also of families without samples."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        found |= {family.name + suffix: set() for suffix in suffixes}
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def dashboard_expressions() -> Iterator[str]:
    dashboard = json.loads((MONITORING / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))


def alert_expressions() -> Iterator[str]:
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    yield from (rule["expr"] for group in rules["groups"] for rule in group["rules"])


def labels_in(expression: str) -> Iterator[tuple[str, str]]:
    """Each metric of an expression, with each label that it is asked for."""
    grouped = re.findall(r"\bby \(([^)]*)\)", expression)
    for name, selector in _LABELS.findall(expression):
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
            yield name, label
        for labels in grouped:
            yield from ((name, label.strip()) for label in labels.split(","))


@pytest.mark.process
def test_the_dashboard_and_the_alerts_name_what_a_server_has(scraped: str) -> None:
    known = metrics_in(scraped)
    expressions = [*dashboard_expressions(), *alert_expressions()]
    assert len(expressions) > 30
    assert {name for each in expressions for name in _NAME.findall(each)} - known.keys() == set()
    wrong = [
        (name, label)
        for each in expressions
        for name, label in labels_in(each)
        if known[name] and label not in known[name]
    ]
    assert wrong == []


@pytest.mark.process
def test_the_page_lists_every_metric_of_a_server_and_no_other(scraped: str) -> None:
    families = {family.name for family in text_string_to_metric_families(scraped)}
    said = {name for name in families if not name.endswith("_created")}  # The client library adds those.
    listed = {name.removesuffix("_total") for name in _NAME.findall(PAGE.text)} - {"llmos_"}
    assert said - listed == set()
    assert listed - said == set()


@pytest.mark.process
def test_a_call_is_counted_under_the_names_of_vllm(scraped: str) -> None:
    samples = {
        (sample.name, sample.labels.get("model_name"))
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
        if sample.value > 0
    }
    for name in ("prompt_tokens_total", "generation_tokens_total", "time_to_first_token_seconds_count"):
        assert (f"llmos_{name}", "smollm2@1") in samples
    assert ("llmos_e2e_request_latency_seconds_count", "smollm2@1") in samples


def test_the_page_says_what_to_do_about_every_alert() -> None:
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    names = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
    rows = {row.partition("`")[2].partition("`")[0] for row in PAGE.text.partition("## Alerts")[2].splitlines()}
    assert names == rows - {""}


@pytest.mark.process
def test_a_real_server_has_a_log_a_live_view_and_times_of_each_stage(
    running: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"ENDPOINT": running.url, "API_KEY": KEY, "HOME": str(running.home)}.items():
        monkeypatch.setenv(f"LLMOS_{name}", value)
    ask: dict[str, Any] = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 64}
    ask["ignore_eos"] = True  # Tokens that come at once have no time between them.
    reply = httpx.post(
        f"{running.url}/v1/chat/completions", json=ask, headers={"authorization": f"Bearer {KEY}"}, timeout=60
    )
    request_id = reply.headers["x-request-id"]
    lines: list[dict[str, Any]] = []
    while not lines:  # A thread of the server writes them.
        assert main(["logs", "--request", request_id, "--json"]) == 0
        lines = json.loads(capsys.readouterr().out)["data"]
    assert [(line["event"], line["id"], line["level"]) for line in lines] == [("request", reply.json()["id"], "info")]
    assert "Hi" not in [value for line in lines for value in line.values()]
    assert main(["top", "--once", "--every", "0.2"]) == 0
    assert re.search(r"smollm2@1 +ready +1/1", capsys.readouterr().out)
    assert main(["answer", "show", request_id, "--json"]) == 0
    timings = json.loads(capsys.readouterr().out)["timings"]
    assert timings["prefill"] > 0
    assert timings["decode"] > 0
    assert 0 < timings["replica"] <= timings["total"]
