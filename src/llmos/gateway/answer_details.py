"""AnswerDetails of a call: its facts, its entries in the ledger, its receipt, and its text if that is stored."""

import json
from dataclasses import dataclass

import msgspec

from llmos.billing.ledger import Ledger
from llmos.billing.purchases.costs import ProviderCosts
from llmos.core.errors import LLMOSError, NotFound
from llmos.core.schemas.answers import AnswerDetails, AnswerFeedback, AnswerSummary, KeptText
from llmos.core.schemas.receipts import ReceiptDescription
from llmos.data.answers import Answers
from llmos.data.feedback.feedback import Feedback, FeedbackFilter
from llmos.data.responses import KeptResponses
from llmos.security.receipts.receipts import Receipts
from llmos.security.receipts.verification import verify_receipt
from llmos.security.signing_key import SigningKey


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerReader:
    """Any thread may use it."""

    answers: Answers
    ledger: Ledger
    provider_costs: ProviderCosts
    receipts: Receipts
    responses: KeptResponses
    signing_key: SigningKey
    feedback: Feedback

    def get(
        self, id: str, *, project: str | None = None, text_of: str | None = None, feedback_of: str | None = None
    ) -> AnswerDetails:
        """Return what is known of an answer, by its id or that of its request. `project`: only if it belongs to this
        one, and without what it costs at providers. `text_of` and `feedback_of`: the project whose texts, and whose
        feedback, may be read; None: none.

        Raises NotFound.
        """
        summary = self.answers.get(id, project=project)
        receipt = self._receipt(summary)
        return AnswerDetails(
            **msgspec.structs.asdict(summary),
            charges=[*self.ledger.charges_of(summary.id)],
            provider_calls=[*self.provider_costs.of_call(summary.id)] if project is None else [],
            receipt=receipt,
            is_receipt_valid=None if receipt is None else self._is_valid(receipt),
            feedback=self._feedback(summary) if feedback_of == summary.project else [],
            text=self._text(summary) if text_of == summary.project else None,
        )

    def _receipt(self, summary: AnswerSummary) -> ReceiptDescription | None:
        try:
            return self.receipts.get(summary.id, project=summary.project)
        except NotFound:
            return None

    def _is_valid(self, receipt: ReceiptDescription) -> bool:
        try:
            verify_receipt(receipt.raw, [self.signing_key.public])
        except LLMOSError:
            return False
        return True

    def _feedback(self, summary: AnswerSummary) -> list[AnswerFeedback]:
        found = self.feedback.list(summary.project, FeedbackFilter(answer=summary.id)).data
        return [
            AnswerFeedback(
                id=each.id,
                kind=each.kind,
                rating=each.rating,
                is_corrected=bool(each.content.correction),
                actor=each.actor,
                created_at=each.created_at,
            )
            for each in found
        ]

    def _text(self, summary: AnswerSummary) -> KeptText | None:
        try:
            kept = self.responses.get(summary.project, summary.id)
        except NotFound:
            return None
        body = json.loads(kept.body)
        return KeptText(
            input=json.loads(kept.items),
            output=body["output"],
            instructions=body.get("instructions"),
            tools=body.get("tools") or [],
        )
