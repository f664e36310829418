"""llmos policy list, set, unset: what the project demands of the versions that it runs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmos.cli import options
from llmos.cli.output import print_json, print_table, shown, stderr, stdout
from llmos.cli.remote import refuse_remote
from llmos.core.config import load_settings

if TYPE_CHECKING:
    from llmos.models.policies import Policies, Policy

_Name = Annotated[str, typer.Argument(metavar="NAME", help="Such as require_signature or max_perplexity_increase.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What the project demands of the versions that it runs.")
    group.command("list")(list_)
    group.command("set")(set_)
    group.command("unset")(unset)
    app.add_typer(group, name="policy")


def list_(as_json: options.AsJson = False) -> None:
    """List the policies that are set."""
    from llmos.models.policies import policy_names

    rows = [_facts(policy) for policy in _open("policy list").list()]
    if not rows and not as_json:
        stderr().print(f"None is set. There is {', '.join(policy_names())}: llmos policy set NAME VALUE")
        return
    columns = {"name": "policy", "value": "value", "updated_at": "since", "updated_by": "by"}
    print_table(rows, columns, as_json=as_json)


def set_(
    name: _Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="on or off; a number; a share such as 0.05 or 5%.")],
    as_json: options.AsJson = False,
) -> None:
    """Demand something from now on. What runs already goes on until it is loaded again."""
    policy = _open("policy set").set(name, value)
    if as_json:
        print_json(_facts(policy))
        return
    words = {True: "on", False: "off"}
    value_set = words[policy.value] if isinstance(policy.value, bool) else shown(policy.value)
    stdout().print(f"{policy.name} is {value_set}.")


def unset(name: _Name) -> None:
    """Demand it no more."""
    _open("policy unset").unset(name)
    stdout().print(f"{name} is not set.")


def _facts(policy: "Policy") -> dict[str, Any]:
    return {
        "name": policy.name,
        "value": policy.value,
        "updated_at": policy.updated_at,
        "updated_by": policy.updated_by,
    }


def _open(command: str) -> "Policies":
    from llmos.models import open_registry
    from llmos.models.policies import Policies

    settings = load_settings()
    refuse_remote(settings, command)
    return Policies(open_registry(settings).database)
