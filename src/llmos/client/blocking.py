"""The client with blocking calls."""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import sleep
from typing import Any, Generic, Literal, Self, TypeVar, Unpack, overload

import httpx

from llmos.client import calls, control_calls, flows
from llmos.client.activity_calls import get_activity
from llmos.client.answers import Answer, Embeddings, Likelihood, ModelInfo, TokenCount
from llmos.client.app_versions import Apps
from llmos.client.apps import Handoffs, Runs, Sessions
from llmos.client.billing import Budgets, Credit, Ledger, Plans, Prices, Usage
from llmos.client.call import Call, DownloadCall, StreamedCall
from llmos.client.calls import CallOptions, ChatOptions, LikelihoodOptions
from llmos.client.connection import CONNECT_SECONDS, READ_SECONDS, client_options, http_options
from llmos.client.control import Jobs, Policies, Signatures
from llmos.client.conversations import Conversations
from llmos.client.datasets import Datasets
from llmos.client.deployments import Deployments, Nodes, Providers, Rollouts, Routes
from llmos.client.doctor_calls import get_doctor_report
from llmos.client.draft import Draft, StreamFacts
from llmos.client.endpoint import resolve_endpoint
from llmos.client.evals import Evals
from llmos.client.exporters import Exporters
from llmos.client.feedback import Feedback
from llmos.client.given_answers import GivenAnswers
from llmos.client.http_clients import HttpClient
from llmos.client.invoices import Invoices
from llmos.client.knowledge import Knowledge
from llmos.client.logs import Logs
from llmos.client.naming import Aliases, Labels, VersionedNoun
from llmos.client.naming_calls import MODELS
from llmos.client.prompts import Prompts
from llmos.client.security import Audit, Encryption, Erasures, Guardrails, Keys, Projects, Receipts, Users
from llmos.client.webhooks import Webhooks
from llmos.core.schemas.activity import ActivityDescription
from llmos.core.schemas.cards import CardDescription
from llmos.core.schemas.doctor import DoctorReport
from llmos.core.schemas.fit import FitDescription
from llmos.core.schemas.models import CatalogEntryDescription, RemovalDescription, VersionDetails

T = TypeVar("T")


class Client:
    """A connection to one LLMOS server. Thread-safe; a context manager that closes it.

        client = Client()
        print(client.models.get("dialogue").generate_text(prompt="The meaning of life is").text)

    endpoint: LLMOS_ENDPOINT, else http://127.0.0.1:8000.
    api_key: LLMOS_API_KEY, else the owner's key if the endpoint is this machine.
    ca: file of the certificates to trust; LLMOS_CA, else the system's and this home's self-signed one.
    Calls raise the errors of `llmos.core.errors`, after `max_retries` retries of errors that may be temporary.
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
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        server = resolve_endpoint(endpoint, api_key, ca)
        self.endpoint = server.url
        self._options = client_options(server, timeout_seconds, max_retries)
        self._http = HttpClient(**http_options(server, timeout_seconds, connect_timeout_seconds), transport=transport)
        # Closes the socket if the client is never closed.
        weakref.finalize(self, self._http.close)
        self.models = Models(self)
        self.aliases = Aliases(self)
        self.apps = Apps(self)
        self.datasets = Datasets(self)
        self.knowledge = Knowledge(self)
        self.deployments = Deployments(self)
        self.jobs = Jobs(self)
        self.keys = Keys(self)
        self.labels = Labels(self)
        self.nodes = Nodes(self)
        self.policies = Policies(self)
        self.projects = Projects(self)
        self.prompts = Prompts(self)
        self.conversations = Conversations(self)
        self.evals = Evals(self)
        self.feedback = Feedback(self)
        self.sessions = Sessions(self)
        self.runs = Runs(self)
        self.handoffs = Handoffs(self)
        self.webhooks = Webhooks(self)
        self.guardrails = Guardrails(self)
        self.encryption = Encryption(self)
        self.erasures = Erasures(self)
        self.audit = Audit(self)
        self.receipts = Receipts(self)
        self.usage = Usage(self)
        self.answers = GivenAnswers(self)
        self.logs = Logs(self)
        self.prices = Prices(self)
        self.budgets = Budgets(self)
        self.plans = Plans(self)
        self.credit = Credit(self)
        self.invoices = Invoices(self)
        self.ledger = Ledger(self)
        self.exporters = Exporters(self)
        self.providers = Providers(self)
        self.rollouts = Rollouts(self)
        self.routes = Routes(self)
        self.signatures = Signatures(self)
        self.users = Users(self)

    def activity(self) -> ActivityDescription:
        """Return what the server does now, and what it has counted since its start."""
        return self._request(get_activity())

    def doctor(self) -> DoctorReport:
        """Return what the server's checks of its machine and installation find."""
        return self._request(get_doctor_report())

    def add_headers(self, headers: Callable[[], Mapping[str, str]]) -> None:
        """Send these headers with each request, as they are then."""
        self._http.requests.more_headers = headers

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(endpoint={self.endpoint!r})"

    def _request(self, call: Call[T]) -> T:
        runner = _FlowRunner(self._http, flows.request(call, self._options))
        try:
            emitted = runner.next_emitted()
            assert emitted is not None, "flows.request emits exactly one result"
            return emitted.value
        finally:
            runner.close()

    def _download(self, call: DownloadCall) -> Iterator[bytes]:
        """Yield the bytes of the answer as they arrive."""
        runner = _FlowRunner(self._http, flows.download(call, self._options))
        try:
            while (emitted := runner.next_emitted()) is not None:
                yield emitted.value
        finally:
            runner.close()

    def _events(self, call: DownloadCall) -> Iterator[Any]:
        """Yield the decoded events of the answer as they arrive."""
        runner = _FlowRunner(self._http, flows.events(call, self._options))
        try:
            while (emitted := runner.next_emitted()) is not None:
                yield emitted.value
        finally:
            runner.close()

    def _stream(self, call: StreamedCall) -> "Stream":
        draft = Draft(call.model)
        return Stream(_FlowRunner(self._http, flows.stream(call, draft, self._options)), draft)


