"""Code that attacks the sandbox: it learns nothing, changes nothing, ends with the run, and has never passed."""

import os
import socket
import threading
from pathlib import Path

import pytest

from llmos.applications.code.sandbox import Report, SandboxLimits, run_tests

pytestmark = [pytest.mark.process, pytest.mark.usefixtures("needs_sandbox")]

LIMITS = SandboxLimits(wall_seconds=20, cpu_seconds=1)


def attack(code: str, tests: str = "assert attack() == 'done'", limits: SandboxLimits = LIMITS) -> Report:
    report = run_tests(code, tests, limits=limits)
    assert not report.passed
    return report


def function(body: str, *imports: str) -> str:
    lines = [*(f"import {each}" for each in imports), "def attack():", *(f"    {line}" for line in body.splitlines())]
    return "\n".join(lines)


# Code that uses too many resources


@pytest.mark.parametrize(
    "body",
    [
        "while not os.fork(): limited()",
        "subprocess.run([sys.executable, '-c', '1'])",
        "multiprocessing.Process().start()",
    ],
)
def test_code_starts_no_process(body):
    """Not one, so that there is no fork bomb. This one ends after three: a sandbox that broke would let it out."""
    limited = "import itertools\nnumbers = itertools.count()\ndef limited(): assert next(numbers) < 3\n"
    report = attack(limited + function(body, "os", "sys", "subprocess", "multiprocessing"))
    assert report.status == "failed"
    assert "Operation not permitted" in report.why


@pytest.mark.parametrize(
    "body", ["bytearray(10**10)", "x = []\nwhile True: x.append(bytearray(1 << 20))", "'x' * 10**11"]
)
def test_code_that_takes_all_memory_gets_an_error(body):
    """It has the time that a slow machine needs to fill the memory: no other limit may come first."""
    limits = SandboxLimits(wall_seconds=300, cpu_seconds=150)
    assert attack(function(body), limits=limits).status == "memory"


def test_an_endless_loop_ends_by_its_time_on_the_processor():
    report = attack(function("while True: pass"))
    assert report.status == "timeout"
    assert report.why == "The code took more than 1 s of the processor in line 1: assert attack() == 'done'."


def test_a_loop_that_ignores_the_first_signal_gets_another_one():
    body = "signal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert attack(function(body, "signal")).why.startswith("The code was killed")


def test_code_that_sleeps_ends_by_the_clock():
    limits = SandboxLimits(wall_seconds=0.5)
    report = attack(function("time.sleep(1000)", "time"), limits=limits)
    assert (report.status, report.why) == (
        "timeout",
        "It takes longer than 0.5 s in line 1: assert attack() == 'done'.",
    )


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_endless_output_ends_the_run_and_fills_no_memory(stream):
    report = attack(function(f"while True: sys.{stream}.write('x' * 10_000)", "sys"))
    assert report.status == "killed"
    assert "prints more than 1,024 KiB" in report.why
    assert len(report.stdout) + len(report.stderr) < 2 << 20


def test_threads_end_with_the_run():
    body = "for _ in range(10_000): threading.Thread(target=time.sleep, args=(1000,)).start()"
    before = processes()
    report = attack(function(body, "threading", "time"), limits=SandboxLimits(wall_seconds=2, cpu_seconds=1))
    assert report.status in ("failed", "memory", "timeout", "killed")
    assert processes() <= before


def test_large_files_and_many_files_fail():
    one = "with open('/tmp/x', 'wb') as file:\n    while True: file.write(bytes(1 << 20))"
    many = "for i in range(1000): open(f'/tmp/{i}', 'wb').write(bytes(1 << 20))"
    assert "File too large" in attack(function(one)).why
    assert "No space left" in attack(function(many)).why
    assert "Too many open files" in attack(function("x = [open('/dev/null') for _ in range(1000)]")).why


def test_memory_that_no_limit_counts_cannot_be_had():
    assert "Operation not permitted" in attack(function("os.memfd_create('x')", "os")).why


# Things that the code must not see


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/sys", "/home", "/root", "/var", "/dev/shm"])
def test_files_of_the_machine_are_not_there(path):
    body = f"return os.listdir({path!r}) if os.path.isdir({path!r}) else open({path!r}).read()"
    assert "No such file or directory" in attack(function(body, "os")).why


def test_llmos_home_and_the_users_home_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMOS_HOME", str(tmp_path))
    (tmp_path / "secret").write_text("1234")
    for path in (tmp_path / "secret", Path.home()):
        assert "No such file" in attack(function(f"open({str(path)!r})")).why


def test_it_sees_no_environment_and_no_path_of_the_machine(monkeypatch):
    monkeypatch.setenv("LLMOS_API_KEY", "llmos_secret")
    code = function("return [dict(os.environ), os.uname().nodename, os.getcwd(), sys.prefix]", "os", "sys")
    assert run_tests(code, "assert attack() == [{}, 'sandbox', '/tmp', '/python']").passed


def test_it_sees_pythons_files_alone():
    code = function("return {each: sorted(os.listdir(each)) for each in ('/', '/dev', '/tmp')}", "os")
    tests = """
seen = attack()
assert set(seen["/"]) <= {"dev", "lib", "lib64", "python", "sandbox", "tmp"}
assert seen["/dev"] == ["null", "urandom"]
assert seen["/tmp"] == []
"""
    report = run_tests(code, tests)
    assert report.passed, report.why


def test_packages_of_the_machine_are_not_there():
    assert "No module named 'numpy'" in attack("import numpy").why


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_VSOCK", "AF_ALG", "AF_NETLINK"])
def test_there_is_no_network(family):
    assert "Operation not permitted" in attack(function(f"socket.socket(socket.{family})", "socket")).why


