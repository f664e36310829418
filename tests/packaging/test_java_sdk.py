"""The Java client: its build, its tests in JUnit against a real server and broken ones, and its page's examples."""

import json
import os
import random
import re
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from llmos.security.tls_certificates import ensure_self_signed
from support.doc_pages import DocPage
from support.real_server import Running, serving
from support.tiny_home import make_tiny_home

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
SDK = ROOT / "sdk" / "java"
JARS = Path("/usr/share/java")
JUNIT = (
    "junit-jupiter-api", "junit-jupiter-engine", "junit-jupiter-params", "junit-platform-commons",
    "junit-platform-engine", "junit-platform-launcher", "junit-platform-console", "junit-platform-reporting",
    "opentest4j", "opentest4j-reporting-events", "opentest4j-reporting-schema", "apiguardian-api", "picocli",
)  # fmt: skip
MAX_JAR_BYTES = 250_000
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""The options of programs that run for seconds."""
JAVAC = ("javac", *(f"-J{each}" for each in QUICK), "-parameters", "-encoding", "UTF-8")

if shutil.which("javac") is None:
    pytest.skip("no JDK: apt install default-jdk-headless", allow_module_level=True)

has_junit = pytest.mark.skipif(
    not all((JARS / f"{each}.jar").exists() for each in JUNIT), reason="no JUnit: apt install junit5"
)


def run(*command: object, **options: Any) -> str:
    """Return what a command prints. Fails with it if the command does."""
    outcome = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert outcome.returncode == 0, outcome.stdout[-8000:] + outcome.stderr[-4000:]
    return outcome.stdout


def build(out: Path, what: str = "all") -> Path:
    run("sh", SDK / "build.sh", out, what)
    (jar,) = (each for each in out.glob("llmos-*.jar") if not each.stem.endswith(("-sources", "-javadoc")))
    return jar


@pytest.fixture(scope="module")
def jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("java"))


@pytest.fixture(scope="module")
def classes(jar: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled tests."""
    out = tmp_path_factory.mktemp("classes")
    sources = [*(SDK / "src/test/java").rglob("*.java")]
    run(*JAVAC, "-nowarn", "-Xlint:none", "-d", out, "-cp", class_path(jar), *sources)
    return out


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("home")
    make_tiny_home(home / "llmos", home / "models", context_length=2048)
    with serving(home / "llmos") as running:
        yield running


