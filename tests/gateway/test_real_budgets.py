"""Budgets with the real model: the engine ends the answer itself, and what was killed is settled by the next server."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from support.real_server import KEY, Running, serving

pytestmark = pytest.mark.process

HEADERS = {"x-api-key": KEY}
CHAT = {
    "model": "smollm2",
    "messages": [{"role": "user", "content": "Count to a hundred."}],
    "max_tokens": 200,
    "user": "counter",
}
BUDGET = {"project": "owner", "user": "counter", "unit": "tokens", "limit": "60", "per": "day"}
"""The budget of one user, because other tests share the home."""


def test_the_engine_ends_an_answer_at_the_token_that_the_budget_pays_for(running: Running) -> None:
    client = httpx.Client(base_url=running.url, headers=HEADERS, timeout=120)
    with client:
        assert client.put("/llmos/v1/budgets/real", json=BUDGET).status_code == 200
        # A sampled answer may end by itself before the budget does.
        answer = client.post("/v1/chat/completions", json=CHAT | {"ignore_eos": True}).json()
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["total_tokens"] == 60
        assert "pays for no more" in answer["warnings"][0]["message"]
        assert client.post("/v1/chat/completions", json=CHAT).status_code == 429
        found = client.get("/llmos/v1/budgets/real").json()
        assert (found["spent"], found["reserved"], found["left"]) == ("60", "0", "0")
        assert client.delete("/llmos/v1/budgets/real").status_code == 204


def test_a_killed_server_holds_nothing_and_charges_what_its_stream_had_sent(home: Path) -> None:
    chat = CHAT | {"stream": True, "max_tokens": 4000, "ignore_eos": True, "user": "killed"}
    with serving(home) as first, httpx.Client(base_url=first.url, headers=HEADERS, timeout=120) as client:
        client.put("/llmos/v1/budgets/killed", json=BUDGET | {"limit": "100000", "user": "killed"})
        with client.stream("POST", "/v1/chat/completions", json=chat) as stream:
            for number, _ in enumerate(stream.iter_lines()):
                if number % 20 == 0 and client_sees_progress(first, number):
                    break
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
    with serving(home) as second, httpx.Client(base_url=second.url, headers=HEADERS, timeout=120) as client:
        while (found := client.get("/llmos/v1/budgets/killed").json())["reserved"] != "0":
            pass
        assert int(found["spent"]) > 30
        client.delete("/llmos/v1/budgets/killed")


def client_sees_progress(running: Running, number: int) -> bool:
    """Return whether what the stream has sent is written down, which happens once a second."""
    with closing(sqlite3.connect(running.home / "llmos.db")) as database:
        (drafts,) = database.execute("SELECT count(*) FROM reserved_calls WHERE entry <> ''").fetchone()
    return bool(drafts) and number > 40