class Models(VersionedNoun):
    """The models that are stored on the server."""

    _root = MODELS

    def list(self, *, tags: Sequence[str] = ()) -> list["Model"]:
        """Return every Version on the server, or those with all of these tags (KEY or KEY=VALUE)."""
        infos = self._client._request(control_calls.list_models(tags))
        return [Model(self._client, info) for info in infos]

    def get(self, name: str) -> "Model":
        """Return the model behind a Route's or a model's name. Raises ModelNotFound, which says what to do."""
        return Model(self._client, self._client._request(control_calls.get_model(name)))

    def details(self, name: str) -> VersionDetails:
        """Return a Version with its files, aliases and siblings."""
        return self._client._request(control_calls.get_details(name))

    def card(self, name: str) -> CardDescription:
        """Return the card of a Version. Raises NotFound if it was never measured."""
        return self._client._request(control_calls.get_card(name))

    def related_cards(self, name: str) -> Sequence[CardDescription]:
        """Return the cards of Versions that were made from the same parents."""
        return self._client._request(control_calls.get_related_cards(name))

    def fit(self, name: str, *, context: int | None = None, streams: int | None = None) -> FitDescription:
        """Return whether a Version fits the server's memory, for `streams` of `context` tokens, and its arithmetic."""
        return self._client._request(control_calls.get_fit(name, context, streams))

    def catalog(self) -> Sequence[CatalogEntryDescription]:
        """Return the models that the server can pull by name."""
        return self._client._request(control_calls.list_catalog())

    def remove(self, name: str) -> RemovalDescription:
        """Remove a model (NAME), a Version (NAME@3) or an alias (NAME:ALIAS).

        Raises Conflict if a deployment, a Route or an alias needs it.
        """
        return self._client._request(control_calls.remove_model(name))


