"""AppManifest: what app.yaml says about an application."""

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
    """The knowledge that it answers from. The options are those of `llmos.apps.Knowledge`."""

    name: str
    documents: str | None = None
    """A folder of the application, whose documents `llmos app deploy` puts on the server."""
    questions: str | None = None
    """A file of cases: questions with the document that answers each, or null. The knowledge is evaluated with them,
    so that the application abstains below the threshold that this finds."""
    top_k: Annotated[int, Meta(ge=1, le=100)] = 5
    answer: Literal["quote", "compose"] = "quote"
    unsupported: Literal["drop", "mark"] = "drop"
    abstain: _Text | None = None
    filters: dict[str, Any] | None = None
    reranker: str | None = None


class LimitsManifest(_Part, frozen=True, kw_only=True):
    """The limits of one run. The options are those of `llmos.apps.Limits`."""

    steps: _Count = 8
    tokens: _Count | None = None
    seconds: _Seconds | None = None
    parallel: Annotated[int, Meta(ge=1, le=1024)] = 32


class HistoryManifest(_Part, frozen=True, kw_only=True):
    """The treatment of a session that doesn't fit any more. The options are those of `llmos.apps.History`."""

    overflow: Literal["error", "oldest", "summary"] = "error"
    answer_tokens: _Count = 512
    kept: Annotated[float, Meta(gt=0, le=1)] = 0.5


class WebhookHandoff(_Part, frozen=True, kw_only=True):
    """The address for questions that the application doesn't answer."""

    webhook: Annotated[str, Meta(pattern=r"^https?://", max_length=2048)]


class RolloutManifest(_Part, frozen=True, kw_only=True):
    """The steps in which `llmos apply` lets a version take over, and the condition for each."""

    steps: list[Annotated[float, Meta(gt=0, le=100)]] = field(default_factory=lambda: [10.0, 50.0, 100.0])
    """Percents of the callers, rising to 100."""
    gate: Annotated[str, Meta(max_length=1024)] = "error_rate <= 1% and p95_seconds <= 1.5x"
    """See `deployments/rollouts/gates.py`."""
    min_runs: Annotated[int, Meta(ge=1, le=4000)] = 20
    """The runs that a step needs before it is judged."""
    max_hold_seconds: _Count | None = None
    """A step that can't be judged within this time is rolled back."""


class GatesManifest(_Part, frozen=True, kw_only=True):
    """The requirements for suites that have no `gates` of their own. See `evals/suites.py`."""

    all_pass: bool = False
    pass_rate: Annotated[float, Meta(ge=0, lt=1)] | None = None
    beats_baseline: bool = False
    not_worse_by: Annotated[float, Meta(ge=0, lt=1)] | None = None
    """The deployed version is asked the same cases, and the new one's share may be smaller by so much."""


class AppManifest(_Part, frozen=True, kw_only=True):
    """An application, as its folder describes it."""

    name: Name
    description: _Text = ""
    model: Annotated[str, Meta(min_length=1, max_length=256)] = "dialogue"
    """A route or a model."""
    models: list[str] = field(default_factory=list)
    """Others that it may ask."""
    prompt: str | PromptReference = ""
    """A text, a file of the folder (.md, .txt), or a prompt of the server."""
    variables: dict[str, str | int | float | bool] = field(default_factory=dict)
    """Values of the prompt's and the brain's variables that a run doesn't give."""
    knowledge: KnowledgeManifest | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """Those of sampling."""
    limits: LimitsManifest = LimitsManifest()
    history: HistoryManifest = HistoryManifest()
    handoff: Literal["queue"] | WebhookHandoff | None = None
    """Who is told about questions that the documents don't answer."""
    permissions: list[str] = field(default_factory=list)
    """Of its key on a server, beside those that every application has."""
    environment: list[Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = field(default_factory=list)
    """The names of environment variables that its process on a server gets."""
    mcp: dict[Name, McpServer] = field(default_factory=dict)
    guardrails: str | None = None
    """A file of the folder with a guardrail policy, which holds for every question and answer."""
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None
    """How long its sessions and runs are kept. Without it, as long as the server keeps them."""
    memory_mb: Annotated[int, Meta(ge=64)] = 512
    """The limit of its process on a server."""
    disclaimer: _Text = ""
    """A sentence behind every answer. The program adds it, and no model writes it."""

    evals: list[Annotated[str, Meta(min_length=1, max_length=256)]] = field(default_factory=list)
    """The suites that a version must pass before `llmos apply` releases it: files of the folder (.yaml), or datasets
    of the kind case."""
    gates: GatesManifest | None = None
    """The requirements for those of them that have none. Without any, every case must pass."""
    consent: Literal["none", "eval"] = "none"
    """What those who ask it have agreed to. `eval`: their runs may be asked again, as `llmos plan --replay` does."""
    rollout: RolloutManifest | None = None
    """The steps in which `llmos apply` lets a version take over. Without it, at once."""
    environments: dict[Name, dict[str, Any] | None] = field(default_factory=dict)
    """Fields that have other values in an environment, such as prod; see core/app_environments.py."""

    @property
    def knowledge_names(self) -> list[str]:
        return [] if self.knowledge is None else [self.knowledge.name]
