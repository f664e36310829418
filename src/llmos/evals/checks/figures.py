"""Checks of what an answer is besides its text: tool_called, cites, abstains, max_tokens, latency, cost."""

from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from llmos.evals.checks.check import Finding, Kind, Subject, fields_of, number_of, shown, text_of


class _Tool(NamedTuple):
    name: str
    arguments: dict[str, Any] | None = None
    """The arguments that the call must have, besides others."""


def _read_tool(value: Any) -> _Tool:
    if isinstance(value, str):
        return _Tool(text_of(value))
    fields = fields_of(value, {"name": "get_order"}, ["arguments"])
    arguments = fields.get("arguments")
    if arguments is not None and not isinstance(arguments, dict):
        raise ValueError("has `arguments` that are no object")
    return _Tool(text_of(fields["name"]), arguments)


def _tool_called(value: _Tool, subject: Subject) -> Finding:
    calls = [call for call in subject.answer.tool_calls if call.name == value.name]
    if not calls:
        others = ", ".join(call.name for call in subject.answer.tool_calls)
        return Finding(False, f"it doesn't call {value.name}{f', but {others}' if others else ''}")
    wanted = value.arguments or {}
    if any(isinstance(each.arguments, dict) and wanted.items() <= each.arguments.items() for each in calls):
        return Finding(True, f"it calls {value.name}")
    if value.arguments is None:
        return Finding(True, f"it calls {value.name}")
    return Finding(False, f"it calls {value.name} with {shown(calls[0].arguments)}")


def _read_cites(value: Any) -> bool | str:
    return value if isinstance(value, bool) else text_of(value)


def _cites(value: bool | str, subject: Subject) -> Finding:
    documents = subject.answer.documents
    if isinstance(value, bool):
        return Finding(bool(documents) == value, "it has citations" if documents else "it has no citations")
    holds = value in documents
    return Finding(holds, f"it {'cites' if holds else 'does not cite'} {value}")


def _read_abstains(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {shown(value, 40)}")
    return value


def _abstains(value: bool, subject: Subject) -> Finding:
    abstained = subject.answer.abstained
    return Finding(abstained == value, "it abstains" if abstained else "it doesn't abstain")


def _read_max_tokens(value: Any) -> int:
    return int(number_of(value, above=0))


def _max_tokens(value: int, subject: Subject) -> Finding:
    num = subject.answer.num_output_tokens
    return Finding(num <= value, f"it has {num:,} tokens ({value:,} are allowed)")


def _read_latency(value: Any) -> float:
    return number_of(value, above=0)


def _latency(value: float, subject: Subject) -> Finding:
    seconds = subject.answer.seconds
    return Finding(seconds <= value, f"it took {seconds:.2f} s ({value:g} s are allowed)")


def _read_cost(value: Any) -> Decimal:
    try:
        cost = Decimal(str(value)) if not isinstance(value, bool) else Decimal("NaN")
    except InvalidOperation:
        cost = Decimal("NaN")
    if not cost.is_finite() or cost < 0:
        raise ValueError(f"must be an amount of money such as 0.002, not {shown(value, 40)}")
    return cost


def _cost(value: Decimal, subject: Subject) -> Finding:
    cost = Decimal(subject.answer.cost or 0)
    return Finding(cost <= value, f"it cost {cost:f} ({value:f} is allowed)")


FIGURES = [
    Kind(name="tool_called", read=_read_tool, test=_tool_called, splits=True),
    Kind(name="cites", read=_read_cites, test=_cites, splits=True),
    Kind(name="abstains", read=_read_abstains, test=_abstains),
    Kind(name="max_tokens", read=_read_max_tokens, test=_max_tokens),
    Kind(name="latency", read=_read_latency, test=_latency),
    Kind(name="cost", read=_read_cost, test=_cost),
]
