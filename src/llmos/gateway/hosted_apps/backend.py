"""AppBackend: an application behind the interface of a model, for one call. HostedApplications finds it by its name."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Never

import msgspec

from llmos.core.errors import BadRequest, ModelNotFound, NotFound
from llmos.core.names import APP_PREFIX
from llmos.core.schemas.hosted_apps import RunResult
from llmos.deployments.served_model import ServedModel
from llmos.engine.checkpoint.metadata import Metadata
from llmos.engine.messages import (
    Counted,
    Delta,
    Embed,
    Embedded,
    Event,
    Generate,
    Grammar,
    Rate,
    Rated,
    Started,
    Tokenize,
    Tokenized,
)
from llmos.gateway.calls.applications import ApplicationRun, AppOptions, app_of
from llmos.gateway.calls.call import ModelCall, PromptedCall
from llmos.gateway.calls.resolve import Resolution
from llmos.gateway.hosted_apps.host import AppHost
from llmos.gateway.hosted_apps.may_run import check_may_run
from llmos.gateway.hosted_apps.process import AppProcess
from llmos.gateway.hosted_apps.supervisor import AppSupervisor
from llmos.security.callers import Caller
from llmos.security.permissions import OWNER, Permission

MAX_DEPTH = 4
"""The most applications that wait for each other in a chain."""

_MAX_DIGITS = 9
"""The digits of the largest number of a version."""
_OWN_PROMPT = "system messages"
"""The name that the caller reads in the list of ignored fields, if system messages were left out."""


class HostedApplications:
    """The applications that this server runs, as backends of calls."""

    def __init__(self, supervisor: AppSupervisor, *, wait_seconds: float, is_open_to_projects: bool = False) -> None:
        """`wait_seconds`: how long a call waits for an application that is being started. `is_open_to_projects`: other
        projects than the installation's may run programs."""
        self._supervisor, self._wait_seconds = supervisor, wait_seconds
        self._is_open_to_projects = is_open_to_projects

    async def resolve(self, call: ModelCall) -> Resolution:
        """Return the application that a call asks for, out of those of the caller's project.

        A version that is asked for by its number is started if it doesn't run: who may deploy it may ask for it.
        Raises ModelNotFound, PermissionDenied, and BadRequest for applications that ask each other for ever.
        """
        caller = call.caller
        caller.check(Permission.APPS_RUN)
        depth = self._depth(call.model, caller)
        options = call.app if isinstance(call, PromptedCall) else None
        session = None if options is None else options.session
        try:
            host = await self._host(call.model, caller, session or caller.user)
        except NotFound as error:
            raise ModelNotFound(error.message, param="model") from None
        run = ApplicationRun(call.model)
        backend = AppBackend(host, run, options or AppOptions(), caller, depth, self._wait_seconds)
        return Resolution(call.model, None, {call.model: backend}, run)

    def served(self, caller: Caller) -> Mapping[str, ServedModel]:
        """Return the applications that the caller may ask for, by their names as models."""
        if Permission.APPS_RUN not in caller.permissions:
            return {}
        hosts = self._supervisor.of_project(caller.project)
        names = {f"{APP_PREFIX}{name}": host for name, host in hosts.items()}
        return {name: served_app(host) for name, host in names.items() if caller.may_ask_for(name)}

    async def _host(self, model: str, caller: Caller, account: str) -> AppHost:
        asked = app_of(model)
        assert asked is not None, "the pipeline asks for names of applications only"
        name, at, version = asked.partition("@")
        if not at:
            return self._supervisor.host(caller.project, name, account)
        caller.check(Permission.APPS_DEPLOY)
        if not (version.isascii() and version.isdigit() and len(version) <= _MAX_DIGITS):
            raise NotFound(f"{model[:80]!r} names no version: write {APP_PREFIX}{name[:64]}@3.", param="model")
        number, project = int(version), caller.project
        # The caller of a job was checked when the job started, and a version that is running exists.
        if not (caller.is_background and self._supervisor.asked.runs(project, name, number)):
            manifest = await asyncio.to_thread(self._supervisor.manifest, project, f"{name}@{number}")
            if not caller.is_background:
                check_may_run(caller, manifest, is_open_to_projects=self._is_open_to_projects)
        return self._supervisor.version_host(project, name, number)

    def _depth(self, model: str, caller: Caller) -> int:
        """Return how many applications wait for this call's answer. Raises BadRequest for too many."""
        if caller.app is None:
            return 0
        depth = self._supervisor.depth_within(caller.key_id)
        if depth >= MAX_DEPTH:
            raise BadRequest(
                f"The app {caller.app} asks {model[:80]}, and {depth} applications wait for that already: they may ask"
                f" each other for ever. {MAX_DEPTH} may wait.",
                param="model",
            )
        return depth


