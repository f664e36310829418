"""A program that a test kills: it refunds twice, and writes each refund to a file, which is the world outside."""

import os
import sys
from pathlib import Path

from llmos.apps import App, EffectKey, Happened, NotHappened
from llmos.client import AsyncClient

url, key, world, mode, run_id, die_at = sys.argv[1:7]
app = App("payer", brain=lambda order: pay_back(order), lease_seconds=1, connect=lambda: AsyncClient(url, api_key=key))
_num_points = 0


def point() -> None:
    """Die here, as by kill -9, if it is the chosen point."""
    global _num_points
    if _num_points == int(die_at):
        os.kill(os.getpid(), 9)
    _num_points += 1


@app.step
def look_up(order: str) -> int:
    point()
    return 500


@app.step(effect=True)
def refund(order: str, cents: int, *, key: EffectKey) -> str:
    point()
    with Path(world).open("a") as file:
        file.write(f"{key}\n")
    point()
    return f"refunded {cents}"


@refund.reconcile
def refunded(order: str, cents: int, *, key: EffectKey) -> Happened | NotHappened:
    point()
    happened = key in Path(world).read_text().splitlines()
    return Happened(f"refunded {cents}") if happened else NotHappened()


def pay_back(order: str) -> str:
    point()
    cents = look_up(order)
    first = refund(order, cents)
    point()
    second = refund(f"{order}-2", cents)
    point()
    return f"{first}, {second}"


run = app.run("A1", session="u42") if mode == "run" else app.resume(run_id)
app.close()
print(run.text)
