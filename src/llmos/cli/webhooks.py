"""llmos webhook add, list, test, rotate, deliveries, rm: programs elsewhere that are told what happens."""

from typing import Annotated

import typer

from llmos.cli import options
from llmos.cli.control import open_control
from llmos.cli.output import fields_of, print_json, print_table, stderr, stdout
from llmos.core.config import load_settings
from llmos.core.errors import BadRequest
from llmos.core.schemas.webhooks import DeliveryDescription

_Name = Annotated[str, typer.Argument(metavar="NAME", help="A name of your choice.")]


def register(app: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="Manage webhooks: URLs that are notified of events.")
    group.command("add")(add)
    group.command("list")(list_)
    group.command("test")(check)
    group.command("rotate")(rotate)
    group.command("deliveries")(deliveries)
    group.command("rm")(rm)
    app.add_typer(group, name="webhook")


def add(
    name: _Name,
    url: Annotated[str, typer.Argument(metavar="URL", help="The https URL that messages are sent to.")],
    event: Annotated[
        list[str] | None,
        typer.Option(metavar="EVENT", help="Only this event, such as handoff.created. Repeatable.", show_default=False),
    ] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="The receiver is your own: allow http and private addresses.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Add a webhook, and show the secret that signs its messages. It isn't shown again."""
    with open_control(load_settings()) as control:
        webhook = control.webhooks.add(name, url, events=event or (), allow_private=allow_private)
    if as_json:
        print_json(webhook)
        return
    stderr().print(f"Added {name}. Give the receiver its secret, which is shown this once.")
    stderr().print(f"To test it: llmos webhook test {name}")
    stdout().print(webhook.secret)


def list_(as_json: options.AsJson = False) -> None:
    """List webhooks. Secrets are never shown."""
    with open_control(load_settings()) as control:
        webhooks = control.webhooks.list()
    if not webhooks and not as_json:
        stderr().print("There are no webhooks. To add one: llmos webhook add NAME URL")
        return
    if as_json:
        print_json(webhooks)
        return
    rows = [{**fields_of(each), "events": ", ".join(each.events) or "all"} for each in webhooks]
    print_table(rows, {"name": "webhook", "url": "URL", "events": "events", "num_pending": "pending"})


def check(name: _Name, as_json: options.AsJson = False) -> None:
    """Send a test message, and show the receiver's answer."""
    with open_control(load_settings()) as control:
        delivery = control.webhooks.test(name)
    last = delivery.attempts[-1]
    if as_json:
        print_json(delivery)
    elif delivery.state == "delivered":
        stdout().print(f"{name} answered with the status {last.status} in {last.seconds:.2f} s.")
    else:
        stderr().print(f"{name} didn't take the message. {last.error}", markup=False)
    if delivery.state != "delivered":
        raise typer.Exit(1)


def rotate(
    name: _Name,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=720, help="Also sign with the old secret for this many hours.")
    ] = 24,
    as_json: options.AsJson = False,
) -> None:
    """Replace the secret of a webhook, and show the new one. It isn't shown again."""
    with open_control(load_settings()) as control:
        webhook = control.webhooks.rotate(name, overlap_hours=overlap_hours)
    if as_json:
        print_json(webhook)
        return
    stderr().print(f"Messages are signed with both secrets for {overlap_hours:g} hours.")
    stdout().print(webhook.secret)


def deliveries(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A webhook; without it, all.", show_default=False)
    ] = None,
    state: Annotated[str | None, typer.Option(help="pending, delivered or failed.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("-n", min=1, max=1000, help="The maximum number.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """List messages, newest first, with the answers of the receivers."""
    if state not in (None, "pending", "delivered", "failed"):
        raise BadRequest(f"There is no state {state[:80]!r}: pending, delivered or failed.", param="state")
    with open_control(load_settings()) as control:
        found = control.webhooks.deliveries(name, state=state, limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        stderr().print("Nothing was sent.")
        return
    columns = {"id": "message", "webhook": "webhook", "event": "event", "state": "state", "attempts": "attempts"}
    columns |= {"last": "last answer", "created_at": "since"}
    print_table([_row_of(each) for each in found], columns)


def rm(name: _Name) -> None:
    """Remove a webhook with its messages, delivered or not."""
    with open_control(load_settings()) as control:
        control.webhooks.remove(name)
    stdout().print(f"Removed the webhook {name}.")


def _row_of(delivery: DeliveryDescription) -> dict[str, object]:
    last = delivery.attempts[-1] if delivery.attempts else None
    said = "" if last is None else last.error or str(last.status)
    return {**fields_of(delivery), "attempts": len(delivery.attempts), "last": said}
