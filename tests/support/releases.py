"""Releases of applications in tests: what applies one, and waits for what becomes of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from llmos.client import Client
from llmos.core.schemas.releases import ReleaseDescription
from support.looking import pause_thread

STEPS = "rollout: {steps: [50, 100], gate: 'error_rate <= 10%', min_runs: 3}\n"
ENVIRONMENTS = "environments: {prod: {variables: {shop: Acme Ltd}}, staging: {}}\n"

Write = Callable[..., Path]
"""write(version, manifest): the folder of an application that says its version."""


def apply(client: Client, folder: Path, environment: str = "prod", **options: Any) -> ReleaseDescription:
    plan = client.apps.plan(folder, environment=environment)
    made = client.apps.create(folder, environment=environment)
    number = int(made.version.rpartition("@")[2])
    options = {"newest_release": plan.newest_release, **options}
    return client.apps.release(plan.app, number, environment=environment, **options)


def newest(client: Client, name: str) -> ReleaseDescription:
    return client.apps.releases(name)[0]


def wait_for(client: Client, name: str, state: str, percent: float | None = None) -> ReleaseDescription:
    while (release := newest(client, name)).state != state or percent not in (None, release.percent):
        pause_thread()
    return release
