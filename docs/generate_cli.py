"""Print docs/cli.md: what every command says about itself. A test compares the file with it.

python docs/generate_cli.py > docs/cli.md
"""

import contextlib
import io
import os
from unittest import mock

from llmos.cli import COMMANDS, build_app, main

INTRODUCTION = """\
# The `llmos` command

This page is what the command says about itself (`llmos COMMAND --help`), printed by `python docs/generate_cli.py`.

A command ends with status 0 when it is done, 1 when it failed (one line on stderr says what is wrong and what to do;
`--debug` adds the traceback), 2 when it was used wrongly, 130 after Ctrl-C. Results go to stdout, all else to stderr.

| variable | is | otherwise |
|---|---|---|
| `LLMOS_HOME` | where everything is kept | `~/.llmos` |
| `LLMOS_PORT` | the port of `llmos serve` | 8000 |
| `LLMOS_ENDPOINT` | the server that commands [ask](security.md#commands-and-keys) | `LLMOS_PORT` on this machine |
| `LLMOS_API_KEY` | the key that they send to it | the owner's, to a server on this machine |
| `LLMOS_CA` | the certificates that they trust instead | the system's, and the server's own of this home |
| `LLMOS_OWNER_KEY` | the owner's key | made at the first start, kept in `LLMOS_HOME/keys/owner` |
| `LLMOS_DATABASE_URL` | the database, as an SQLAlchemy URL | SQLite in `LLMOS_HOME` |
| `LLMOS_MASTER_KEY` | the key that encrypts what is kept | made at the first start, kept in `LLMOS_HOME/keys/master` |
| `LLMOS_OLD_MASTER_KEY` | the one before it, until `llmos encryption rotate` | none |
| `LLMOS_VAULT_KEY` | a key of Vault in its place, `MOUNT/NAME`; with `VAULT_ADDR` and `VAULT_TOKEN` | none |
| `LLMOS_CATALOG` | another catalog file | the one that LLMOS ships |
| `LLMOS_THREADS` | threads of the forward pass | one for each core |
| `LLMOS_KV_BYTES` | memory of each model's KV cache | room for 64 answers, a quarter of the free memory at most |
| `LLMOS_SNAPSHOT_BYTES` | memory of the states that recurrent models keep | an eighth of the free memory at most |
| `LLMOS_KV_DTYPE` | what it keeps: `int8`, `f16`, `f32` | `int8` |
| `LLMOS_PREFIX_CACHE` | `on` or `off`: keep the beginnings of prompts for those that begin alike | `on` |
| `LLMOS_DRAFT_TOKENS` | tokens that speculation proposes at most; 0 turns it off | 8 |
| `LLMOS_PACKED` | keep packed weights on disk, for all replicas to map: `on` or `off` | on |
| `LLMOS_MAX_QUEUED` | choices that may wait for a model; more are refused | 512, of which one caller holds half |
| `LLMOS_CACHE_BYTES` | memory of the [response cache](privacy.md#the-response-cache) | 64 MiB |
| `LLMOS_STUCK_SECONDS` | a model silent for so long is started again | 10; while it computes, 20 of its steps |
| `LLMOS_LOAD_SECONDS` | how long loading a model may take | 600 |
| `LLMOS_ALLOW_ORIGIN` | origins whose web pages may call the server; `*` for all | those of this machine |
| `LLMOS_PROJECT_APPS` | `on`: owners of all projects may [deploy](hosting.md#what-a-process-may-do) programs | `off` |
| `LLMOS_OTLP_ENDPOINT` | the OpenTelemetry collector that gets [traces](monitoring.md#traces) | none |
| `LLMOS_TRACE_PERCENT` | the share of calls that begin a trace | 100 |
| `LLMOS_LIMITS_URL` | Redis that counts the use of [limits](security.md#in-redis) | the database counts it |
| `LLMOS_PUBLIC_URL`, `LLMOS_TRUSTED_PROXIES` | the [proxy](operations.md#reverse-proxy) in front | none |
| `LLMOS_SESSION_IDLE_SECONDS` | when a [session](sign-in.md#sessions) ends that isn't used | 3600 |
| `LLMOS_SESSION_SECONDS` | when it ends in any case | 43200 |
| `LLMOS_OIDC_ISSUER` and others | an [OpenID Connect provider](sign-in.md#openid-connect) for signing in | none |
| `LLMOS_TLS_CERT`, `LLMOS_TLS_KEY` | certificate and key of `llmos serve`, PEM files | none: plain HTTP |
| `LLMOS_TLS_SELF_SIGNED` | `on`: `llmos serve` makes its certificate itself | `off` |
| `LLMOS_ALLOW_INSECURE_NETWORK` | `on`: serve other machines without TLS | `off` |
| `LLMOS_MAX_CONNECTIONS` | open connections of `llmos serve`; more are refused | 1000 |
| `LLMOS_LOG_MB` | megabytes of the [log](monitoring.md#the-log) in `LLMOS_HOME/logs`; 0: none | 50 |
| `LLMOS_RECEIPT_DAYS` | how many days receipts of answers are kept; 0 makes none | 30 |
| `LLMOS_ANSWER_DAYS` | how many days the [facts of answers](monitoring.md#answers) are kept; 0 keeps none | 30 |
| `LLMOS_WAIT_SECONDS` | how long a request waits while its model is being loaded; then 503 | 60 |
| `LLMOS_LOG` | the server's log of calls and deployments: `text`, `json`, `off` | `text` |
| `LLMOS_ISA` | a kernel path: `avx2`, `portable`, or another of [Platforms](platforms.md) | the best that the CPU has |
"""

PLAIN_TERMINAL = {"TERMINAL_WIDTH": "100", "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "LANG": "C.UTF-8"}


def generate() -> str:
    """Return the whole page."""
    commands = [[command] for files in COMMANDS.values() for commands in files.values() for command in commands]
    sections = [INTRODUCTION, section([])]
    for command in commands:
        sections += [section(command), *(section([*command, name]) for name in subcommands(command[0]))]
    return "\n".join(sections)


def subcommands(command: str) -> list[str]:
    groups = [group.typer_instance for group in build_app(command).registered_groups if group.name == command]
    return [str(each.name) for group in groups if group is not None for each in group.registered_commands]


def section(command: list[str]) -> str:
    title = " ".join(["llmos", *command])
    return f"## `{title}`\n\n```text\n{help_of(command)}\n```\n"


def help_of(command: list[str]) -> str:
    printed = io.StringIO()
    with mock.patch.dict(os.environ, PLAIN_TERMINAL, clear=True), contextlib.redirect_stdout(printed):
        main([*command, "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


if __name__ == "__main__":
    print(generate(), end="")
