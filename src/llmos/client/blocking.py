"""The client for ordinary programs: each call blocks until its answer is there."""

import builtins
import weakref
from collections.abc import Iterator, Mapping, Sequence
from time import sleep
from typing import Any, Generic, Literal, Self, TypeVar, Unpack, overload

import httpx

from llmos.client import calls, flows
from llmos.client.answers import Answer, DeploymentEvent, DeploymentInfo, Embeddings, ModelInfo, RouteInfo
from llmos.client.calls import Call, CallOptions, ChatOptions, RolloutSettings, RouteSettings, StreamedCall
from llmos.client.connection import CONNECT_SECONDS, READ_SECONDS, conduct_of, http_options
from llmos.client.draft import Draft, StreamFacts
from llmos.client.endpoint import resolve_endpoint

T = TypeVar("T")


class Client:
    """A connection to one LLMOS server. Safe to share between threads; a context manager that closes it.

        client = Client()
        print(client.models.get("dialogue").generate_text(prompt="The meaning of life is").text)

    endpoint: LLMOS_ENDPOINT, else http://127.0.0.1:8000.
    api_key: LLMOS_API_KEY, else the owner's key where the endpoint is this machine.
    Every call raises an error of `llmos.core.errors`, after `max_retries` more tries where these may help.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        api_key: str | None = None,
        timeout_seconds: float = READ_SECONDS,
        connect_timeout_seconds: float = CONNECT_SECONDS,
        max_retries: int = 2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        server = resolve_endpoint(endpoint, api_key)
        self.endpoint = server.url
        self._conduct = conduct_of(server, timeout_seconds, max_retries)
        self._http = httpx.Client(**http_options(server, timeout_seconds, connect_timeout_seconds), transport=transport)
        # A program that ends, or forgets a client, without closing it leaves no open socket behind.
        weakref.finalize(self, self._http.close)
        self.models = Models(self)
        self.routes = Routes(self)
        self.rollouts = Rollouts(self)
        self.providers = Providers(self)
        self.deployments = Deployments(self)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(endpoint={self.endpoint!r})"

    def _ask(self, call: Call[T]) -> T:
        performer = _Performer(self._http, flows.ask(call, self._conduct))
        try:
            said = performer.next_said()
            assert said is not None, "flows.ask says exactly one result"
            return said.value
        finally:
            performer.close()

    def _listen(self, call: StreamedCall) -> "Stream":
        draft = Draft(call.model)
        return Stream(_Performer(self._http, flows.listen(call, draft, self._conduct)), draft)


class Models:
    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> list["Model"]:
        """Return every model that the server has."""
        return [Model(self._client, info) for info in self._client._ask(calls.list_models())]

    def get(self, name: str) -> "Model":
        """Return the model behind a Route or a model's name. Raises ModelNotFound with what to do about it."""
        return Model(self._client, self._client._ask(calls.get_model(name)))


class Routes:
    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> list[RouteInfo]:
        return self._client._ask(calls.list_routes())

    def get(self, name: str) -> RouteInfo:
        """Raises NotFound, with the nearest names, for a route that there is not."""
        return self._client._ask(calls.get_route(name))

    def set(self, name: str, target: str | Mapping[str, float], **settings: Unpack[RouteSettings]) -> RouteInfo:
        """Say what answers to a name: one target, or several with the percent of the calls that each gets; besides, the
        `fallbacks`, `shadow`, `sticky`, `timeout_seconds` and `reason` of `RouteSettings`.

        A target is a model that the server has, or remote:PROVIDER/MODEL. Raises ModelNotFound for what it has not.
        """
        return self._client._ask(calls.set_route(name, target, settings))

    def set_weights(self, name: str, percent_of: Mapping[str, float], *, reason: str) -> RouteInfo:
        """Share a route's calls out anew, all at once; the rest of it stays as it is."""
        return self._client._ask(calls.set_weights(name, percent_of, reason))

    def history(self, name: str) -> Sequence[dict[str, Any]]:
        """Return the route's moves, the newest first: when, who, why, before and after."""
        return self._client._ask(calls.route_history(name))

    def evidence(self, name: str) -> dict[str, Any]:
        """Return what became of the route's calls, by target, as far as the server remembers."""
        return self._client._ask(calls.route_evidence(name))

    def remove(self, name: str) -> None:
        """Raises NotFound, with the nearest names, for a route that there is not."""
        self._client._ask(calls.remove_route(name))


