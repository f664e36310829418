"""AuditSink: the calls that a guardrail blocked, for the audit log. Without their content, and without the end user."""

from llmos.gateway.calls.record import Record, Sink
from llmos.security.audit.entries import Event
from llmos.security.audit.recorder import AuditRecorder


class AuditSink(Sink):
    def __init__(self, recorder: AuditRecorder) -> None:
        self._recorder = recorder

    def on_closed(self, record: Record) -> None:
        """Record what blocked the call. Equal blocks of one key are counted; see security/audit/tally.py."""
        if record.screening is None or record.shadow_of is not None:
            return
        caller = record.caller
        for found in record.screening.findings:
            if found.verdict == "block":
                self._recorder.add(
                    Event(
                        action="guardrail.block",
                        outcome="refused",
                        project=caller.project,
                        key=caller.key_id,
                        object=found.policy,
                        request_id=caller.request_id,
                        details={"guardrail": found.guardrail, "rule": found.rule, "side": found.side},
                    )
                )
