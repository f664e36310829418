"""EvidenceSink: the outcomes of calls, for the rollouts of routes and the releases of applications that they judge."""

from llmos.deployments.releases.evidence import evidence_key
from llmos.deployments.rollouts.evidence import CallOutcome, Evidence
from llmos.gateway.calls.applications import without_version
from llmos.gateway.calls.record import Attempt, Record, Sink


class EvidenceSink(Sink):
    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def on_attempt_closed(self, record: Record, attempt: Attempt) -> None:
        if record.shadow_of is not None or record.operation == "count":
            return
        if record.application is not None:
            if record.application != without_version(record.application):
                return  # An eval has asked for this version: no caller has.
            key, target = evidence_key(record.caller.project, record.application), attempt.version
        elif record.route is not None:
            key, target = record.route, attempt.target
        else:
            return
        if attempt.is_from_cache:
            return  # It says nothing about the target.
        assert attempt.outcome is not None, "the attempt has ended"
        pace = attempt.pace()
        outcome = CallOutcome(
            kind=attempt.outcome,
            version=attempt.version,
            error=attempt.error_code,
            seconds=attempt.seconds,
            first_token_seconds=None if pace is None else pace.first_token_seconds,
            num_later_tokens=0 if pace is None else pace.num_later_tokens,
            later_seconds=0.0 if pace is None else pace.later_seconds,
            num_tokens=attempt.num_completion_tokens,
        )
        self._evidence.record(key, target, outcome)