class Providers:
    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Sequence[dict[str, Any]]:
        return self._client._ask(calls.list_providers())

    def add(self, name: str, *, base_url: str, kind: str = "openai", key: str | None = None) -> dict[str, Any]:
        """Record who runs models elsewhere; remote:NAME/MODEL is a target of routes from then on. `kind`: openai or
        anthropic. The key is kept encrypted and never comes out again."""
        return self._client._ask(calls.add_provider(name, kind, base_url, key))

    def models(self, name: str) -> Sequence[str]:
        """Ask the provider what it has. Raises what is wrong: that it can't be reached, or doesn't take the key."""
        return self._client._ask(calls.provider_models(name))

    def remove(self, name: str) -> None:
        """Raises Conflict while a route leads to it."""
        self._client._ask(calls.remove_provider(name))


class Rollouts:
    def __init__(self, client: Client) -> None:
        self._client = client

    def promote(self, version: str, route: str, **settings: Unpack[RolloutSettings]) -> dict[str, Any]:
        """Have a Version take a Route over in steps, and go back by itself; besides, the `steps`, `gate`, `min_calls`,
        `max_hold_seconds`, `cases` and `force` of `RolloutSettings`. Returns at once: the server carries it out.

        Raises Conflict where the Route has a rollout already, and where its card fails the project's limits.
        """
        return self._client._ask(calls.promote(version, route, settings))

    def list(self, route: str | None = None) -> Sequence[dict[str, Any]]:
        """Return the rollouts, the newest first."""
        return self._client._ask(calls.list_rollouts(route))

    def get(self, id: int) -> dict[str, Any]:
        """Return how a rollout is: its state, the percent of the calls that the Version gets, and why."""
        return self._client._ask(calls.get_rollout(id))

    def history(self, id: int) -> Sequence[dict[str, Any]]:
        """Return what happened in it, oldest first, with the numbers that decided."""
        return self._client._ask(calls.rollout_history(id))

    def roll_back(self, route: str) -> dict[str, Any]:
        """Undo the rollout that runs or ran last on a Route, at once. Raises Conflict where there is none to undo."""
        return self._client._ask(calls.roll_back(route))


class Deployments:
    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> list[DeploymentInfo]:
        """Return the Versions that are deployed on the server, and what else it runs."""
        return self._client._ask(calls.list_deployments())

    def get(self, name: str) -> DeploymentInfo:
        """`name`, here and below: a Version, a Route or a model."""
        return self._client._ask(calls.get_deployment(name))

    def deploy(self, name: str, **wanted: Unpack[calls.Wanted]) -> DeploymentInfo:
        """Have the server run a Version, and keep it running. Whatever was wanted of it before is forgotten.

        Raises BadRequest for what can't be meant, Conflict where its card fails the project's limits.
        """
        return self._client._ask(calls.deploy(name, wanted))

    def scale(
        self,
        name: str,
        *,
        replicas: int | None = None,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
    ) -> DeploymentInfo:
        """Raises NotFound for what isn't deployed."""
        limits = {"replicas": replicas, "min_replicas": min_replicas, "max_replicas": max_replicas}
        return self._client._ask(calls.change_deployment(name, "scale", limits))

    def stop(self, name: str) -> DeploymentInfo:
        """Let what runs on a Version end, and then its processes; who asks next loads it again.

        Returns at once for what is deployed, when the process is gone for what isn't. Raises NotFound where it doesn't
        run, Conflict where it is to be kept warm.
        """
        return self._client._ask(calls.change_deployment(name, "sleep"))

    def wake(self, name: str) -> DeploymentInfo:
        """Load what sleeps, without asking it anything. Raises NotFound for what isn't deployed."""
        return self._client._ask(calls.change_deployment(name, "wake"))

    def remove(self, name: str) -> None:
        """Have the server keep a Version running no longer, and stop it when its answers are whole."""
        self._client._ask(calls.remove_deployment(name))

    def history(self, name: str) -> builtins.list[DeploymentEvent]:
        """What happened to a deployment, oldest first."""
        return self._client._ask(calls.deployment_history(name))