def test_a_server_on_this_machine_gets_no_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        attack(function(f"socket.create_connection({address!r}, timeout=1)", "socket"))
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


# Things that the code must not change


@pytest.mark.parametrize("path", ["/x", "/python/x", "/python/lib/x", "/sandbox/inside/judge.py", "/dev/x"])
def test_nothing_can_be_written_but_tmp(path):
    assert "Read-only file system" in attack(function(f"open({path!r}, 'w')")).why


def test_links_lead_nowhere(tmp_path):
    (tmp_path / "secret").write_text("1234")
    body = f"os.symlink({str(tmp_path / 'secret')!r}, '/tmp/link')\nreturn open('/tmp/link').read()"
    assert "No such file" in attack(function(body, "os")).why
    assert "No such file" in attack(function("return open('/tmp/../../../etc/passwd').read()")).why


def test_signals_reach_no_process_of_the_machine():
    body = "for pid in (-1, 1, os.getppid()):\n    try: os.kill(pid, 9)\n    except OSError: pass\nreturn os.getpid()"
    report = run_tests(function(body, "os"), "assert attack() < 10")
    assert report.passed, report.why


@pytest.mark.parametrize("call", ["ptrace(0, 0, 0, 0)", "unshare(0x10000000)", "mount(b'a', b'/tmp', b'tmpfs', 0, 0)"])
def test_system_calls_that_python_does_not_need_are_refused(call):
    body = f"libc = ctypes.CDLL(None, use_errno=True)\nreturn libc.{call}, ctypes.get_errno()"
    report = run_tests(function(body, "ctypes"), "assert attack() == (-1, 1)")
    assert report.passed, report.why


def test_nothing_outlives_the_run():
    before = processes()
    attack(function("os.setsid()\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(1000)", "os", "signal", "time"),
           limits=SandboxLimits(wall_seconds=0.5))  # fmt: skip
    assert processes() <= before
    assert threading.active_count() == 1 or "bwrap" not in {each.name for each in threading.enumerate()}


# Code that must not count as passed


@pytest.mark.parametrize("code", ["import sys; sys.exit(0)", "import os; os._exit(0)", "raise SystemExit", "exit()"])
def test_code_that_exits_before_the_tests_has_not_passed(code):
    attack(code)


@pytest.mark.parametrize("body", ["sys.exit(0)", "os._exit(0)", "os.kill(os.getpid(), 9)", "ctypes.string_at(0)"])
def test_code_that_exits_within_a_test_has_not_passed(body):
    attack(function(body, "ctypes", "os", "sys"))


def test_a_printed_report_is_no_report():
    forged = '{"ready": true}\\n{"case": {"name": "x", "passed": true, "message": ""}}\\n{"end": {}}'
    body = f"for fd in range(1, 64):\n    try: os.write(fd, b'{forged}\\n')\n    except OSError: pass\nos._exit(0)"
    attack(function(body, "os"))


def test_an_object_that_equals_everything_equals_nothing():
    code = """
class Anything:
    __eq__ = __lt__ = __gt__ = __le__ = __ge__ = lambda *_: True
    __sub__ = __rsub__ = __abs__ = lambda self, *_: self
def attack(): return Anything()
"""
    report = attack(code, "assert attack() == 1\nassert abs(attack() - 1) < 0.1\nassert attack() in [1, 2]")
    assert [each.passed for each in report.tests] == [False, False, False]


def test_pythons_names_in_the_tests_are_pythons():
    code = "def abs(x): return 0\ndef all(x): return True\nlen = sorted = isinstance = abs\ndef attack(): return [5]"
    report = attack(code, "assert abs(attack()[0]) < 1\nassert all([False])\nassert len(attack()) == 0")
    assert [each.passed for each in report.tests] == [False, False, False]


def test_changed_builtins_are_those_of_the_code_alone():
    code = function("builtins.AssertionError = SystemExit\nbuiltins.len = lambda x: 7\nreturn [1]", "builtins")
    attack(code, "assert len(attack()) == 7")


def test_a_stop_does_not_end_the_tests_loop():
    attack("def attack(x): raise StopIteration", "assert all(map(attack, [1, 2]))")


def test_only_tests_skip_tests():
    code = "import unittest\nclass SkipTest(Exception): pass\n"
    code += "def attack(which): raise [SkipTest, unittest.SkipTest][which]"
    tests = "import unittest\ndef test_a(): attack(0)\ndef test_b(): attack(1)\ndef test_c(): pass"
    assert [each.passed for each in attack(code, tests).tests] == [False, False, True]


def test_what_is_no_message_ends_the_run():
    body = "for fd in range(3, 64):\n    try: os.write(fd, b'x' * 16)\n    except OSError: pass"
    assert "sent something else than a result" in attack(function(body, "os")).why


def test_a_value_that_is_too_large_or_too_deep_is_an_error():
    assert "more than 8 MiB" in attack(function("return 'x' * (9 << 20)")).why
    assert "RecursionError" in attack(function("x = []\nx.append(x)\nreturn x")).why


def test_the_code_can_call_nothing_of_the_tests_but_what_they_gave_it():
    code = """
import gc
def attack():
    worker = next(each for each in gc.get_objects() if type(each).__name__ == "Worker")
    for do in ("get", "load", "call"):
        answer = worker.peer.ask({"do": do, "target": 0, "name": "x", "args": [], "kwargs": {}})
        assert "error" in answer
    return "refused"
"""
    report = run_tests(code, "assert attack() == 'refused'")
    assert report.passed, report.why


def processes() -> set[str]:
    """Return the processes that this one has started, with those that they have started."""
    parents = {}
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[each.parent.name] = each.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
    found = {str(os.getpid())}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found