class Model:
    """A model on a server, under the name that was asked for."""

    def __init__(self, client: Client, info: ModelInfo) -> None:
        self._client = client
        self.info = info
        self.name = info.name
        self.version = info.version
        """The Version behind the name at that time. An answer has the Version that produced it."""

    def __repr__(self) -> str:
        return f"Model(name={self.name!r}, version={self.version!r})"

    @overload
    def generate_text(
        self, prompt: str, *, raw: bool = False, stream: Literal[False] = False, **sampling: Unpack[CallOptions]
    ) -> Answer: ...
    @overload
    def generate_text(
        self, prompt: str, *, raw: bool = False, stream: Literal[True], **sampling: Unpack[CallOptions]
    ) -> "Stream": ...
    def generate_text(
        self, prompt: str, *, raw: bool = False, stream: bool = False, **sampling: Unpack[CallOptions]
    ) -> "Answer | Stream":
        """Return the model's answer to a prompt; with `stream`, its pieces as they are generated.

        The prompt is put into the model's chat template if it has one; `raw` continues the text unchanged.
        The options are those of `Sampling` and `CallOptions`.
        """
        if stream:
            return self._client._stream(calls.generate_streamed(self.name, prompt, raw=raw, sampling=sampling))
        return self._client._request(calls.generate(self.name, prompt, raw=raw, sampling=sampling))

    @overload
    def chat(
        self, messages: Sequence[Mapping[str, Any]], *, stream: Literal[False] = False, **sampling: Unpack[ChatOptions]
    ) -> Answer: ...
    @overload
    def chat(
        self, messages: Sequence[Mapping[str, Any]], *, stream: Literal[True], **sampling: Unpack[ChatOptions]
    ) -> "Stream": ...
    def chat(
        self, messages: Sequence[Mapping[str, Any]], *, stream: bool = False, **sampling: Unpack[ChatOptions]
    ) -> "Answer | Stream":
        """Return the model's answer to a conversation: messages with a `role` (system, user, assistant) and `content`.

        Takes the options of `generate_text`, and `tools`, `tool_choice` and `parallel_tool_calls`.
        """
        if stream:
            return self._client._stream(calls.chat_streamed(self.name, messages, sampling=sampling))
        return self._client._request(calls.chat(self.name, messages, sampling=sampling))

    def count_tokens(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> TokenCount:
        """Return how many tokens a conversation has as the model sees it. Nothing is generated."""
        return self._client._request(calls.count_tokens(self.name, messages, tools))

    def likelihood(
        self,
        prompt: str | Sequence[int] | Sequence[Mapping[str, Any]],
        continuations: Sequence[str | Sequence[int]] = (),
        **options: Unpack[LikelihoodOptions],
    ) -> Likelihood:
        """Return how likely each continuation is behind the prompt: `.best`, `.probabilities` and `.options`.

        The prompt is a text, which gets no chat template, token ids, or the messages of a conversation. The options are
        those of `LikelihoodOptions`. Nothing is generated.
        """
        return self._client._request(calls.likelihood(self.name, prompt, continuations, options=options))

    def embed(
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
        return self._client._request(
            calls.embed(self.name, texts, dimensions=dimensions, truncate=truncate, prompt_name=prompt_name)
        )


class Stream(StreamFacts):
    """The pieces of an answer as the model generates them. Iterate to the end, or close it to stop the model."""

    def __init__(self, runner: "_FlowRunner[str]", draft: Draft) -> None:
        super().__init__(draft)
        self._runner = runner
        weakref.finalize(self, runner.close)  # a stream that is garbage-collected also stops the model
        self._runner.next_emitted()  # "" if the server has accepted the call; otherwise this raises its error

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        emitted = self._runner.next_emitted()
        while emitted is not None and not emitted.value:  # the server has accepted the call again, after a retry
            emitted = self._runner.next_emitted()
        if emitted is None:
            raise StopIteration
        return emitted.value

    def close(self) -> None:
        """Stop the answer: the server cancels the rest. Closing twice does nothing."""
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _FlowRunner(Generic[T]):
    """Runs the steps of one flow with blocking calls."""

    def __init__(self, http: HttpClient, flow: flows.Flow[T]) -> None:
        self._http = http
        self._flow = flow
        self._response: httpx.Response | None = None
        self._body: Iterator[bytes] = iter(())

    def next_emitted(self) -> flows.Emit[T] | None:
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
                    result = self._run(step)
                except httpx.RequestError as error:
                    failure = error
        except StopIteration:
            self.close()
            return None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._flow.close()
        self._drop_response()

    def _run(self, step: flows.Send | flows.Read | flows.Wait) -> Any:
        match step:
            case flows.Send():
                self._drop_response()
                request = self._http.requests.build(step)
                self._response = self._http.send(request, stream=True)
                if step.is_streamed and self._response.is_success:
                    self._body = self._response.iter_bytes()
                else:
                    self._response.read()
                return self._response
            case flows.Read():
                return next(self._body, None)
            case flows.Wait():
                self._drop_response()
                sleep(step.seconds)
                return None

    def _drop_response(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