class Model:
    """A model on a server, by the name it was asked for."""

    def __init__(self, client: Client, info: ModelInfo) -> None:
        self._client = client
        self.info = info
        self.name = info.name
        self.version = info.version
        """The Version that the name led to when it was asked. An answer says which one really produced it."""

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
        """Return the model's answer to a prompt; with `stream`, its pieces as they come.

        The prompt goes through the model's chat template where it has one; `raw` continues the text as it stands.
        The options are those of `Sampling` and `CallOptions`.
        """
        if stream:
            return self._client._listen(calls.generate_streamed(self.name, prompt, raw=raw, sampling=sampling))
        return self._client._ask(calls.generate(self.name, prompt, raw=raw, sampling=sampling))

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
        """Return the model's answer to a conversation: messages of a `role` (system, user, assistant) and `content`.

        Takes the options of `generate_text`, and `tools`, `tool_choice` and `parallel_tool_calls`.
        """
        if stream:
            return self._client._listen(calls.chat_streamed(self.name, messages, sampling=sampling))
        return self._client._ask(calls.chat(self.name, messages, sampling=sampling))

    def embed(
        self,
        texts: Sequence[str],
        *,
        dimensions: int | None = None,
        truncate: bool = False,
        prompt_name: str | None = None,
    ) -> Embeddings:
        """Return a vector for each text; the model must be one that makes them, such as minilm.

        dimensions: only so many numbers of each. truncate: leave out the end of a text that is too long, which is an
        error otherwise. prompt_name: one of the model's own prompts, put before each text.
        """
        return self._client._ask(
            calls.embed(self.name, texts, dimensions=dimensions, truncate=truncate, prompt_name=prompt_name)
        )


class Stream(StreamFacts):
    """The pieces of an answer, as the model writes them. Iterate to the end, or close it to stop the model."""

    def __init__(self, performer: "_Performer[str]", draft: Draft) -> None:
        super().__init__(draft)
        self._performer = performer
        weakref.finalize(self, performer.close)  # a stream that is dropped stops the model, too
        self._performer.next_said()  # "": the server has accepted the call; otherwise its error is raised here

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        said = self._performer.next_said()
        while said is not None and not said.value:  # accepted once more, after a retry
            said = self._performer.next_said()
        if said is None:
            raise StopIteration
        return said.value

    def close(self) -> None:
        """Stop listening; the server cancels the rest. Closing twice does nothing."""
        self._performer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Performer(Generic[T]):
    """Carries out the steps of one flow with blocking calls."""

    def __init__(self, http: httpx.Client, flow: flows.Flow[T]) -> None:
        self._http = http
        self._flow = flow
        self._response: httpx.Response | None = None
        self._body: Iterator[bytes] = iter(())

    def next_said(self) -> flows.Say[T] | None:
        """Carry on until the flow has something to say. None: it has ended, and nothing is open any more."""
        told: Any = None
        failure: httpx.RequestError | None = None
        try:
            while True:
                step = self._flow.throw(failure) if failure else self._flow.send(told)
                if isinstance(step, flows.Say):
                    return step
                told = failure = None
                try:
                    told = self._perform(step)
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

    def _perform(self, step: flows.Send | flows.Read | flows.Wait) -> Any:
        match step:
            case flows.Send():
                self._drop_response()
                request = self._http.build_request(step.method, step.path, content=step.body, headers=step.headers)
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
