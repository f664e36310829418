"""AppManifest: the content of app.yaml, which describes an application."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from llmos.core.schemas.mcp_servers import McpServer

Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
_Text = Annotated[str, Meta(max_length=4096)]
_Count = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class PromptReference(_Part, frozen=True, kw_only=True):
    """A prompt that the server keeps."""

    name: str
    version: _Count | None = None
    alias: str | None = None

    @property
    def reference(self) -> str:
        """NAME, NAME@NUMBER or NAME:ALIAS."""
        if self.version is not None:
            return f"{self.name}@{self.version}"
        return self.name if self.alias is None else f"{self.name}:{self.alias}"


class KnowledgeManifest(_Part, frozen=True, kw_only=True):
    """The knowledge that the application answers from, with the options of `llmos.apps.Knowledge`."""

    name: str
    documents: str | None = None
    """A subfolder whose documents `llmos app deploy` uploads to the server."""
    questions: str | None = None
    """A file of cases: questions with the document that answers each, or null. The knowledge is evaluated with them,
    and the application abstains below the threshold that the evaluation finds."""
    top_k: Annotated[int, Meta(ge=1, le=100)] = 5
    answer: Literal["quote", "compose"] = "quote"
    unsupported: Literal["drop", "mark"] = "drop"
    abstain: _Text | None = None
    filters: dict[str, Any] | None = None
    reranker: str | None = None


class LimitsManifest(_Part, frozen=True, kw_only=True):
    """The limits of one run, with the options of `llmos.apps.Limits`."""

    steps: _Count = 8
    tokens: _Count | None = None
    seconds: _Seconds | None = None
    parallel: Annotated[int, Meta(ge=1, le=1024)] = 32


class HistoryManifest(_Part, frozen=True, kw_only=True):
    """The treatment of a session that has become too long for the model, with the options of `llmos.apps.History`."""

    overflow: Literal["error", "oldest", "summary"] = "error"
    answer_tokens: _Count = 512
    kept: Annotated[float, Meta(gt=0, le=1)] = 0.5


class WebhookHandoff(_Part, frozen=True, kw_only=True):
    """The address for questions that the application doesn't answer."""

    webhook: Annotated[str, Meta(pattern=r"^https?://", max_length=2048)]


class RolloutManifest(_Part, frozen=True, kw_only=True):
    """The steps in which `llmos apply` lets a version take over, and the condition for each."""

    steps: list[Annotated[float, Meta(gt=0, le=100)]] = field(default_factory=lambda: [10.0, 50.0, 100.0])
    """Percentages of the callers, rising to 100."""
    gate: Annotated[str, Meta(max_length=1024)] = "error_rate <= 1% and p95_seconds <= 1.5x"
    """The condition that a step must meet; the syntax is described in `deployments/rollouts/gates.py`."""
    min_runs: Annotated[int, Meta(ge=1, le=4000)] = 20
    """The number of runs that a step needs before it is judged."""
    max_hold_seconds: _Count | None = None
    """The seconds after which a step that couldn't be judged is rolled back."""


class GatesManifest(_Part, frozen=True, kw_only=True):
    """The requirements for suites without `gates` of their own; see `evals/suites.py`."""

    all_pass: bool = False
    pass_rate: Annotated[float, Meta(ge=0, lt=1)] | None = None
    beats_baseline: bool = False
    not_worse_by: Annotated[float, Meta(ge=0, lt=1)] | None = None
    """The share of passed cases may be smaller by this much than the deployed version's on the same cases."""


class AppManifest(_Part, frozen=True, kw_only=True):
    """The description of an application in its folder."""

    name: Name
    description: _Text = ""
    model: Annotated[str, Meta(min_length=1, max_length=256)] = "dialogue"
    """A route or a model."""
    models: list[str] = field(default_factory=list)
    """Further routes and models that the application may call."""
    prompt: str | PromptReference = ""
    """A text, a file of the folder (.md or .txt), or a prompt that is stored on the server."""
    variables: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Values for variables of the prompt and of `brain` that a run doesn't set."""
    knowledge: KnowledgeManifest | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """The sampling options, such as temperature."""
    limits: LimitsManifest = LimitsManifest()
    history: HistoryManifest = HistoryManifest()
    handoff: Literal["queue"] | WebhookHandoff | None = None
    """The receiver of questions that the documents don't answer: the queue of handoffs on the server, or a webhook."""
    permissions: list[str] = field(default_factory=list)
    """Permissions of the application's key on a server, besides those that every application has."""
    environment: list[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = field(default_factory=list)
    """The names of the server's environment variables that are passed to the application's process."""
    mcp: dict[Name, McpServer] = field(default_factory=dict)
    guardrails: str | None = None
    """A file of the folder with a guardrail policy, which screens every question and answer."""
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    """The number of days for which its sessions and runs are stored; by default, as long as the server stores them."""
    memory_mb: Annotated[int, Meta(ge=64)] = 512
    """The memory limit of the application's process on a server, in MiB."""
    disclaimer: _Text = ""
    """A sentence that is appended to every answer by the program, without a model."""

    evals: list[Annotated[str, Meta(min_length=1, max_length=256)]] = field(default_factory=list)
    """The suites that a version must pass before `llmos apply` releases it: files of the folder (.yaml), or datasets
    of the kind case."""
    gates: GatesManifest | None = None
    """The requirements for suites that state none. Without any requirement, every case must pass."""
    consent: Literal["none", "eval"] = "none"
    """The use of recorded runs that the users have consented to. `eval`: their inputs may be run again, as
    `llmos plan --replay` does."""
    rollout: RolloutManifest | None = None
    """The steps in which `llmos apply` lets a version take over; without it, a version takes over at once."""
    environments: dict[Name, dict[str, Any] | None] = field(default_factory=dict)
    """Fields with different values in an environment such as prod; see core/app_environments.py."""

    @property
    def knowledge_names(self) -> list[str]:
        return [] if self.knowledge is None else [self.knowledge.name]
