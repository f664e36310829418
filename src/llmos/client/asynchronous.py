"""The client for asyncio: the same calls, awaited."""

from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar, Unpack, overload

import httpx

from llmos.client import calls, control_calls, flows
from llmos.client.activity_calls import get_activity
from llmos.client.answers import Answer, Embeddings, Likelihood, ModelInfo, TokenCount
from llmos.client.async_app_versions import AsyncApps
from llmos.client.async_apps import AsyncHandoffs, AsyncRuns, AsyncSessions
from llmos.client.async_billing import AsyncBudgets, AsyncCredit, AsyncLedger, AsyncPlans, AsyncPrices, AsyncUsage
from llmos.client.async_control import AsyncJobs, AsyncPolicies, AsyncSignatures
from llmos.client.async_conversations import AsyncConversations
from llmos.client.async_datasets import AsyncDatasets
from llmos.client.async_deployments import AsyncDeployments, AsyncNodes, AsyncProviders, AsyncRollouts, AsyncRoutes
from llmos.client.async_evals import AsyncEvals
from llmos.client.async_exporters import AsyncExporters
from llmos.client.async_feedback import AsyncFeedback
from llmos.client.async_given_answers import AsyncGivenAnswers
from llmos.client.async_invoices import AsyncInvoices
from llmos.client.async_knowledge import AsyncKnowledge
from llmos.client.async_logs import AsyncLogs
from llmos.client.async_naming import AsyncAliases, AsyncLabels, AsyncVersionedNoun
from llmos.client.async_prompts import AsyncPrompts
from llmos.client.async_security import (
    AsyncAudit,
    AsyncEncryption,
    AsyncErasures,
    AsyncGuardrails,
    AsyncKeys,
    AsyncProjects,
    AsyncReceipts,
    AsyncUsers,
)
from llmos.client.async_webhooks import AsyncWebhooks
from llmos.client.call import Call, DownloadCall, StreamedCall
from llmos.client.calls import CallOptions, ChatOptions, LikelihoodOptions
from llmos.client.connection import CONNECT_SECONDS, READ_SECONDS, client_options, http_options
from llmos.client.doctor_calls import get_doctor_report
from llmos.client.draft import Draft, StreamFacts
from llmos.client.endpoint import resolve_endpoint
from llmos.client.http_clients import AsyncHttpClient
from llmos.client.naming_calls import MODELS
from llmos.core.schemas.activity import ActivityDescription
from llmos.core.schemas.cards import CardDescription
from llmos.core.schemas.doctor import DoctorReport
from llmos.core.schemas.fit import FitDescription
from llmos.core.schemas.models import CatalogEntryDescription, RemovalDescription, VersionDetails

T = TypeVar("T")


class AsyncClient:
    """A connection to one LLMOS server; an async context manager that closes it. Takes what `Client` takes.

    async with AsyncClient() as client:
        model = await client.models.get("dialogue")
        print((await model.generate_text(prompt="The meaning of life is")).text)
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        api_key: str | None = None,
        ca: str | Path | None = None,
        timeout_seconds: float = READ_SECONDS,
        connect_timeout_seconds: float = CONNECT_SECONDS,
        max_retries: int = 2,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        server = resolve_endpoint(endpoint, api_key, ca)
        self.endpoint = server.url
        self._options = client_options(server, timeout_seconds, max_retries)
        self._http = AsyncHttpClient(
            **http_options(server, timeout_seconds, connect_timeout_seconds), transport=transport
        )
        self.models = AsyncModels(self)
        self.aliases = AsyncAliases(self)
        self.apps = AsyncApps(self)
        self.datasets = AsyncDatasets(self)
        self.knowledge = AsyncKnowledge(self)
        self.deployments = AsyncDeployments(self)
        self.jobs = AsyncJobs(self)
        self.keys = AsyncKeys(self)
        self.labels = AsyncLabels(self)
        self.nodes = AsyncNodes(self)
        self.policies = AsyncPolicies(self)
        self.projects = AsyncProjects(self)
        self.prompts = AsyncPrompts(self)
        self.conversations = AsyncConversations(self)
        self.evals = AsyncEvals(self)
        self.feedback = AsyncFeedback(self)
        self.sessions = AsyncSessions(self)
        self.runs = AsyncRuns(self)
        self.handoffs = AsyncHandoffs(self)
        self.webhooks = AsyncWebhooks(self)
        self.guardrails = AsyncGuardrails(self)
        self.encryption = AsyncEncryption(self)
        self.erasures = AsyncErasures(self)
        self.audit = AsyncAudit(self)
        self.receipts = AsyncReceipts(self)
        self.usage = AsyncUsage(self)
        self.answers = AsyncGivenAnswers(self)
        self.logs = AsyncLogs(self)
        self.prices = AsyncPrices(self)
        self.budgets = AsyncBudgets(self)
        self.plans = AsyncPlans(self)
        self.credit = AsyncCredit(self)
        self.invoices = AsyncInvoices(self)
        self.ledger = AsyncLedger(self)
        self.exporters = AsyncExporters(self)
        self.providers = AsyncProviders(self)
        self.rollouts = AsyncRollouts(self)
        self.routes = AsyncRoutes(self)
        self.signatures = AsyncSignatures(self)
        self.users = AsyncUsers(self)

    async def activity(self) -> ActivityDescription:
        """Return what the server does now, and what it has counted since its start."""
        return await self._request(get_activity())

    async def doctor(self) -> DoctorReport:
        """Return what the server's checks of its machine and installation find."""
        return await self._request(get_doctor_report())

    def add_headers(self, headers: Callable[[], Mapping[str, str]]) -> None:
        """Send these headers with each request, as they are then."""
        self._http.requests.more_headers = headers

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncClient(endpoint={self.endpoint!r})"

    async def _request(self, call: Call[T]) -> T:
        runner = _FlowRunner(self._http, flows.request(call, self._options))
        try:
            emitted = await runner.next_emitted()
            assert emitted is not None, "flows.request emits exactly one result"
            return emitted.value
        finally:
            await runner.close()

    async def _download(self, call: DownloadCall) -> AsyncIterator[bytes]:
        """Yield the bytes of the answer as they arrive."""
        runner = _FlowRunner(self._http, flows.download(call, self._options))
        try:
            while (emitted := await runner.next_emitted()) is not None:
                yield emitted.value
        finally:
            await runner.close()

    async def _events(self, call: DownloadCall) -> AsyncIterator[Any]:
        """Yield the decoded events of the answer as they arrive."""
        runner = _FlowRunner(self._http, flows.events(call, self._options))
        try:
            while (emitted := await runner.next_emitted()) is not None:
                yield emitted.value
        finally:
            await runner.close()

    async def _stream(self, call: StreamedCall) -> "AsyncStream":
        draft = Draft(call.model)
        runner = _FlowRunner(self._http, flows.stream(call, draft, self._options))
        await runner.next_emitted()  # "" if the server has accepted the call; otherwise this raises its error
        return AsyncStream(runner, draft)


