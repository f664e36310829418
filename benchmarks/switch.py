"""Count the calls that are lost while the live version changes. Callers never pause, and every call is counted.

    .venv/bin/python benchmarks/switch.py [MODEL.gguf] [--callers 16] [--min-calls 40] [--json]

On a real server with the default model under two names: the second is promoted in steps behind a gate, undone, promoted
at once, its process is killed, and it is undone again. A call is lost when it ends without its whole answer.
"""

import argparse
import asyncio
import json
import os
import signal
import time
from collections import Counter
from typing import Any

import httpx

from model_choice import add_model, files_of
from served import KEY, served

ROUTE = "chat"
OLD, NEW = "old@1", "new@1"


class Callers:
    """Clients that call all the time: half of them read a stream, half wait for the whole answer."""

    def __init__(self, client: httpx.AsyncClient, num_callers: int) -> None:
        self._client, self._num_callers = client, num_callers
        self.outcomes: Counter[str] = Counter()
        self.lost: list[str] = []
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Callers":
        self._tasks = [asyncio.create_task(self._call_on(i)) for i in range(self._num_callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        await asyncio.gather(*self._tasks)

    async def _call_on(self, caller: int) -> None:
        number = 0
        while not self._is_over:
            number += 1
            body = {
                "model": ROUTE,
                "messages": [{"role": "user", "content": f"Say a number that follows {number}."}],
                "max_tokens": 12,
                "user": f"caller {caller}, call {number}",
            }
            try:
                version = await (self._streamed(body) if caller % 2 else self._plain(body))
                self.outcomes[version] += 1
            except Exception as error:
                self.lost.append(f"{type(error).__name__}: {error}")

    async def _plain(self, body: dict[str, Any]) -> str:
        answer = (await self._client.post("/v1/chat/completions", json=body)).raise_for_status()
        assert answer.json()["choices"][0]["finish_reason"] in ("stop", "length")
        return answer.headers["llmos-version"]

    async def _streamed(self, body: dict[str, Any]) -> str:
        async with self._client.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as answer:
            lines = [line async for line in answer.aiter_lines() if line]
        answer.raise_for_status()
        assert lines[-1] == "data: [DONE]", lines[-1]
        return answer.headers["llmos-version"]


async def ended(client: httpx.AsyncClient, rollout: dict[str, Any]) -> dict[str, Any]:
    while rollout["ended_at"] is None:
        await asyncio.sleep(0.2)
        rollout = (await client.get(f"/llmos/v1/rollouts/{rollout['id']}")).raise_for_status().json()
    return rollout


async def promote(client: httpx.AsyncClient, steps: list[float], min_calls: int) -> dict[str, Any]:
    body = {"version": NEW, "route": ROUTE, "steps": steps, "gate": "error_rate <= 0%", "min_calls": min_calls}
    return await ended(client, (await client.post("/llmos/v1/rollouts", json=body)).raise_for_status().json())


async def rehearse(url: str, options: argparse.Namespace) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=options.callers + 4)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=120, limits=limits) as client:
        (await client.put(f"/llmos/v1/routes/{ROUTE}", json={"target": OLD})).raise_for_status()
        began = time.perf_counter()
        async with Callers(client, options.callers) as callers:
            first = await promote(client, [5, 25, 100], options.min_calls)
            (await client.delete(f"/llmos/v1/routes/{ROUTE}/rollout")).raise_for_status()
            second = await promote(client, [100], options.min_calls)
            deployments = (await client.get("/llmos/v1/deployments")).json()["data"]
            num_lost_in_switches = len(callers.lost)
            for replica in (each for each in deployments if each["version"] == NEW):
                for pid in pids_of(replica):
                    os.kill(pid, signal.SIGKILL)
            (await client.delete(f"/llmos/v1/routes/{ROUTE}/rollout")).raise_for_status()
        return {
            "calls": sum(callers.outcomes.values()) + len(callers.lost),
            "answered": dict(callers.outcomes),
            "lost_in_switches": num_lost_in_switches,
            "lost_by_the_kill": len(callers.lost) - num_lost_in_switches,
            "reasons": sorted(set(callers.lost)),
            "rollouts": [first["state"], second["state"]],
            "seconds": round(time.perf_counter() - began, 1),
        }


def pids_of(deployment: dict[str, Any]) -> list[int]:
    replicas = deployment.get("replicas") or [deployment]
    return [replica["pid"] for replica in replicas if replica.get("pid")]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--min-calls", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    add_model(parser)
    options = parser.parse_args()
    (model,) = files_of(options.model).values()
    with served(model, *(version.partition("@")[0] for version in (OLD, NEW))) as server:
        report = asyncio.run(rehearse(server.url, options))
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        for name, value in report.items():
            print(f"{name.replace('_', ' '):18} {value}")
    return 1 if report["lost_in_switches"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
