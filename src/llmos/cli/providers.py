"""llmos provider add, list, test, rm: who runs models elsewhere. Their models are targets of routes."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.output import print_json, print_table, stderr, stdout
from llmos.cli.remote import remote_server
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest

if TYPE_CHECKING:
    from llmos.deployments.providers.provider_model import Provider
    from llmos.deployments.providers.providers import Providers

_Name = Annotated[str, typer.Argument(metavar="NAME", help="What you call it: its models are remote:NAME/MODEL.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Who runs models elsewhere, and the keys that they ask for.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("test")(try_)
    group.command("rm")(rm)
    app.add_typer(group, name="provider")


def add(
    name: _Name,
    base_url: Annotated[str, typer.Option(help="Such as https://api.openai.com/v1.")],
    kind: Annotated[str, typer.Option(help="The format that it speaks: openai or anthropic.")] = "openai",
    key_from_env: Annotated[
        str | None, typer.Option(metavar="VARIABLE", help="The variable that has the key.", show_default=False)
    ] = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="It asks for none.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Add a provider, or change one. Its key is read from standard input, or from a variable."""
    key = None if no_key else _key(key_from_env)
    if (server := remote_server(load_settings())) is not None:
        provider = server.providers.add(name, kind=kind, base_url=base_url, key=key)
    else:
        provider = _facts(_open().add(name, kind=kind, base_url=base_url, key=key))
    if key is not None and provider["base_url"].startswith("http:"):
        stderr().print("Note: over http, everybody on the way can read the key.")
    if as_json:
        print_json(provider)
        return
    stdout().print(f"Added {name}. To see whether it answers: llmos provider test {name}")


def list_(as_json: options.AsJson = False) -> None:
    """List the providers. Keys are never shown."""
    server = remote_server(load_settings())
    rows = [*server.providers.list()] if server is not None else [_facts(each) for each in _open().list()]
    columns = {"name": "provider", "kind": "kind", "base_url": "base URL", "has_key": "key", "updated_at": "since"}
    print_table(rows, columns, as_json=as_json)


def try_(name: _Name, as_json: options.AsJson = False) -> None:
    """Ask a provider for its models: whether it can be reached, and takes the key."""
    server = remote_server(load_settings())
    models: Sequence[str] = server.providers.models(name) if server is not None else _models(name)
    if as_json:
        print_json({"name": name, "models": models})
        return
    some = ", ".join(models[:5]) + (", …" if len(models) > 5 else "")
    stdout().print(f"{name} answers, with {len(models)} model{'s' * (len(models) != 1)}: {some}")


def rm(name: _Name) -> None:
    """Remove a provider and its key. Refused while a route leads to it."""
    if (server := remote_server(load_settings())) is not None:
        server.providers.remove(name)
    else:
        _open().remove(name)
    stdout().print(f"Removed the provider {name}, and its key.")


def _key(variable: str | None) -> str:
    """Return the key. Never from the command line, which everybody on the machine can read."""
    if variable is not None:
        key = os.environ.get(variable, "").strip()
        if not key:
            raise BadRequest(f"The variable {variable} is empty or not set.", param="key_from_env")
        return key
    if sys.stdin.isatty():
        asked: str = typer.prompt("Key", hide_input=True, err=True)
        return asked.strip()
    key = sys.stdin.readline().strip()
    if not key:
        raise BadRequest(
            "No key came on standard input. Pipe it in, name its variable with --key-from-env, or say --no-key.",
            param="key",
        )
    return key


def _models(name: str) -> list[str]:
    import asyncio

    from llmos.deployments.providers.clients import ProviderClients

    providers = _open()
    provider = providers.get(name)

    async def ask() -> list[str]:
        clients = ProviderClients(providers)
        try:
            return await clients.models(provider)
        finally:
            await clients.close()

    return asyncio.run(ask())


def _facts(provider: "Provider") -> dict[str, Any]:
    return {
        "name": provider.name,
        "kind": provider.kind,
        "base_url": provider.base_url,
        "has_key": provider.has_key,
        "created_at": provider.created_at,
        "updated_at": provider.updated_at,
    }


def _open() -> "Providers":
    from llmos.deployments.providers.providers import Providers
    from llmos.models import open_registry
    from llmos.security.secrets import Secrets

    settings = load_settings()
    return Providers(open_registry(settings).database, Secrets(settings.master_key_path))
