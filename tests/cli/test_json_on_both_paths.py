"""Every command's --json has the same keys on this machine's database and on a server."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import typer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from llmos.billing.ledger import Ledger
from llmos.billing.price_books import PriceBooks
from llmos.cli import build_app, main
from llmos.cli.control.local import LocalControl
from llmos.core import config
from llmos.core.config import load_settings
from support.app_folders import write_app
from support.cli_handoffs import hand_over
from support.conversations import keep_conversation
from support.kept_evals import keep_runs
from support.ledger import entry
from support.tiny_encoders import make_tiny_encoder
from support.tiny_folders import write_folder
from support.tiny_gguf import write_gguf

LOCAL_ONLY = {
    "app eval": "needs a model that answers; see tests/cli/test_app_eval.py",
    "bench": "measures this machine",
    "eval run": "needs a model that answers; see tests/cli/test_evals.py",
    "doctor": "checks this machine",
    "fit": "computes for this machine, and asks a server for another; see test_fit.py",
    "guardrail kinds": "lists what this version has",
    "exporter test": "needs a receiver; see tests/gateway/test_exporters_page.py",
    "webhook test": "needs a receiver; see test_handoffs.py",
    "dataset add-answers": "needs a stored answer; see tests/gateway/test_answer_rows.py",
    "answer show": "needs a model that answers; see tests/gateway/test_monitoring.py",
    "receipt show": "needs a model that answers; see tests/gateway/test_receipts_page.py",
    "receipt verify": "reads a file",
    "run": "needs a model that answers, and one function prints its answer on both paths",
    "trust add": "changes this machine's keys",
    "trust list": "reads this machine's keys",
}
SERVER_ONLY = {
    "plan": "compares with what a server runs",
    "apply": "releases an application on a server",
    "app releases": "shows what was released on a server",
    "app rollback": "undoes a release on a server",
    "app deploy": "lets a server run an application",
    "app deployments": "shows what a server runs",
    "app resume": "continues a run on a server",
    "app run": "asks a model, or an application, of a server",
    "app runs": "shows what a server has",
    "app stop": "ends what a server runs",
    "cluster init": "makes keys on this machine; see test_cluster.py",
    "cluster token": "needs such keys; see test_cluster.py",
    "cluster nodes": "a server knows more of them; see test_cluster.py",
    "cluster ray": "makes keys on this machine; see test_cluster.py",
    "console": "opens the pages of a server",
    "ps": "shows what a server runs",
    "top": "shows what a server does",
    "job follow": "waits for a server",
    "job cancel": "stops work on a server",
}

LAST_KEY = "the id of the last key"
"""An argument that stands for what the command before printed."""

LAST_LINE = "the id of the last line of credit"

LAST_INVOICE = "the number of the last invoice"

EVALS = ("the newest run of an eval", "the run before it")
"""Arguments that stand for what `llmos eval list` printed."""
CONVERSATION = "the first conversation"

HANDOFFS = ("the first handoff", "the second handoff")
"""Arguments that stand for what `llmos handoff list` printed."""

FREE_FORM = {
    "after", "app_tags", "baseline", "before", "content", "data", "dataset_tags", "details", "errors",
    "knowledge_tags", "manifest", "metadata", "model_tags", "options", "prompt_tags", "recipe", "report", "request",
    "result", "sampling", "scores", "tags", "types",
}  # fmt: skip
"""Fields that hold other people's keys."""

Shape = Any
"""A mapping of keys to shapes, a list with the shape of its items, or None for a plain value or nothing."""


def shape_of(value: Any) -> Shape:
    if isinstance(value, dict):
        return {key: None if key in FREE_FORM else shape_of(each) for key, each in value.items()}
    if isinstance(value, list):
        return [merged([shape_of(each) for each in value])]
    return None


def merged(shapes: list[Shape]) -> Shape:
    found: Shape = None
    for shape in shapes:
        found = shape if found is None else found
        if shape is not None:
            assert same(found, shape), f"items of one list have different keys: {found} and {shape}"
    return found


def same(one: Shape, other: Shape) -> bool:
    """Return True if both have the same keys, recursively. Where one has no value, the other may have any."""
    if one is None or other is None:
        return True
    if isinstance(one, list) and isinstance(other, list):
        return same(one[0], other[0])
    return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)


