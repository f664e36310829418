"""A gateway whose disk is full when it starts says so, refuses what it can't account for, and recovers by itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk"),
]

PROGRAM = f"""
import json, logging, os, sys
from contextlib import suppress
from io import StringIO
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
import httpx
from llmos.core.database import Database
from llmos.gateway.app import create_app
from support.looking import pause_thread
from support.scripted import KEY, FakePool
from support.scripted_gateway import Scripted, scripted_services, serve_app

home = Path(sys.argv[1])
CHAT = {{"model": "dialogue", "messages": [{{"role": "user", "content": "Hi"}}]}}
log = StringIO()
logging.basicConfig(stream=log, level=logging.WARNING)

def fill():
    with (home / "ballast").open("ab", buffering=0) as ballast, suppress(OSError):
        while ballast.write(bytes(4096)):
            pass

url = f"sqlite:///{{home / 'llmos.db'}}"
before = Database(url)
before.upgrade()
before.close()
fill()
database = Database(url)
database.upgrade()
with scripted_services(Scripted.over(FakePool(), None), home, database) as services:
    fill()  # What was given up to open the database.
    writer = services.billing.ledger_writer
    writer._retry_seconds = 0.05
    writer.start()
    with serve_app(create_app(services), services) as address:
        def chat():
            headers = {{"authorization": f"Bearer {{KEY}}"}}
            return httpx.post(f"{{address}}/v1/chat/completions", json=CHAT, headers=headers, timeout=60)
        statuses = []
        while 503 not in statuses:
            reply = chat()
            statuses.append(reply.status_code)
            fill()
        refusal = reply.json()["error"]["message"]
        os.unlink(home / "ballast")
        while chat().status_code != 200:
            pause_thread()
        while writer.has_set_aside:
            pause_thread()
    counted = services.billing.usage.report("project").data[0].num_calls
answered = statuses.count(200) + 1
print(json.dumps({{"answered": answered, "refusal": refusal, "counted": counted, "log": log.getvalue()}}))
database.close()
"""


def test_a_gateway_that_starts_on_a_full_disk_says_so_and_recovers(tmp_path: Path) -> None:
    mounting = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = 'mount -t tmpfs -o size=4m,mode=0700 tmpfs "$0"'
    if subprocess.run([*mounting, "sh", "-c", mount, tmp_path], capture_output=True, check=False).returncode:
        pytest.skip("This user can't mount anything.")
    command = [*mounting, "sh", "-c", f'{mount} && exec "$@"', tmp_path, sys.executable, "-c", PROGRAM, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "has no room for entries of the ledger" in found["log"]
    assert "Free some disk space" in found["refusal"]
    assert found["counted"] == found["answered"], "nothing is lost, and nothing is doubled"
