"""llmos policy list, set, unset: what the project requires of the versions that it runs."""

from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import print_json, print_table, shown, stderr, stdout
from llmos.core.config import load_settings

_Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The policy, such as require_signature or max_perplexity_increase.")
]


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        no_args_is_help=True, help="Manage policies: the project's requirements for the versions that it runs."
    )
    group.command("list")(list_)
    group.command("set")(set_)
    group.command("unset")(unset)
    app.add_typer(group, name="policy")


def list_(as_json: options.AsJson = False) -> None:
    """List the policies that are set."""
    from llmos.models.policies import policy_names

    with open_control(load_settings()) as control:
        policies = control.policies.list()
    if not policies and not as_json:
        stderr().print(f"No policy is set. Policies: {', '.join(policy_names())}. Set one: llmos policy set NAME VALUE")
        return
    columns = {"name": "policy", "value": "value", "updated_at": "since", "updated_by": "by"}
    print_table(policies, columns, as_json=as_json)


def set_(
    name: _Name,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="on or off, a number, or a share: 0.05 or 5%.")],
    as_json: options.AsJson = False,
) -> None:
    """Set a policy. Versions that are running keep running until they are loaded again."""
    with open_control(load_settings()) as control:
        policy = control.policies.set(name, value)
    if as_json:
        print_json(policy)
        return
    words = {True: "on", False: "off"}
    value_set = words[policy.value] if isinstance(policy.value, bool) else shown(policy.value)
    stdout().print(f"{policy.name} is {value_set}.")


def unset(name: _Name) -> None:
    """Remove a policy."""
    with open_control(load_settings()) as control:
        control.policies.unset(name)
    stdout().print(f"{name} is not set.")
