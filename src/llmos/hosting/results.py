"""Results and events of runs as JSON."""

from typing import Any

import msgspec
from pydantic_core import to_jsonable_python

from llmos.apps import CitationEvent, DoneEvent, Event, Run, StepEvent, TextEvent, ToolEvent
from llmos.core.errors import LLMOSError
from llmos.core.schemas.hosted_apps import RunEvent, RunResult
from llmos.core.schemas.runs import RunFailure


def describe_run(run: Run) -> RunResult:
    """Return a run as its JSON object."""
    return RunResult(
        id=run.id,
        app=run.app,
        state=run.state,
        text=run.text,
        output=as_json(run.output),
        sentences=[*run.sentences],
        notes=[*run.notes],
        steps=[*run.steps],
        usage=run.usage,
        cost=run.cost,
        currency=run.currency,
        session=run.session,
        left_out=run.left_out,
        abstained=run.abstained,
        handoff=as_json(run.handoff),
        finish_reason=run.finish_reason,
        waits_for=run.waits_for,
        waits_with=as_json(run.waits_with),
    )


def describe_event(event: Event) -> RunEvent:
    """Return an event as its JSON object."""
    match event:
        case TextEvent():
            return RunEvent(type=event.type, text=event.text)
        case ToolEvent():
            return RunEvent(
                type=event.type,
                name=event.name,
                state=event.state,
                arguments=as_json(event.arguments),
                call_id=event.call_id,
                result=event.result,
            )
        case StepEvent():
            return RunEvent(
                type=event.type,
                name=event.name,
                state=event.state,
                result=as_json(event.result),
                is_repeated=event.is_repeated,
            )
        case CitationEvent():
            return RunEvent(type=event.type, citation=event.citation)
        case DoneEvent():
            return RunEvent(type=event.type, run=describe_run(event.run))


def describe_failure(error: LLMOSError) -> RunEvent:
    """Return the event that ends a run without an answer."""
    return RunEvent(type="error", error=RunFailure(code=error.code, message=error.message))


def as_json(value: Any) -> Any:
    """Return a value that an application made as JSON: a text where it is no JSON at all."""
    return to_jsonable_python(value, fallback=str)


encode = msgspec.json.Encoder(enc_hook=as_json).encode