@dataclass(frozen=True)
class Paths:
    folder: Path
    key: Path
    policy: Path
    server_url: str
    data: Path
    """A file of a dataset."""
    recipe: Path
    document: Path
    """One of two documents in a folder of their own."""
    cases: Path
    prompt: Path
    app: Path
    """The folder of an application."""

    @property
    def prices(self) -> Path:
        return self.prompt.with_name("prices.yaml")

    @property
    def invoices(self) -> Path:
        return self.prompt.with_name("invoices.yaml")

    @property
    def plan(self) -> Path:
        return self.prompt.with_name("plan.yaml")


def steps(paths: Paths, run: str) -> list[tuple[str, ...]]:
    """The commands of a session, in an order in which each can succeed. `run`: keeps names of files apart."""
    target = ("--route", "chat", "--steps", "100%", "--min-calls", "1")
    return [
        ("list",), ("list", "--catalog"), ("show", "tiny"),
        ("pull", "published"),
        ("import", str(paths.folder), "--name", "imported"),
        ("push", "tiny", f"llmos:{paths.server_url}/pushed"),
        ("export", "tiny", str(paths.folder.parent / f"{run}.tar")),
        ("alias", "set", "tiny:prod", "tiny@1"), ("alias", "list"), ("alias", "history", "tiny:prod"),
        ("alias", "history", "tiny:prod", "--at", "2026-01-01"), ("alias", "rm", "tiny:prod"),
        ("tag", "tiny", "approved"), ("tag", "tiny", "--history"),
        ("describe", "tiny", "A tiny one"), ("describe", "tiny", "--history"),
        ("sign", "tiny", "--key", str(paths.key)), ("verify", "tiny", "--key", str(paths.key)),
        ("quantize", "tiny", "--scheme", "q8_0", "--no-card"),
        ("prune", "tiny", "--scheme", "magnitude", "--sparsity", "0.5", "--no-card"),
        ("card", "tiny"), ("card", "tiny", "tiny"),
        ("policy", "set", "max_size_bytes", "1000000000"), ("policy", "list"), ("card", "tiny"),
        ("deploy", "tiny", "--min", "0"), ("scale", "tiny", "--max", "2"), ("deployment", "list"),
        ("deployment", "history", "tiny"), ("wake", "tiny"), ("sleep", "tiny"),
        ("route", "set", "chat", "tiny=90", "tiny-q8_0=10", "--fallback", "imported", "--shadow", "published"),
        ("route", "weights", "chat", "tiny"), ("route", "list"), ("route", "show", "chat"),
        ("route", "history", "chat"),
        ("promote", "tiny-q8_0@1", *target), ("rollout", "list"), ("rollout", "history", "chat"), ("rollback", "chat"),
        ("provider", "add", "far", "--base-url", f"{paths.server_url}/v1", "--key-from-env", "FAR_KEY"),
        ("provider", "list"), ("provider", "test", "far"), ("provider", "price", "set", "far", str(paths.prices)),
        ("provider", "price", "list", "far"), ("provider", "costs", "far"), ("provider", "calls"), ("job", "list"),
        ("project", "create", "acme", "--description", "A shop"), ("project", "list"), ("project", "show", "acme"),
        ("project", "limit", "acme", "--concurrent-requests", "4"), ("project", "retention", "acme", "--days", "30"),
        ("user", "create", "ann", "--project", "acme", "--password-from-env", "ANNS_PASSWORD"), ("user", "list"),
        ("user", "show", "ann"), ("user", "set-password", "ann", "--password-from-env", "ANNS_PASSWORD"),
        ("user", "set-role", "ann", "--role", "viewer"), ("user", "disable", "ann"), ("user", "enable", "ann"),
        ("user", "sign-out", "ann"),
        ("key", "create", "--project", "acme", "--expires", "90d", "--route", "chat", "--address", "10.0.0.0/8"),
        ("key", "list"), ("key", "show", LAST_KEY), ("key", "limit", LAST_KEY, "--requests-per-minute", "60"),
        ("key", "rotate", LAST_KEY), ("key", "revoke", LAST_KEY),
        ("dataset", "import", str(paths.data), "--name", "support"), ("dataset", "list"),
        ("dataset", "show", "support"), ("dataset", "head", "support"),
        ("dataset", "query", "support", "select count(*) from rows"),
        ("dataset", "export", "support", str(paths.data.with_name(f"{run}.jsonl"))),
        ("dataset", "diff", "support", "support@1"), ("dataset", "report", "support"),
        ("dataset", "operators"), ("dataset", "check", "support", "--recipe", str(paths.recipe)),
        ("dataset", "clean", "support", "--recipe", str(paths.recipe)),
        ("dataset", "tag", "support", "good"), ("dataset", "describe", "support", "Tickets"),
        ("dataset", "alias", "set", "support:gold", "support@1"), ("dataset", "alias", "list", "support"),
        ("dataset", "alias", "history", "support"), ("dataset", "alias", "rm", "support:gold"),
        ("dataset", "tag", "support", "--history"), ("dataset", "rm", "support"),
        ("knowledge", "add", "faq", str(paths.document)), ("knowledge", "list"), ("knowledge", "show", "faq"),
        ("knowledge", "sync", "faq", str(paths.document.parent)), ("knowledge", "documents", "faq"),
        ("knowledge", "show", "faq", "--document", "guarantee.md", "--start", "0", "--end", "5"),
        ("knowledge", "search", "faq", "batteries"), ("knowledge", "tag", "faq", "good"),
        ("knowledge", "describe", "faq", "Questions"), ("knowledge", "alias", "set", "faq:prod", "faq@1"),
        ("knowledge", "alias", "list"), ("knowledge", "alias", "history", "faq:prod"),
        ("dataset", "import", str(paths.cases), "--name", "questions"),
        ("knowledge", "eval", "faq", "--cases", "questions"), ("knowledge", "alias", "rm", "faq:prod"),
        ("knowledge", "remove", "faq", "returns.md"),
        ("knowledge", "rm", "faq"),
        ("prompt", "create", "help", str(paths.prompt)), ("prompt", "list"), ("prompt", "show", "help"),
        ("prompt", "diff", "help@1", "help"), ("prompt", "tag", "help", "good"), ("prompt", "describe", "help", "Ours"),
        ("prompt", "alias", "set", "help:prod", "help@1"), ("prompt", "alias", "list"),
        ("prompt", "alias", "history", "help:prod"), ("prompt", "alias", "rm", "help:prod"), ("prompt", "rm", "help"),
        ("eval", "list"), ("eval", "show", EVALS[0]), ("eval", "rm", EVALS[1]),
        ("eval", "compare", EVALS[0], EVALS[0], "--not-worse-by", "0.99"),
        ("app", "create", str(paths.app)), ("app", "list"), ("app", "show", "support"),
        ("app", "pull", "support", str(paths.app.with_name(f"{run}-pulled"))), ("app", "diff", "support@1", "support"),
        ("app", "tag", "support", "good"), ("app", "describe", "support", "Ours"),
        ("app", "alias", "set", "support:prod", "support@1"), ("app", "alias", "list"),
        ("app", "alias", "history", "support:prod"), ("app", "alias", "rm", "support:prod"), ("app", "rm", "support"),
        ("guardrail", "set", "short", str(paths.policy)), ("guardrail", "apply", "short", "--route", "chat"),
        ("guardrail", "test", "short", str(paths.policy)), ("guardrail", "list"), ("guardrail", "show", "short"),
        ("encryption", "status"), ("encryption", "rotate"), ("encryption", "rotate", "--project", "acme"),
        ("encryption", "encrypt"), ("encryption", "models", "tiny"), ("forget", "--subject", "ann", "--yes"),
        ("guardrail", "replay", "short"), ("guardrail", "history", "short"),
        ("guardrail", "unapply", "short", "--route", "chat"),
        ("webhook", "add", "crm", f"{paths.server_url}/healthz", "--allow-private"), ("webhook", "list"),
        ("webhook", "rotate", "crm"), ("webhook", "deliveries"), ("handoff", "list"),
        ("handoff", "show", HANDOFFS[0]), ("handoff", "take", HANDOFFS[0]),
        ("handoff", "answer", HANDOFFS[0], "Yes."), ("handoff", "close", HANDOFFS[1]),
        ("conversation", "list"), ("conversation", "show", CONVERSATION),
        ("conversation", "rename", CONVERSATION, "Colors"), ("feedback", "list"), ("feedback", "export", "liked"),
        ("audit", "list"), ("audit", "verify"), ("receipt", "key"),
        ("price", "set", str(paths.prices)), ("price", "list"), ("price", "show", "1"),
        ("price", "try", "tiny@1", "--input", "9"),
        ("exporter", "add", "meter", "--kind", "cloudevents", "--url", "https://nowhere.invalid/events"),
        ("exporter", "list"), ("exporter", "show", "meter"), ("exporter", "pause", "meter"),
        ("exporter", "retry", "meter"), ("exporter", "resume", "meter"),
        ("budget", "set", "team", "50 EUR", "--soft"), ("budget", "list"), ("budget", "show", "team"),
        ("usage", "--from", "2026-01-01", "--to", "2026-02-01"), ("answer", "list", "--outcome", "failed"),
        ("logs", "--request", "none"),
        ("billing-plan", "set", str(paths.plan)), ("billing-plan", "list"), ("billing-plan", "assign", "small", "acme"),
        ("billing-plan", "show", "small"), ("billing-plan", "unassign", "acme"),
        ("credit", "add", "acme", "5", "--currency", "EUR"), ("credit", "list"), ("credit", "show", "acme"),
        ("credit", "reverse", "acme", LAST_LINE), ("ledger", "show", "answer-1"),
        ("invoice", "configure", str(paths.invoices)), ("invoice", "make", "--project", "acme", "--month", "2026-09"),
        ("invoice", "list"), ("invoice", "show", LAST_INVOICE), ("invoice", "verify", LAST_INVOICE),
        ("invoice", "entries", LAST_INVOICE), ("invoice", "credit", LAST_INVOICE),
        ("ledger", "reverse", "answer-1", "--note", "It was empty"), ("ledger", "verify"),
        ("route", "set", "chat", "tiny"), ("rm", "pushed" if run == "server" else "imported@1"),
    ]  # fmt: skip


