"""The container image as it is run: without rights, over a read-only root, within limits of memory and cores.

Only where LLMOS_TEST_IMAGE names an image of this checkout, such as localhost/llmos-server after `make image`; as root.
"""

import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.doc_pages import DocPage
from support.looking import pause_thread
from support.real_server import KEY

PODMAN = ("podman", "--storage-driver", "vfs", "--runtime", "runc")
IMAGE = os.environ.get("LLMOS_TEST_IMAGE", "")
UID = 10001
MEMORY = 600 << 20
CONFINED = (
    "--read-only",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--ulimit=nofile=4096:4096",
    "--ulimit=nproc=4096:4096",
    "--network=host",
    "--no-healthcheck",  # podman runs it by systemd, which containers lack
    f"--memory={MEMORY}",
    "--cpus=1",
    f"--env=LLMOS_OWNER_KEY={KEY}",
)


def why_not() -> str:
    if not IMAGE:
        return "needs LLMOS_TEST_IMAGE, an image of this checkout: make image IMAGE=server"
    if os.geteuid() != 0 or shutil.which("podman") is None or shutil.which("runc") is None:
        return "needs root, podman and runc"
    found = subprocess.run([*PODMAN, "image", "exists", IMAGE], capture_output=True, check=False)
    return "" if found.returncode == 0 else f"needs the image {IMAGE}: make image IMAGE=server"


pytestmark = [pytest.mark.process, pytest.mark.skipif(bool(reason := why_not()), reason=reason)]


def podman(*arguments: str) -> str:
    outcome = subprocess.run([*PODMAN, *arguments], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


@dataclass
class Container:
    name: str
    url: str

    def run(self, *command: str) -> str:
        return podman("exec", self.name, *command)

    def llmos(self, *arguments: str) -> Any:
        return json.loads(self.run("llmos", *arguments, "--json"))

    def ask(self) -> str:
        question = {"model": "smollm2", "messages": [{"role": "user", "content": "Which animal says meow?"}]}
        body = question | {"temperature": 0, "max_tokens": 12}
        reply = httpx.post(f"{self.url}/v1/chat/completions", json=body, headers={"x-api-key": KEY}, timeout=120)
        text: str = reply.json()["choices"][0]["message"]["content"]
        return text


@contextmanager
def running(home: Path) -> Iterator[Container]:
    name, port = f"llmos-test-{secrets.token_hex(4)}", free_port()
    options = (*CONFINED, f"--name={name}", f"--volume={home}:/var/lib/llmos", f"--env=LLMOS_PORT={port}")
    podman("run", "--detach", *options, IMAGE, "serve", "smollm2")
    try:
        container = Container(name, f"http://127.0.0.1:{port}")
        while not _is_ready(container):
            assert podman("inspect", "--format={{.State.Running}}", name).strip() == "true", podman("logs", name)
            pause_thread()
        yield container
    finally:
        podman("rm", "--force", "--volumes", name)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def _is_ready(container: Container) -> bool:
    try:
        return httpx.get(f"{container.url}/health/ready", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Path:
    folder = tmp_path_factory.mktemp("image") / "home"
    folder.mkdir(mode=0o700)
    shutil.copy(smollm2_path, folder / "smollm2.gguf")
    for path in (folder, folder / "smollm2.gguf"):
        os.chown(path, UID, UID)
    importing = ("import", "/var/lib/llmos/smollm2.gguf", "--name", "smollm2")
    podman("run", "--rm", *CONFINED, f"--volume={folder}:/var/lib/llmos", IMAGE, *importing)
    # pytest's folders are for root alone.
    for parent in folder.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    return folder


@pytest.fixture(scope="module")
def container(home: Path) -> Iterator[Container]:
    with running(home) as found:
        yield found


def test_it_answers_without_rights_over_a_read_only_root(container: Container) -> None:
    assert "cat" in container.ask().lower()
    assert container.run("id", "-u").strip() == str(UID)
    script = "grep -E 'NoNewPrivs|CapEff' /proc/1/status; touch /x 2>/dev/null || echo read-only"
    assert container.run("sh", "-c", script).split() == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "read-only"]


def test_the_command_of_the_page_confines_the_container_in_the_same_way() -> None:
    (text,) = DocPage("containers.md").blocks("sh")
    words = shlex.split(text.replace("\\\n", " "))
    confining = [each for each in CONFINED if each.startswith(("--read", "--cap", "--security", "--ulimit"))]
    assert {*confining} <= {*words}


def test_it_has_neither_pip_nor_a_compiler(container: Container) -> None:
    script = "python -c 'import pip' 2>/dev/null || echo none; command -v cc g++ gcc apt-get || echo none"
    assert container.run("sh", "-c", script).split() == ["none", "none"]


def test_the_health_check_passes(container: Container) -> None:
    check = json.loads(podman("image", "inspect", IMAGE))[0]["Healthcheck"]["Test"]
    assert check[0] == "CMD"
    container.run(*check[1:])


def test_the_doctor_sees_the_limits_of_the_container(container: Container) -> None:
    outcome = subprocess.run(
        [*PODMAN, "exec", container.name, "llmos", "doctor", "--json"], capture_output=True, text=True, check=False
    )
    found = {each["check"]: each["found"] for each in json.loads(outcome.stdout)}
    assert "1 cores" in found["cpu"]
    assert found["memory"].endswith("of 629.1 MB")


def test_a_replica_that_is_killed_for_memory_says_so(container: Container) -> None:
    container.llmos("deploy", "smollm2")
    (replica,) = [each for each in container.llmos("ps") if each["version"] == "smollm2@1"]
    # The kernel takes the process with the highest score, and another one uses the memory up.
    waste = f"echo 1000 >/proc/{replica['pid']}/oom_score_adj; python -c 'bytearray({MEMORY})' || true"
    container.run("sh", "-c", waste)
    while not (reasons := [each["reason"] for each in history(container) if each["kind"] == "died"]):
        pause_thread()
    assert f"the memory limit of {MEMORY:,} bytes was reached" in reasons[0]
    assert "cat" in container.ask().lower()


def history(container: Container) -> Any:
    return container.llmos("deployment", "history", "smollm2")


def test_a_new_container_has_the_data_of_one_that_was_stopped(home: Path, container: Container) -> None:
    podman("stop", "--time=60", container.name)
    state = json.loads(podman("inspect", container.name))[0]["State"]
    assert state["ExitCode"] == 0
    with running(home) as other:
        assert "cat" in other.ask().lower()
        assert history(other)[0]["kind"] == "deployed"