class AsyncModels(AsyncVersionedNoun):
    """The models that are stored on the server."""

    _root = MODELS

    async def list(self, *, tags: Sequence[str] = ()) -> list["AsyncModel"]:
        """Return every Version on the server, or those with all of these tags (KEY or KEY=VALUE)."""
        infos = await self._client._request(control_calls.list_models(tags))
        return [AsyncModel(self._client, info) for info in infos]

    async def get(self, name: str) -> "AsyncModel":
        """Return the model behind a Route's or a model's name. Raises ModelNotFound, which says what to do."""
        return AsyncModel(self._client, await self._client._request(control_calls.get_model(name)))

    async def details(self, name: str) -> VersionDetails:
        """Return a Version with its files, aliases and siblings."""
        return await self._client._request(control_calls.get_details(name))

    async def card(self, name: str) -> CardDescription:
        """Return the card of a Version. Raises NotFound if it was never measured."""
        return await self._client._request(control_calls.get_card(name))

    async def related_cards(self, name: str) -> Sequence[CardDescription]:
        """Return the cards of Versions that were made from the same parents."""
        return await self._client._request(control_calls.get_related_cards(name))

    async def fit(self, name: str, *, context: int | None = None, streams: int | None = None) -> FitDescription:
        """Return whether a Version fits the server's memory, for `streams` of `context` tokens, and its arithmetic."""
        return await self._client._request(control_calls.get_fit(name, context, streams))

    async def catalog(self) -> Sequence[CatalogEntryDescription]:
        """Return the models that the server can pull by name."""
        return await self._client._request(control_calls.list_catalog())

    async def remove(self, name: str) -> RemovalDescription:
        """Remove a model (NAME), a Version (NAME@3) or an alias (NAME:ALIAS).

        Raises Conflict if a deployment, a Route or an alias needs it.
        """
        return await self._client._request(control_calls.remove_model(name))