@pytest.fixture
def session(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path, list[tuple[str, ...]]], Iterator[tuple[tuple[str, ...], Any]]]:
    """Run commands with --json on a home, and yield what each prints."""

    def run(home: Path, commands: list[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], Any]]:
        monkeypatch.setenv("LLMOS_HOME", str(home))
        key_id, handoffs = "", dict[str, str]()
        for command in commands:
            capsys.readouterr()
            status = main([*(key_id if each == LAST_KEY else handoffs.get(each, each) for each in command), "--json"])
            out, err = capsys.readouterr()
            assert status == 0, f"{command}: {err}"
            printed = json.loads(out)
            if command[:2] == ("key", "create"):
                key_id = printed["id"]
            if command == ("handoff", "list"):
                handoffs = {name: each["id"] for name, each in zip(HANDOFFS, printed, strict=True)}
            if command == ("eval", "list"):
                handoffs |= {name: each["id"] for name, each in zip(EVALS, printed, strict=True)}
            if command == ("conversation", "list"):
                handoffs[CONVERSATION] = printed[0]["id"]
            if command[:2] == ("invoice", "make"):
                handoffs[LAST_INVOICE] = printed["number"]
            if command[:2] == ("credit", "add"):
                handoffs[LAST_LINE] = printed["lines"][0]["id"]
            yield command, printed

    return run


