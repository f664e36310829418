"""The request of POST /v1/rerank."""

from typing import Annotated, ClassVar

from msgspec import Meta

from llmos.core.errors import BadRequest
from llmos.gateway.calls.embedding import MAX_INPUTS, EmbedCall, check_inputs
from llmos.gateway.http.fields import ComparedTextsFields
from llmos.gateway.http.requests import NOT_EMPTY, RequestObject, Unsupported, described
from llmos.security.callers import Caller


class Document(RequestObject):
    text: Annotated[str, NOT_EMPTY]


class RerankRequest(ComparedTextsFields, kw_only=True):
    query: Annotated[str, NOT_EMPTY]
    documents: Annotated[list[Annotated[str, NOT_EMPTY] | Document], described(minItems=1, maxItems=MAX_INPUTS - 1)]
    """At most 2,047 texts."""
    top_n: Annotated[int, Meta(ge=1)] | None = None
    """Return only this many documents, the best ones. Without it, all."""
    return_documents: bool = False
    """Return the texts of the documents, too."""

    lists: ClassVar = {"documents": Document}
    unsupported: ClassVar = {
        "max_tokens_per_doc": Unsupported("use `truncate_prompt_tokens`, which cuts texts."),
        "max_chunks_per_doc": Unsupported("a document is one text. Leave it out."),
        "rank_fields": Unsupported("a document has one field, its text. Leave it out."),
    }

    def texts(self) -> list[str]:
        """Return the texts of the documents."""
        return [each if isinstance(each, str) else each.text for each in self.documents]

    def call(self, caller: Caller) -> EmbedCall:
        """Return the call that this request makes. Raises BadRequest for fields that contradict each other."""
        texts = [self.query, *self.texts()]
        names = ["query", *(f"documents[{i}]" for i in range(len(self.documents)))]
        if not self.documents:
            raise BadRequest("`documents` is empty: send at least one text.", param="documents")
        if len(texts) > MAX_INPUTS:
            raise BadRequest(
                f"`documents` has {len(self.documents):,} texts; the limit is {MAX_INPUTS - 1:,}. Split them.",
                param="documents",
            )
        return EmbedCall(
            model=self.model,
            inputs=check_inputs([*texts], names),
            names=names,
            truncate_to=self.truncate_to(),
            num_queries=1,
            instruction=self.instruction,
            caller=self.on_behalf_of(caller),
            id_prefix="rerank",
        )
