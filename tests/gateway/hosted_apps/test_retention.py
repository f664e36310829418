"""retention_days of app.yaml: what a deployed application has kept goes when it is that old."""

from datetime import timedelta

import pytest

from llmos.core.clock import utc_now
from llmos.core.database import Database
from llmos.core.encryption.encryption import Encryption
from llmos.core.errors import NotFound
from llmos.core.schemas.app_manifests import AppManifest
from llmos.data.apps.deployments import AppDeployments
from llmos.data.apps.runs import AppRuns
from llmos.data.apps.sessions import AppSessions
from llmos.gateway.hosted_apps.retention import AppRetention
from support.apps import answer, new_run, question


def manifest_of(project: str, ref: str) -> AppManifest:
    if ref == "broken@1":
        raise NotFound("The files of broken@1 are gone.")
    return AppManifest(name="shop", retention_days=7 if ref == "shop@1" else None)


def test_what_is_older_than_the_days_of_the_application_goes(database: Database, encryption: Encryption) -> None:
    deployments = AppDeployments(database)
    for app in ("broken", "shop", "other"):
        deployments.deploy("acme", app, 1, actor=None)
    sessions, runs = AppSessions(database, encryption), AppRuns(database, encryption)
    kept = {}
    for app in ("shop", "other"):
        kept[app] = sessions.open("acme", app, "u1").id
        sessions.append("acme", kept[app], [question(), answer()])
    rival = sessions.open("rival", "shop", "u1").id
    waiting = runs.begin("acme", new_run(app="shop"))

    AppRetention(deployments, manifest_of, clock=lambda: utc_now() + timedelta(days=6)).run()
    assert sessions.get("acme", kept["shop"]).num_turns == 1
    AppRetention(deployments, manifest_of, clock=lambda: utc_now() + timedelta(days=8)).run()
    with pytest.raises(NotFound):
        sessions.get("acme", kept["shop"])
    assert sessions.get("acme", kept["other"]).num_turns == 1
    assert sessions.get("rival", rival).id == rival
    assert runs.get("acme", waiting.id).state == "running"
