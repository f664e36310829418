"""Records what commands change on this machine's database in its audit log, as the server does for requests."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

from llmos.core.actions import Action
from llmos.core.who import this_user

N = TypeVar("N")

OWNER = "owner"


def _actions_on_names(prefix: str) -> Mapping[str, str]:
    """Return the methods that change aliases and labels of a noun, as NamedNoun.prefix has it on a server."""
    return {
        "set_alias": f"{prefix}alias.set",
        "remove_alias": f"{prefix}alias.remove",
        "change_labels": f"{prefix}label.change",
    }


ACTIONS: Mapping[str, Mapping[str, str]] = {
    "models": {
        "pull": "model.pull",
        "import_path": "model.import",
        "merge_adapter": "model.import",
        "make": "model.make",
        "remove": "model.remove",
        "encrypt": "model.encrypt",
        **_actions_on_names(""),
    },
    "cards": {"measure": "card.measure"},
    "jobs": {"cancel": "job.cancel"},
    "keys": {
        "create": "key.create",
        "set_limits": "key.set_limits",
        "rotate": "key.rotate",
        "revoke": "key.revoke",
    },
    "nodes": {"create_token": "node.token", "remove": "node.remove"},
    "policies": {"set": "policy.set", "unset": "policy.remove"},
    "signing": {"sign": "signature.add"},
    "routes": {"set": "route.set", "set_weights": "route.set_weights", "remove": "route.remove"},
    "projects": {
        "create": "project.create",
        "set_limits": "project.set_limits",
        "set_retention": "project.set_retention",
        "remove": "project.remove",
    },
    "erasures": {"forget": "erasure.create"},
    "guardrails": {
        "set": "guardrail.set",
        "apply": "guardrail.apply",
        "unapply": "guardrail.unapply",
        "remove": "guardrail.remove",
    },
    "providers": {"add": "provider.set", "set_prices": "provider.set_prices", "remove": "provider.remove"},
    "handoffs": {"take": "handoff.take", "answer": "handoff.answer", "close": "handoff.close"},
    "conversations": {"remove": "conversation.remove"},
    "feedback": {"export": "dataset.import", "remove": "feedback.remove"},
    "webhooks": {"add": "webhook.add", "test": "webhook.test", "rotate": "webhook.rotate", "remove": "webhook.remove"},
    "rollouts": {"promote": "rollout.create", "roll_back": "rollout.roll_back"},
    "datasets": {
        "import_path": "dataset.import",
        "import_location": "dataset.import",
        "add_answers": "dataset.add_answers",
        "clean": "dataset.clean",
        "remove": "dataset.remove",
        **_actions_on_names("dataset_"),
    },
    "knowledge": {
        "add": "knowledge.add",
        "sync": "knowledge.sync",
        "remove_documents": "knowledge.remove_documents",
        "evaluate": "knowledge.evaluate",
        "remove": "knowledge.remove",
        **_actions_on_names("knowledge_"),
    },
    "apps": {"create": "app.create", "remove": "app.remove", **_actions_on_names("app_")},
    "prompts": {
        "create_from": "prompt.create",
        "remove": "prompt.remove",
        **_actions_on_names("prompt_"),
    },
    "evals": {"run": "eval.run", "remove": "eval.remove"},
    "deployments": {
        "deploy": "deployment.set",
        "scale": "deployment.scale",
        "sleep": "deployment.sleep",
        "wake": "deployment.wake",
        "remove": "deployment.remove",
    },
    "receipts": {},
    "usage": {},
    "answers": {},
    "logs": {},
    "prices": {"set": "price.set"},
    "budgets": {"set": "budget.set", "remove": "budget.remove"},
    "plans": {"set": "plan.set", "assign": "plan.assign", "unassign": "plan.unassign"},
    "invoices": {"make": "invoice.make", "credit": "invoice.credit", "configure": "invoice.configure"},
    "credit": {"add": "credit.add", "reverse": "credit.reverse"},
    "exporters": {
        "add": "exporter.add",
        "test": "exporter.test",
        "pause": "exporter.pause",
        "resume": "exporter.resume",
        "retry": "exporter.retry",
        "remove": "exporter.remove",
    },
    "ledger": {"reverse": "ledger.reverse", "verify": "ledger.verify"},
    "users": {
        "create": "user.create",
        "set_password": "user.set_password",
        "set_role": "user.set_role",
        "disable": "user.disable",
        "enable": "user.enable",
        "sign_out": "user.sign_out",
        "remove": "user.remove",
    },
    "encryption": {"rotate": "encryption.rotate", "encrypt": "encryption.encrypt", "discard": "encryption.discard"},
    "audit": {"checkpoint": "audit.checkpoint", "verify": "audit.verify"},
}
"""The methods of the control port that change something, with the names of their actions on a server."""

_NAMES = ("aliases", "alias_history", "labels", "label_history")

UNRECORDED: Mapping[str, tuple[str, ...]] = {
    "models": ("list", "get", "details", "catalog", "push", "export", "stop_removed", *_NAMES),
    "cards": ("get", "related"),
    "jobs": ("list", "get", "follow"),
    "keys": ("list", "get"),
    "nodes": ("list",),
    "policies": ("list",),
    "signing": ("verify",),
    "routes": ("list", "get", "history", "evidence"),
    "projects": ("list", "get"),
    "guardrails": ("list", "get", "history", "replay"),
    "providers": ("list", "models", "prices", "costs", "calls"),
    "handoffs": ("list", "get"),
    "conversations": ("list", "get", "change"),
    "feedback": ("list",),
    "webhooks": ("list", "deliveries"),
    "rollouts": ("list", "get", "history"),
    "datasets": (
        "list",
        "get",
        "rows",
        "query",
        "preview",
        "diff",
        "report",
        "operators",
        "check",
        "export_to",
        *_NAMES,
    ),
    "knowledge": ("list", "details", "documents", "passage", "search", "evaluation", *_NAMES),
    "apps": ("list", "get", "pull", "diff", *_NAMES),
    "prompts": ("list", "get", "diff", *_NAMES),
    "evals": ("list", "get", "compare"),
    "deployments": ("list", "running", "history", "stop"),
    "audit": ("list", "export"),
    "receipts": ("get", "signing_key"),
    "usage": ("report",),
    "answers": ("list", "get"),
    "logs": ("list",),
    "prices": ("list", "get", "try_out"),
    "budgets": ("list", "get"),
    "plans": ("list", "get"),
    "invoices": ("draft", "list", "get", "verify", "entries", "settings"),
    "credit": ("list", "get"),
    "ledger": ("entries",),
    "exporters": ("list", "get"),
    "users": ("list", "get"),
    "encryption": ("status",),
    "erasures": (),
}
"""The others. `stop` asks the server, which records it."""


class Recording(Protocol):
    def acting(self, action: Action) -> AbstractContextManager[Action]:
        """Record what the body does."""


def recorded(name: str, noun: N, control: Recording) -> N:
    """Return the noun of the control port, whose methods that change something are recorded."""
    return cast(N, _Recorded(noun, ACTIONS[name], control))


def command(name: str, object: str) -> Action:
    """Return an action of the user of this machine."""
    return Action(name, project=OWNER, user=this_user(), object=object)


class _Recorded:
    def __init__(self, noun: object, actions: Mapping[str, str], control: Recording) -> None:
        self._noun, self._actions, self._control = noun, actions, control

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._noun, name)
        if (action := self._actions.get(name)) is None:
            return method

        @wraps(method)
        def call(*arguments: Any, **named: Any) -> Any:
            with self._control.acting(command(action, _object(arguments))):
                return method(*arguments, **named)

        return call


def _object(arguments: tuple[Any, ...]) -> str:
    """Return what a method is called for: its first argument. The room may say more; see core/actions.py."""
    first = arguments[0] if arguments else ""
    return str(getattr(first, "model", first))
