"""llmos provider add, list, test, rm, price, costs, calls: services that run models elsewhere.

Their models are targets of routes.
"""

import os
import sys
from typing import Annotated

import typer

from llmos.cli import options, provider_costs
from llmos.cli.control import open_control
from llmos.cli.output import print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.providers import ProviderModels

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Your name for it; its models are remote:NAME/MODEL.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage providers: services that run models elsewhere.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("test")(check)
    group.command("rm")(rm)
    provider_costs.register(group)
    app.add_typer(group, name="provider")


def add(
    name: _Name,
    base_url: Annotated[str, typer.Option(help="Such as https://api.openai.com/v1, or http://triton:8000.")],
    kind: Annotated[str, typer.Option(help="Its API: openai, anthropic or open-inference.")] = "openai",
    key_from_env: Annotated[
        str | None,
        typer.Option(metavar="VARIABLE", help="Read the key from this environment variable.", show_default=False),
    ] = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="The provider needs no key.")] = False,
    text_input: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="open-inference: the name of the models' text input, if they have several.",
            show_default=False,
        ),
    ] = None,
    text_output: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="open-inference: the name of the models' text output.", show_default=False),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Add or change a provider. The key is read from standard input or from an environment variable."""
    key = None if no_key else _read_key(key_from_env)
    with open_control(load_settings()) as control:
        provider = control.providers.add(
            name, kind=kind, base_url=base_url, key=key, text_input=text_input, text_output=text_output
        )
    if key is not None and provider.base_url.startswith("http:"):
        stderr().print("Warning: http sends the key unencrypted.")
    if as_json:
        print_json(provider)
        return
    stdout().print(f"Added {name}. To test it: llmos provider test {name}")


def list_(as_json: options.AsJson = False) -> None:
    """List providers. Keys are never shown."""
    with open_control(load_settings()) as control:
        providers = control.providers.list()
    if not providers and not as_json:
        stderr().print("There are no providers. To add one: llmos provider add NAME --kind KIND --base-url URL")
        return
    columns = {"name": "provider", "kind": "kind", "base_url": "base URL", "has_key": "key", "updated_at": "since"}
    print_table(providers, columns, as_json=as_json)


def check(name: _Name, as_json: options.AsJson = False) -> None:
    """Check that a provider can be reached and accepts the key, and list its models."""
    with open_control(load_settings()) as control:
        models = [*control.providers.models(name)]
    if as_json:
        print_json(ProviderModels(name=name, models=models))
        return
    if not models:
        stdout().print(f"{name} answers. It doesn't list its models.")
        return
    some = ", ".join(models[:5]) + (", …" if len(models) > 5 else "")
    stdout().print(f"{name} answers, with {len(models)} model{'s' * (len(models) != 1)}: {some}")


def rm(name: _Name) -> None:
    """Remove a provider and its key. Fails while a route leads to it."""
    with open_control(load_settings()) as control:
        control.providers.remove(name)
    stdout().print(f"Removed the provider {name} and its key.")


def _read_key(variable: str | None) -> str:
    """Return the key. It is never an argument: every user of the machine can read the command line."""
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
            "There is no key on standard input. Pipe it in, name a variable with --key-from-env, or use --no-key.",
            param="key",
        )
    return key