@pytest.fixture(scope="module")
def tls_server(server: Running) -> Iterator[str]:
    """A server with the certificate of the home: /fast is answered, /slow only when the client has gone."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            if self.path == "/slow":
                self.close_connection = True
                with suppress(OSError):
                    self.connection.recv(1)
                return
            self.send_response(200)
            self.send_header("Content-Length", "16")
            self.end_headers()
            self.wfile.write(b'{"is_fast":true}')

        def log_message(self, *_: object) -> None:
            pass

    keys = server.home / "keys"
    ensure_self_signed(keys / "tls.pem", keys / "tls.key", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "tls.pem", keys / "tls.key")
    http = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    http.handle_error = lambda *_: None  # type: ignore[method-assign]  # Clients that don't trust it hang up.
    http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()
    thread.join()


def class_path(*parts: Path) -> str:
    return os.pathsep.join(map(str, [*parts, *(JARS / f"{each}.jar" for each in JUNIT)]))


def java(*arguments: object, server: Running | None = None, tls: str = "", **options: Any) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")}
    own = {"LLMOS_ENDPOINT": server.url, "LLMOS_HOME": str(server.home)} if server else {}
    return run(
        "java", *QUICK, "-Dfile.encoding=UTF-8", *arguments, env=environ | own | {"LLMOS_TEST_TLS": tls}, **options
    )


def test_the_same_sources_give_the_same_jar_of_at_most_250_kb(jar: Path, tmp_path: Path) -> None:
    assert build(tmp_path, "jar").read_bytes() == jar.read_bytes()
    assert jar.stat().st_size <= MAX_JAR_BYTES, "leave a record out: _NESTED in sdk/java/generator/schemas.py"
    assert {each.suffix for each in jar.parent.iterdir()} == {".jar", ".pom"}
    described = run("jar", "--describe-module", "--file", jar)
    assert "requires java.base mandated" in described
    assert described.count("requires") == 1


def test_the_versions_of_the_clients_agree(jar: Path) -> None:
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert jar.name == f"llmos-{version[1]}.jar"
    assert f"<version>{version[1]}</version>" in (SDK / "pom.xml").read_text()


def test_the_generated_classes_are_those_of_the_servers_definitions() -> None:
    assert run(sys.executable, SDK / "generator/generate.py", "--check") == "", "run sdk/java/generator/generate.py"


@has_junit
def test_the_tests_in_java_pass(jar: Path, classes: Path, server: Running, tls_server: str) -> None:
    launcher = ("org.junit.platform.console.ConsoleLauncher", "--disable-banner", "--disable-ansi-colors")
    printed = java(
        f"-Dllmos.conformance={ROOT / 'sdk/conformance'}", "-cp", class_path(classes, jar), *launcher,
        "--details=tree", "--fail-if-no-tests", f"--scan-classpath={classes}", server=server, tls=tls_server,
    )  # fmt: skip
    assert re.search(r"\[ +0 tests skipped", printed), printed[-3000:]


@has_junit
def test_json_is_read_and_written_as_python_does(jar: Path, classes: Path) -> None:
    random_ = random.Random(21)
    documents = [made_document(random_) for _ in range(3000)]
    hexes = "\n".join(each.hex() for each in documents) + "\n"
    printed = java("-cp", class_path(classes, jar), "ai.llmos.json.FuzzMain", input=hexes)
    answers = printed.removesuffix("\n").split("\n")
    assert len(answers) == len(documents)
    for document, answer in zip(documents, answers, strict=True):
        assert in_python(answer.encode()) == in_python(document), document
    assert 500 < answers.count("!") < 2500


def in_python(document: bytes) -> Any:
    """Return the value with exact numbers; "!" for what is no JSON."""

    def refuse(_: str) -> Any:
        raise ValueError

    def exact(number: str) -> Decimal:
        value = Decimal(number)
        return refuse(number) if abs(int(value.as_tuple().exponent)) >= 2**31 else value

    try:
        text = document.decode()
        value = json.loads(text, parse_float=exact, parse_constant=refuse)
        json.dumps(value, default=str, ensure_ascii=False).encode()  # Half of a surrogate pair can't be written.
    except (ValueError, ArithmeticError, RecursionError):
        return "!"
    return value


MUTATIONS = (b"", b'"', b"\\u00", b"{", b"]", b",", b"-", b"0", b"e9", b"\xc3")


def made_document(random_: random.Random) -> bytes:
    """Return a document, and every second time one with a few bytes replaced."""
    text = json.dumps(made_value(random_, 4), ensure_ascii=random_.random() < 0.5, indent=random_.choice([None, 1]))
    document = bytearray(text.encode())
    if random_.random() < 0.5:
        for _ in range(random_.randint(1, 3)):
            at = random_.randrange(len(document) + 1)
            document[at : at + random_.randint(0, 2)] = random_.choice(MUTATIONS)
    return bytes(document)


def made_value(random_: random.Random, depth: int) -> Any:
    kind = random_.randrange(8 if depth else 6)
    if kind == 6:
        return [made_value(random_, depth - 1) for _ in range(random_.randrange(4))]
    if kind == 7:
        return {made_text(random_): made_value(random_, depth - 1) for _ in range(random_.randrange(4))}
    whole = random_.randint(-(10 ** random_.randrange(30)), 10**18)
    simple = (None, True, whole, random_.uniform(-1, 1) * 10.0 ** random_.randrange(-30, 30))
    return simple[kind] if kind < 4 else made_text(random_)


def made_text(random_: random.Random) -> str:
    return "".join(random_.choice('aé😀"\\/\n\t\x00\u2028\ud7ff ') for _ in range(random_.randrange(6)))


@has_junit
def test_the_documented_examples_run(jar: Path, server: Running, tmp_path: Path) -> None:
    (tmp_path / "Examples.java").write_text(program_of(DocPage("java.md").blocks("java")))
    run(*JAVAC, "-d", tmp_path, "-cp", jar, tmp_path / "Examples.java")
    printed = java("-cp", f"{tmp_path}{os.pathsep}{jar}", "Examples", server=server)
    assert "model_not_found: " in printed
    assert '{"number":9007199254740993,"price":0.10}' in printed
    assert "The Tiber is a river in Rome." in printed


IMPORTS = """
import ai.llmos.*;
import ai.llmos.errors.*;
import ai.llmos.json.*;
import ai.llmos.schemas.*;
import ai.llmos.service.*;
import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
"""


TYPE = re.compile(
    r"^(?:@\w+\(.*\)\n)?(?:record|interface|enum|class|sealed) (?:[^\n]*\}$|[^\n]*\{$.*?^\}$)",
    re.MULTILINE | re.DOTALL,
)


def program_of(blocks: list[str]) -> str:
    """Return a program that runs the blocks, each in a class of its own, which has its types, too."""
    return f"""{IMPORTS}
public class Examples {{
    {"".join(class_of(index, block) for index, block in enumerate(blocks))}
    public static void main(String[] given) throws Exception {{
        try (var llmos = LLMOS.fromEnv()) {{
            llmos.routes().set("dialogue", "smollm2");
            var model = llmos.models().get("dialogue");
            {"".join(f"Block{index}.run(llmos, model);" for index in range(len(blocks)))}
        }}
    }}
}}
"""


def class_of(index: int, block: str) -> str:
    members = [re.sub(r"^(@\w+\(.*\)\n)?", r"\1static ", each, count=1) for each in TYPE.findall(block)]
    return f"""
static class Block{index} {{
{chr(10).join(members)}
static void run(LLMOS {"given" if "var llmos" in block else "llmos"}, Model model) throws Exception {{
{TYPE.sub("", block)}
}}
}}
"""