def served_app(host: AppHost, process: AppProcess | None = None) -> ServedModel:
    """Return what is known of an application, as of a model."""
    wanted = host.wanted
    ref = (process or host.current or wanted).ref
    number = int(ref.rpartition("@")[2])
    return ServedModel(
        ref=f"{APP_PREFIX}{ref}", model=f"{APP_PREFIX}{wanted.app}", number=number, created_at=wanted.changed_at
    )


class AppBackend:
    """Runs one call as a run of an application."""

    adapter = None

    def __init__(
        self,
        host: AppHost,
        run: ApplicationRun,
        options: AppOptions,
        caller: Caller,
        depth: int,
        wait_seconds: float,
    ) -> None:
        self._host, self._run, self._options, self._caller = host, run, options, caller
        self._depth, self._wait_seconds = depth, wait_seconds
        self._process = host.current
        self.served: ServedModel = served_app(host)

    @property
    def replica_ref(self) -> str:
        """Applications of several projects have the same name."""
        project = self._caller.project
        return self.served.ref if project == OWNER else f"{project}/{self.served.ref}"

    async def check_generates(self) -> None:
        pass

    async def check_embeds(self) -> None:
        self._refuse()

    async def check_compares(self) -> bool:
        self._refuse()

    async def check_rates(self) -> None:
        self._refuse()

    async def check_counts(self) -> None:
        self._refuse()

    async def metadata(self) -> Metadata | None:
        return None

    async def ensure(self, *, wait: bool = False) -> None:
        """Wait for a process that is being started."""
        self._process = await self._host.ready(self._wait_seconds)
        self.served = served_app(self._host, self._process)

    async def generate(self, request: Generate, given: frozenset[str]) -> AsyncGenerator[Event, None]:
        """Run the conversation. What the application doesn't take is refused, or named as ignored."""
        process = self._process or await self._host.ready(self._wait_seconds)
        self._check(request, process)
        messages, ignored = _conversation(request)
        if request.sampling.stop:
            ignored.append("stop")
        with process.running(self._depth + 1):
            yield Started(request.id, 0, [*sorted(given), *ignored])
            if self._options.resumes is not None:
                result = await process.connection.resume(self._options.resumes)
                for last in self._end(request.id, result, has_text=False):
                    yield last
                return
            has_text = False
            events = process.connection.events(self._body(messages))
            async with aclosing(events):
                async for event in events:
                    if event.run is not None:
                        for last in self._end(request.id, event.run, has_text=has_text):
                            yield last
                    elif event.type == "text":
                        has_text = has_text or bool(event.text)
                        yield Delta(id=request.id, text=event.text)
                    elif self._options.on_event is not None:
                        self._options.on_event(event)
                        yield Delta(id=request.id)

    async def embed(self, request: Embed) -> Embedded:
        self._refuse()

    async def rate(self, command: Rate) -> Rated:
        self._refuse()

    async def count(self, request: Generate) -> int:
        self._refuse()

    async def tokenize(self, command: Tokenize) -> Tokenized:
        self._refuse()

    async def stop(self) -> None:
        self._refuse()

    def _end(self, id: str, result: RunResult, *, has_text: bool) -> Sequence[Event]:
        """Return the last events of a run."""
        self._run.result = result
        usage, text = result.usage, "" if has_text else result.text
        if result.state != "succeeded" and not text:
            text = f"The run {result.id} waits for {result.waits_for or 'its continuation'}."
        reason: Any = "length" if result.finish_reason == "length" else "stop"
        last = Delta(
            id=id,
            text=text,
            finish_reason=reason,
            num_output_tokens=usage.completion_tokens,
            num_cached_tokens=usage.cached_tokens,
        )
        return [Counted(id, usage.prompt_tokens), last]

    def _body(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        options, (*before, question) = self._options, messages
        input: Any = question
        if options.input is not None and question["content"] == text_of(options.input):
            input = options.input  # As JSON. A guardrail that changed it has made a text of it.
        return {
            "input": input,
            "before": before,
            "user": self._caller.user,
            "metadata": dict(options.metadata),
            "variables": dict(options.variables),
            "session": options.session,
            "dry_run": options.dry_run,
            "wait_seconds": options.wait_seconds,
            "keep": not self._caller.is_background,  # A case of an eval is no traffic.
            "recorded": options.recorded,
            "mocks": options.mocks,
            "effects": options.effects,
        }

    def _check(self, request: Generate, process: AppProcess) -> None:
        """Raise BadRequest for what an application doesn't do."""
        name, sampling = self._run.app, request.sampling
        if request.tools is not None:
            raise BadRequest(f"{name} has tools of its own. Leave `tools` out.", param="tools")
        if sampling.n > 1:
            raise BadRequest(f"{name} gives one answer to a request. Leave `n` out.", param="n")
        if sampling.logprobs is not None:
            raise BadRequest(f"{name} gives no log probabilities. Leave `logprobs` out.", param="logprobs")
        if request.grammar is not None and not _is_its_own(request.grammar, process.output_schema):
            raise BadRequest(
                f"{name} chooses the form of its answers. Leave `{request.grammar.field}` out.",
                param=request.grammar.field,
            )
        if request.continue_final_message or request.echo or request.suffix is not None or request.tokens is not None:
            raise BadRequest(
                f"{name} answers messages. It continues no text, and takes no tokens, `suffix` or `echo`.",
                param="prompt",
            )

    def _refuse(self) -> Never:
        raise BadRequest(
            f"{self._run.app} is an application, which answers questions and does nothing else.", param="model"
        )


def text_of(input: Any) -> str:
    """Return an input as the text that a model, or a guardrail, reads."""
    return input if isinstance(input, str) else msgspec.json.encode(input).decode()


def _conversation(request: Generate) -> tuple[Sequence[Mapping[str, Any]], list[str]]:
    """Return the messages, the question last, and what was left out. Raises BadRequest for one without a question."""
    if request.messages is None:
        text = request.user_text if request.user_text is not None else request.text
        return [{"role": "user", "content": text or ""}], []
    kept = [each for each in request.messages if each["role"] not in ("system", "developer")]
    if not kept or kept[-1]["role"] != "user":
        raise BadRequest("The last message must be the user's question.", param="messages")
    left_out = [_OWN_PROMPT] if len(kept) < len(request.messages) else []
    return [{**each, "content": _flat(each.get("content"))} for each in kept], left_out


def _flat(content: Any) -> Any:
    """Return content in parts as one text."""
    if not isinstance(content, list):
        return content
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))


def _is_its_own(grammar: Grammar, schema: Any) -> bool:
    """Return whether a caller asks for the form that the application's answers have anyway."""
    if grammar.kind == "json_object":
        return schema is not None
    return grammar.kind == "json_schema" and schema is not None and msgspec.json.decode(grammar.text) == schema
