"""Measure the Java client: its jar, its first answer in a fresh JVM, its calls a second beside the Python client's, and
the memory of many open streams.

    python benchmarks/java.py [--rounds 5] [--calls 10000] [--concurrency 32] [--streams 1000] [--json]

The server answers at once with the same bytes (java_client/instant_server.py) and runs on the same cores. The clients
run in turns, each in a process of its own; a figure is the median over the rounds. CPU seconds are user and system time
of the client's process with all that it does, from its start to its end.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent


@dataclass
class Figures:
    jar_bytes: int
    first_answer_seconds: float
    """From the beginning of main() to the answer, with the owner's key, which needs a proof first."""
    first_answer_cpu_seconds: float
    """Time of the processor that the whole process takes, with the start of the JVM."""
    java_calls_per_second: float
    python_calls_per_second: float
    java_calls_per_cpu_second: float
    python_calls_per_cpu_second: float
    streams: int
    heap_bytes: int
    """The used heap with all streams open, after a collection."""


@dataclass
class Timed:
    printed: str
    cpu_seconds: float


@contextmanager
def instant_server() -> Iterator[str]:
    """Yield the address of a server that answers at once."""
    program = HERE / "java_client" / "instant_server.py"
    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def build(folder: Path) -> tuple[Path, Path]:
    """Return the jar, and the folder of the compiled programs."""
    subprocess.run(["sh", str(ROOT / "sdk/java/build.sh"), str(folder), "jar"], check=True)
    (jar,) = folder.glob("llmos-*.jar")
    programs = [str(each) for each in (HERE / "java_client").glob("*.java")]
    subprocess.run(["javac", "-d", str(folder), "-cp", str(jar), *programs], check=True)
    return jar, folder


def timed(*command: object, **variables: str) -> Timed:
    """Run a program, and return what it printed and its CPU time."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")} | variables
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True, env=environ)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} failed"
    return Timed(printed.strip(), usage.ru_utime + usage.ru_stime)


def measure(arguments: argparse.Namespace) -> Figures:
    folder = Path(tempfile.mkdtemp(prefix="llmos-java-"))
    try:
        jar, classes = build(folder)
        with instant_server() as url:
            return measured(arguments, jar, classes, url)
    finally:
        shutil.rmtree(folder)


def measured(arguments: argparse.Namespace, jar: Path, classes: Path, url: str) -> Figures:
    class_path = f"{classes}{os.pathsep}{jar}"
    calls, concurrency = arguments.calls, arguments.concurrency
    python = (sys.executable, HERE / "java_client" / "python_calls.py", calls, concurrency)
    firsts, javas, pythons = [], [], []
    for _ in range(arguments.rounds):
        firsts.append(timed("java", "-cp", class_path, "FirstAnswer", LLMOS_ENDPOINT=url, LLMOS_OWNER_KEY="owner"))
        javas.append(
            timed("java", "-cp", class_path, "Calls", calls, concurrency, LLMOS_ENDPOINT=url, LLMOS_API_KEY="k")
        )
        pythons.append(timed(*python, LLMOS_ENDPOINT=url, LLMOS_API_KEY="k"))
    heap = timed(
        "java", "-Xmx150m", "-cp", class_path, "Streams", arguments.streams, LLMOS_ENDPOINT=url, LLMOS_API_KEY="k"
    )  # fmt: skip
    return Figures(
        jar_bytes=jar.stat().st_size,
        first_answer_seconds=statistics.median(float(each.printed) for each in firsts),
        first_answer_cpu_seconds=statistics.median(each.cpu_seconds for each in firsts),
        java_calls_per_second=calls / statistics.median(float(each.printed) for each in javas),
        python_calls_per_second=calls / statistics.median(float(each.printed) for each in pythons),
        java_calls_per_cpu_second=calls / statistics.median(each.cpu_seconds for each in javas),
        python_calls_per_cpu_second=calls / statistics.median(each.cpu_seconds for each in pythons),
        streams=arguments.streams,
        heap_bytes=int(heap.printed),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the Java client.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = measure(arguments)
    if arguments.json:
        print(json.dumps(asdict(figures)))
        return
    print(f"jar                      {figures.jar_bytes / 1000:.1f} KB")
    first = f"{figures.first_answer_seconds:.3f} s, {figures.first_answer_cpu_seconds:.3f} s of CPU time with the JVM"
    print("first answer after main ", first)
    print("calls a second          ", compared(figures.java_calls_per_second, figures.python_calls_per_second))
    print("calls a CPU second      ", compared(figures.java_calls_per_cpu_second, figures.python_calls_per_cpu_second))
    print(f"heap of {figures.streams} streams     {figures.heap_bytes / 1e6:.1f} MB, of at most 150")


def compared(java: float, python: float) -> str:
    return f"{java:.0f}, Python {python:.0f}: {java / python:.1f} x"


if __name__ == "__main__":
    main()