class AsyncModel:
    """A model on a server, under the name that was asked for."""

    def __init__(self, client: AsyncClient, info: ModelInfo) -> None:
        self._client = client
        self.info = info
        self.name = info.name
        self.version = info.version
        """The Version behind the name at that time. An answer has the Version that produced it."""

    def __repr__(self) -> str:
        return f"AsyncModel(name={self.name!r}, version={self.version!r})"

    @overload
    async def generate_text(
        self, prompt: str, *, raw: bool = False, stream: Literal[False] = False, **sampling: Unpack[CallOptions]
    ) -> Answer: ...
    @overload
    async def generate_text(
        self, prompt: str, *, raw: bool = False, stream: Literal[True], **sampling: Unpack[CallOptions]
    ) -> "AsyncStream": ...
    async def generate_text(
        self, prompt: str, *, raw: bool = False, stream: bool = False, **sampling: Unpack[CallOptions]
    ) -> "Answer | AsyncStream":
        """Return the model's answer to a prompt; with `stream`, its pieces as they are generated.

        The prompt is put into the model's chat template if it has one; `raw` continues the text unchanged.
        The options are those of `Sampling` and `CallOptions`.
        """
        if stream:
            return await self._client._stream(calls.generate_streamed(self.name, prompt, raw=raw, sampling=sampling))
        return await self._client._request(calls.generate(self.name, prompt, raw=raw, sampling=sampling))

    @overload
    async def chat(
        self, messages: Sequence[Mapping[str, Any]], *, stream: Literal[False] = False, **sampling: Unpack[ChatOptions]
    ) -> Answer: ...
    @overload
    async def chat(
        self, messages: Sequence[Mapping[str, Any]], *, stream: Literal[True], **sampling: Unpack[ChatOptions]
    ) -> "AsyncStream": ...
    async def chat(
        self, messages: Sequence[Mapping[str, Any]], *, stream: bool = False, **sampling: Unpack[ChatOptions]
    ) -> "Answer | AsyncStream":
        """Return the model's answer to a conversation: messages with a `role` (system, user, assistant) and `content`.

        Takes the options of `generate_text`, and `tools`, `tool_choice` and `parallel_tool_calls`.
        """
        if stream:
            return await self._client._stream(calls.chat_streamed(self.name, messages, sampling=sampling))
        return await self._client._request(calls.chat(self.name, messages, sampling=sampling))

    async def count_tokens(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> TokenCount:
        """Return how many tokens a conversation has as the model sees it. Nothing is generated."""
        return await self._client._request(calls.count_tokens(self.name, messages, tools))

    async def likelihood(
        self,
        prompt: str | Sequence[int] | Sequence[Mapping[str, Any]],
        continuations: Sequence[str | Sequence[int]] = (),
        **options: Unpack[LikelihoodOptions],
    ) -> Likelihood:
        """Return how likely each continuation is behind the prompt: `.best`, `.probabilities` and `.options`.

        The prompt is a text, which gets no chat template, token ids, or the messages of a conversation. The options are
        those of `LikelihoodOptions`. Nothing is generated.
        """
        return await self._client._request(calls.likelihood(self.name, prompt, continuations, options=options))

    async def embed(
        self,
        texts: Sequence[str],
        *,
        dimensions: int | None = None,
        truncate: bool = False,
        prompt_name: str | None = None,
    ) -> Embeddings:
        """Return a vector for each text; the model must be an embedding model, such as minilm.

        dimensions: the length of the vectors, if shorter than the model's. truncate: cut texts that are too long, which
        is an error otherwise. prompt_name: one of the model's own prompts, put before each text.
        """
        return await self._client._request(
            calls.embed(self.name, texts, dimensions=dimensions, truncate=truncate, prompt_name=prompt_name)
        )


class AsyncStream(StreamFacts):
    """The pieces of an answer as the model generates them. Iterate to the end, or close it to stop the model."""

    def __init__(self, runner: "_FlowRunner[str]", draft: Draft) -> None:
        super().__init__(draft)
        self._runner = runner

    def __aiter__(self) -> AsyncIterator[str]:
        return self

    async def __anext__(self) -> str:
        emitted = await self._runner.next_emitted()
        while emitted is not None and not emitted.value:  # accepted once more, after a retry
            emitted = await self._runner.next_emitted()
        if emitted is None:
            raise StopAsyncIteration
        return emitted.value

    async def close(self) -> None:
        """Stop the answer: the server cancels the rest. Closing twice does nothing."""
        await self._runner.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _FlowRunner(Generic[T]):
    """Runs the steps of one flow with awaited calls."""

    def __init__(self, http: AsyncHttpClient, flow: flows.Flow[T]) -> None:
        self._http = http
        self._flow = flow
        self._response: httpx.Response | None = None
        self._body: AsyncIterator[bytes] | None = None

    async def next_emitted(self) -> flows.Emit[T] | None:
        """Run the flow until it emits a value. None: it has ended, and its response is closed."""
        result: Any = None
        failure: httpx.RequestError | None = None
        try:
            while True:
                step = self._flow.throw(failure) if failure else self._flow.send(result)
                if isinstance(step, flows.Emit):
                    return step
                result = failure = None
                try:
                    result = await self._run(step)
                except httpx.RequestError as error:
                    failure = error
        except StopIteration:
            await self.close()
            return None
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        self._flow.close()
        await self._drop_response()

    async def _run(self, step: flows.Send | flows.Read | flows.Wait) -> Any:
        match step:
            case flows.Send():
                await self._drop_response()
                request = self._http.requests.build(step)
                self._response = await self._http.send(request, stream=True)
                if step.is_streamed and self._response.is_success:
                    self._body = self._response.aiter_bytes()
                else:
                    await self._response.aread()
                return self._response
            case flows.Read():
                assert self._body is not None, "a flow sends before it reads"
                return await anext(self._body, None)
            case flows.Wait():
                await self._drop_response()
                await sleep(step.seconds)
                return None

    async def _drop_response(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None
