"""The facts of answers in this machine's database."""

from functools import cached_property
from typing import TYPE_CHECKING

from llmos.core.money import parse_nanos
from llmos.core.schemas.answers import AnswerDetails, AnswerPage

if TYPE_CHECKING:
    from typing import Unpack

    from llmos.cli.control.local import LocalControl
    from llmos.client.answer_calls import AnswerFilters
    from llmos.data.answers import AnswerFilter, Answers

_MAX_COST = 1_000_000


class LocalAnswers:
    def __init__(self, control: "LocalControl") -> None:
        self._control = control

    @cached_property
    def _answers(self) -> "Answers":
        from llmos.data.answers import Answers

        return Answers(self._control.registry.database, days=self._control.settings.answer_days)

    def list(self, **filters: "Unpack[AnswerFilters]") -> AnswerPage:
        from llmos.data.answers import AnswerFilter
        from llmos.data.answers.answers import read_place

        model, min_cost, after = filters.get("model"), filters.get("min_cost"), filters.get("after")
        wanted = AnswerFilter(
            project=filters.get("project"),
            key_id=filters.get("key"),
            user=filters.get("user"),
            model=None if model is None else model.partition("@")[0],
            version=model if model is not None and "@" in model else None,
            route=filters.get("route"),
            app=filters.get("app"),
            run=filters.get("run"),
            outcome=filters.get("outcome"),
            verdict=filters.get("verdict"),
            since=filters.get("since"),
            until=filters.get("until"),
            min_cost_nanos=None if min_cost is None else parse_nanos(min_cost, "min_cost", limit=_MAX_COST),
            min_output_tokens=filters.get("min_output_tokens"),
            min_seconds=filters.get("min_seconds"),
            after=None if after is None else read_place(after),
            limit=filters.get("limit", 50),
        )
        return self._search(wanted, filters.get("text") or "") if filters.get("text") else self._answers.list(wanted)

    def _search(self, wanted: "AnswerFilter", text: str) -> AnswerPage:
        from llmos.data.responses import KeptResponses
        from llmos.gateway.answer_search import AnswerSearch
        from llmos.security.permissions import OWNER

        responses = KeptResponses(self._control.registry.database, self._control.keys_of_data)
        return AnswerSearch(self._answers, responses).list(wanted, text, project=wanted.project or OWNER)

    def get(self, id: str, *, project: str | None = None) -> AnswerDetails:
        from llmos.billing.ledger import Ledger
        from llmos.billing.purchases.costs import ProviderCosts
        from llmos.data.feedback.feedback import Feedback
        from llmos.data.responses import KeptResponses
        from llmos.gateway.answer_details import AnswerReader
        from llmos.security.permissions import OWNER
        from llmos.security.receipts.receipts import Receipts
        from llmos.security.signing_key import SigningKey

        database, settings = self._control.registry.database, self._control.settings
        key = SigningKey(settings.signing_key_path)
        reader = AnswerReader(
            answers=self._answers,
            ledger=Ledger(database),
            provider_costs=ProviderCosts(database),
            receipts=Receipts(database, key, days=settings.receipt_days),
            responses=KeptResponses(database, self._control.keys_of_data),
            signing_key=key,
            feedback=Feedback(database, self._control.keys_of_data),
        )
        return reader.get(id, project=project, text_of=OWNER, feedback_of=OWNER)