@pytest.mark.process
def test_every_json_has_the_same_keys_without_a_server_and_with_one(
    home: Path, tmp_path_factory: pytest.TempPathFactory, serve: Any, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(home, tmp_path_factory.mktemp("model") / "tiny", monkeypatch)
    folder = write_folder(tmp_path_factory.mktemp("other") / "other", layers=range(2))
    far = tmp_path_factory.mktemp("far") / "home"
    shutil.copytree(home, far)
    catalog = publish(tmp_path_factory.mktemp("published"))
    monkeypatch.setenv("LLMOS_CATALOG", str(catalog))
    with serve(far, "tiny", LLMOS_CATALOG=str(catalog)) as served:
        files = key_file(folder.parent), policy_file(folder.parent), served.url, data_file(folder.parent)
        paths = Paths(
            folder,
            *files,
            recipe_file(folder.parent),
            document_file(folder.parent),
            cases_file(folder.parent),
            prompt_file(folder.parent),
            write_app(folder.parent / "app"),
        )
        owner_key = (far / "keys" / "owner").read_text().strip()
        monkeypatch.setenv("FAR_KEY", owner_key)
        monkeypatch.setenv("ANNS_PASSWORD", "correct horse battery staple")
        monkeypatch.setenv("LLMOS_API_KEY", owner_key)
        local = list(session(home, steps(paths, "local")))
        monkeypatch.setattr(config, "DEFAULT_PORT", urlsplit(served.url).port)
        monkeypatch.setattr("llmos.cli.control.opening.is_remote", lambda settings: True)
        remote = list(session(tmp_path_factory.mktemp("user"), steps(paths, "server")))
        differing = [
            (command, shape_of(one), shape_of(other))
            for (command, one), (_, other) in zip(local, remote, strict=True)
            if not same(shape_of(one), shape_of(other))
        ]
        assert differing == []


def test_every_command_with_json_is_compared() -> None:
    files = (
        Path("key"),
        Path("policy.toml"),
        "http://127.0.0.1:8000",
        Path("data.jsonl"),
        Path("recipe.toml"),
        Path("faq.md"),
        Path("cases.jsonl"),
        Path("prompt.md"),
        Path("app"),
    )
    paths = Paths(Path("model"), *files)
    compared = {name_of(step) for step in steps(paths, "local")}
    assert compared | LOCAL_ONLY.keys() | SERVER_ONLY.keys() == set(commands_with_json())
    assert compared & (LOCAL_ONLY.keys() | SERVER_ONLY.keys()) == set()


def name_of(step: tuple[str, ...]) -> str:
    """Return the command of a step: as many of its words as are one."""
    known = set(commands_with_json())
    return next(name for count in (3, 2, 1) if (name := " ".join(step[:count])) in known)


@cache
def commands_with_json() -> list[str]:
    def walk(command: Any, path: str) -> Iterator[str]:
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            for name, each in command.commands.items():
                yield from walk(each, f"{path} {name}".strip())
        elif any("--json" in parameter.opts for parameter in command.params):
            yield path

    return sorted(walk(typer.main.get_command(build_app()), ""))


def prepare(home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with one model, which has a card."""
    from llmos.models.cards import measure as measuring

    short = measuring.Extent(num_windows=1, repeats=1, layer_texts=1, layer_tokens=16, streams=2)
    measure = measuring.measure
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "measure", lambda *each: measure(*each, extent=short))
        assert main(["import", str(write_folder(folder)), "--name", "tiny"]) == 0
        assert main(["card", "tiny", "--measure"]) == 0
    encoder = make_tiny_encoder("bert", folder.with_name("encoder")).folder
    assert main(["import", str(encoder), "--name", "minilm"]) == 0
    with LocalControl(load_settings()) as control:
        hand_over(control, "run-1", "run-2")
        keep_runs(control, 2)
        keep_conversation(control)
        september = datetime(2026, 9, 1, tzinfo=UTC)
        prices = {"currency": "EUR", "prices": {"default": {"per_call": "1"}}}
        PriceBooks(control.registry.database, clock=lambda: september).set(prices)
        Ledger(control.registry.database).add([entry("answer-1")])


def publish(folder: Path) -> Path:
    """A catalog whose only model is a file on this disk."""
    file = write_gguf(folder / "model.gguf")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    catalog = folder / "catalog.toml"
    catalog.write_text(
        f"""
        [published]
        description = "A file"
        license = "MIT"
        template = "none"
        files = [{{ name = "model.gguf", sha256 = "{digest}", size = {file.stat().st_size} }}]
        sources = [{{ from = "file:{folder}" }}]
        """
    )
    return catalog


def key_file(folder: Path) -> Path:
    path = folder / "key.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


def data_file(folder: Path) -> Path:
    path = folder / "data.jsonl"
    path.write_text('{"text": "My order is late."}\n')
    return path


def recipe_file(folder: Path) -> Path:
    """Write a recipe that keeps one row of a dataset."""
    path = folder / "recipe.toml"
    path.write_text('[[operator]]\nname = "sample"\ncount = 1\n')
    return path


def document_file(folder: Path) -> Path:
    """Write two documents, and return the path of one."""
    documents = folder / "documents"
    documents.mkdir()
    (documents / "returns.md").write_text("Within 30 days.")
    path = documents / "guarantee.md"
    path.write_text("# Guarantee\n\nTwo years. Batteries are excluded.")
    return path


def prompt_file(folder: Path) -> Path:
    """Write a prompt, and beside it prices, a plan, and what invoices say."""
    (folder / "invoices.yaml").write_text("{seller: {name: Example Ltd}, taxes: [{name: VAT, percent: '20'}]}\n")
    (folder / "plan.yaml").write_text("{name: small, kind: subscription, currency: EUR, limits: [{calls: 9}]}\n")
    (folder / "prices.yaml").write_text('currency: EUR\nprices: {default: {per_call: "0.1"}}\n')
    path = folder / "prompt.md"
    path.write_text("---\nshop: {type: string, max_length: 40}\n---\nYou help {{shop}}.")
    return path


def cases_file(folder: Path) -> Path:
    path = folder / "cases.jsonl"
    path.write_text('{"input": "Batteries?", "expected": {"document": "guarantee.md"}}\n')
    return path


def policy_file(folder: Path) -> Path:
    path = folder / "policy.toml"
    path.write_text('both = [{ guardrail = "max_length", characters = 9000 }]')
    return path
