"""The nouns of the Java client: the calls of each, from which generate.py makes a class with blocking calls and one with
futures.

A line of a noun is:  name | request | result | parameters | documentation

    request      METHOD /path/{parameter}; {parameter:ref} is the name of something with versions, whose @ and : stay
    result       a class of llmos.core.schemas; `each CLASS`: a list of them in `data`; `page CLASS`: the same with `next`;
                 `ids CLASS`: the same, where `after` is the id of the last one; `void`; `texts FIELD`: a list of texts
    parameters   body NAME:TYPE, query NAME:TYPE or all NAME:SETTINGS, separated by commas. TYPE? may be left out. A name
                 in Java that differs: NAME=JAVA:TYPE. `all` takes settings, whose values are the fields of the body; for
                 a GET, of the query
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Noun:
    name: str
    """The class in Java."""
    accessor: str
    """The method of the client that returns it; empty for a base class."""
    doc: str
    lines: str
    base: str = "Noun"
    root: str = ""
    """The path of the names of a noun with versions; otherwise empty."""
    written: tuple[str, ...] = field(default=())
    """Signatures of calls that the base class has in Java, for the class with futures."""


VERSIONED = """
aliases | GET {root}/{name:ref}/aliases | each AliasMoveDescription | | Returns the aliases of a name, each with its last move.
aliasHistory | GET {root}/{name:ref}/aliases/history | each AliasMoveDescription | | Returns the moves of all aliases, newest first.
setAlias | PUT {root}/{name:ref}/aliases/{alias} | AliasMoveDescription | body version:String, body expected:String? | Points an alias at a version. With `expected` only if it points there now; throws a conflict otherwise.
removeAlias | DELETE {root}/{name:ref}/aliases/{alias} | void | | Removes an alias. Throws a conflict if a deployment or a route uses it.
labels | GET {root}/{name:ref}/labels | LabelsDescription | | Returns the tags and the description of a name, or of a version.
changeLabels | PATCH {root}/{name:ref}/labels | LabelsDescription | body tags:Map<String,String>, body remove_tags:List<String>, body description:String? | Sets tags, removes others, and sets the description. Without one the description stays; an empty one removes it.
"""

_ROUTES = """
list | GET /llmos/v1/routes | each RouteDescription | | Returns the routes.
get | GET /llmos/v1/routes/{name} | RouteDescription | | Returns a route. Throws NotFoundException, with the nearest names, for an unknown one.
set | PUT /llmos/v1/routes/{name} | RouteDescription | body target:String, all settings:RouteSettings | Creates or replaces a route with one target: a model on the server, or remote:PROVIDER/MODEL. Takes effect with the next request.
set | PUT /llmos/v1/routes/{name} | RouteDescription | body targets:Weights, all settings:RouteSettings | Creates or replaces a route with several targets, and the percent of the calls that each gets.
setWeights | PUT /llmos/v1/routes/{name}/weights | RouteDescription | body targets:Weights, body reason:String | Changes the percent of the calls that each target gets.
history | GET /llmos/v1/routes/{name}/history | each RouteMove | | Returns the changes of a route, newest first.
evidence | GET /llmos/v1/routes/{name}/evidence | RouteEvidence | | Returns the outcomes of a route's calls, by target.
remove | DELETE /llmos/v1/routes/{name} | void | | Removes a route.
"""

_DEPLOYMENTS = """
list | GET /llmos/v1/deployments | each DeploymentDescription | | Returns the deployments, and the other versions that run.
get | GET /llmos/v1/deployments/{name:ref} | DeploymentDescription | | Returns a deployment. Throws NotFoundException for a version that isn't deployed.
deploy | PUT /llmos/v1/deployments/{name:ref} | DeploymentDescription | all settings:DeploymentSettings | Deploys a version, or changes its deployment. Returns at once; it may load for a while.
scale | POST /llmos/v1/deployments/{name:ref}/scale | DeploymentDescription | body replicas:long | Changes the number of replicas.
scaleBetween | POST /llmos/v1/deployments/{name:ref}/scale | DeploymentDescription | body min_replicas:long, body max_replicas:long | Sets between which numbers the replicas follow the load.
stop | POST /llmos/v1/deployments/{name:ref}/sleep | DeploymentDescription | | Unloads a version after its running requests finish; the next request loads it again.
wake | POST /llmos/v1/deployments/{name:ref}/wake | DeploymentDescription | | Loads a version that is asleep.
history | GET /llmos/v1/deployments/{name:ref}/history | each DeploymentEventDescription | | Returns what happened to a deployment, newest first.
remove | DELETE /llmos/v1/deployments/{name:ref} | void | | Undeploys a version, and stops it after its running requests finish.
"""

_ROLLOUTS = """
list | GET /llmos/v1/rollouts | each RolloutDescription | query route:String? | Returns the rollouts, newest first: all, or those of one route.
get | GET /llmos/v1/rollouts/{id:long} | RolloutDescription | | Returns a rollout.
promote | POST /llmos/v1/rollouts | RolloutDescription | body version:String, body route:String, all settings:RolloutSettings | Lets a version take a route over, step by step.
history | GET /llmos/v1/rollouts/{id:long}/history | each RolloutEventDescription | | Returns the events of a rollout, oldest first.
rollBack | DELETE /llmos/v1/routes/{route}/rollout | RolloutDescription | | Undoes a route's last rollout at once.
"""

_JOBS = """
start | POST /llmos/v1/jobs | JobDescription | body kind:String, all fields:Map<String,?> | Starts a job and returns it: pull, push, quantize, prune, card, encrypt, verify or replay, with the fields of its kind.
list | GET /llmos/v1/jobs | ids JobDescription | query kind:String?, query state:String? | Returns the jobs, newest first.
get | GET /llmos/v1/jobs/{id} | JobDescription | | Returns a job.
cancel | POST /llmos/v1/jobs/{id}/cancel | JobDescription | | Cancels a job. Throws a conflict if it has ended.
"""

_ANSWERS = """
list | GET /llmos/v1/answers | page AnswerSummary | all filters:AnswerFilters | Returns the answers that were given, newest first.
get | GET /llmos/v1/answers/{id} | AnswerDetails | | Returns what is known of an answer, by its id or by that of its request.
"""

_FEEDBACK = """
give | POST /llmos/v1/feedback | FeedbackDescription | body answer:String, all fields:FeedbackFields | Says what you think of an answer, in place of what this key has said of it before.
list | GET /llmos/v1/feedback | page FeedbackDescription | all filters:FeedbackFilters | Returns the project's feedback, newest first.
export | POST /llmos/v1/feedback/export | DatasetDescription | body dataset:String, body kind:String | Makes a version of a dataset out of the feedback. kind: preference, or chat: good answers alone.
remove | DELETE /llmos/v1/feedback/{id} | void | | Takes back what this key has said.
"""

_DATASETS = """
list | GET /llmos/v1/datasets | each DatasetDescription | | Returns every version.
get | GET /llmos/v1/datasets/{name:ref} | DatasetDetails | | Returns a version with its aliases, siblings and parents.
remove | DELETE /llmos/v1/datasets/{name:ref} | RemovalDescription | | Removes a dataset (NAME), a version (NAME@3) or an alias (NAME:ALIAS).
rows | GET /llmos/v1/datasets/{name:ref}/rows | each RowDescription | query limit:Long?, query skip:Long? | Returns rows: the first ten, or others.
query | POST /llmos/v1/datasets/{name:ref}/query | QueryDescription | body sql:String, body limit:Long? | Returns the result of one SELECT on the table `rows`.
diff | GET /llmos/v1/datasets/{older:ref}/diff | DifferenceDescription | query to=newer:String, query limit:Long? | Returns which rows only one of two versions has, and why they went.
addAnswers | POST /llmos/v1/datasets/{name:ref}/answers | DatasetDescription | body answers:List<String>, body consent:String? | Makes the next version, with the conversations of stored answers as rows.
report | GET /llmos/v1/datasets/{name:ref}/report | map | query tokens:String?, query samples:Long?, query mask:Boolean? | Returns what a version has: its rows by column, their lengths, and where it came from.
"""

_KNOWLEDGE = """
list | GET /llmos/v1/knowledge | each KnowledgeDescription | | Returns every version.
get | GET /llmos/v1/knowledge/{name:ref} | KnowledgeDetails | | Returns a version with its aliases and siblings.
remove | DELETE /llmos/v1/knowledge/{name:ref} | RemovalDescription | | Removes everything under a name (NAME), a version (NAME@3) or an alias (NAME:ALIAS).
search | POST /llmos/v1/knowledge/{name:ref}/search | SearchDescription | body query:String, all settings:SearchSettings | Returns the passages that fit a question best, best first.
passage | GET /llmos/v1/knowledge/{name:ref}/documents/{document:path} | Citation | query start:Long?, query end:Long? | Returns the passage that a citation points to, or without a span the whole text of a document.
removeDocuments | POST /llmos/v1/knowledge/{name:ref}/remove-documents | KnowledgeDescription | body documents:List<String> | Returns a new version without these documents of the newest one.
evaluation | GET /llmos/v1/knowledge/{name:ref}/evaluation | map | | Returns the last evaluation of a version.
"""

_APPS = """
list | GET /llmos/v1/apps | each AppDescription | | Returns every version.
get | GET /llmos/v1/apps/{name:ref} | AppVersionDescription | | Returns a version with its files and app.yaml.
diff | GET /llmos/v1/apps/{older:ref}/diff | map | query to=newer:String | Returns the files, the fields of app.yaml and the prompts that differ.
remove | DELETE /llmos/v1/apps/{name:ref} | RemovalDescription | | Removes an application (NAME), a version (NAME@3) or an alias (NAME:ALIAS).
deploy | POST /llmos/v1/apps/{name:ref}/deploy | AppDeploymentDescription | body version:Long?, body alias:String? | Lets the server run a version, by default the newest. Returns when it answers, or can't.
stop | POST /llmos/v1/apps/{name:ref}/stop | AppDeploymentDescription | | Ends an application with its last run.
deployment | GET /llmos/v1/apps/{name:ref}/deployment | AppDeploymentDescription | | Returns what is deployed, and how it is.
deployments | GET /llmos/v1/app-deployments | each AppDeploymentDescription | | Returns the applications that were deployed.
run | POST /llmos/v1/apps/{name:ref}/runs | RunResult | body input:Object, all settings:RunSettings | Returns the answer to an input, or the run that waits.
resume | POST /llmos/v1/apps/{name:ref}/runs/{run}/resume | RunResult | body value:Object? | Continues a run. The value is what it waits for, such as true for an approval.
"""

_EVALS = """
start | POST /llmos/v1/evals | EvalRunDescription | body suite:Map<String,?>, body models:List<String>, body repeat:Long? | Starts a run of a suite, whose job can be followed.
startOn | POST /llmos/v1/evals | EvalRunDescription | body dataset:String, body models:List<String>, body repeat:Long? | Starts a run of a dataset of cases.
list | GET /llmos/v1/evals | each EvalRunDescription | query suite:String?, query limit:Long? | Returns runs, newest first, without their cases.
get | GET /llmos/v1/evals/{id} | EvalRunDetails | | Returns a run with every case and answer, also while it runs.
compare | GET /llmos/v1/evals/{first}/comparison | EvalComparisonDescription | query to=second:String, query not_worse_by:Double? | Compares two runs of the same cases: is the first better?
remove | DELETE /llmos/v1/evals/{id} | EvalRunDescription | | Removes a run with its answers, and returns what it was.
"""

NOUNS: tuple[Noun, ...] = (
    Noun("VersionedNoun", "", "Base of the nouns with versions: their aliases and labels.", VERSIONED),
    Noun("Routes", "routes", "The names that callers ask for.", _ROUTES),
    Noun("Deployments", "deployments", "The versions that the server runs.", _DEPLOYMENTS),
    Noun("Rollouts", "rollouts", "Routes that move to another version, in steps, on evidence.", _ROLLOUTS),
    Noun(
        "Jobs",
        "jobs",
        "Long work on the server. It goes on whether or not a client follows it.",
        _JOBS,
        base="JobCalls",
        written=("EventStream<JobDescription> follow(String id)",),
    ),
    Noun("GivenAnswers", "answers", "The answers that a server has given: their facts.", _ANSWERS),
    Noun("Feedback", "feedback", "The opinions of persons on answers.", _FEEDBACK),
    Noun(
        "Datasets",
        "datasets",
        "The datasets of the key's project. A name is NAME, NAME:ALIAS or NAME@NUMBER.",
        _DATASETS,
        base="DatasetFiles",
        root="/llmos/v1/datasets",
        written=(
            "PreviewDescription preview(Path path, Consumer<ImportSettings> settings)",
            "DatasetDescription importPath(Path path, String name)",
            "DatasetDescription importPath(Path path, String name, Consumer<ImportSettings> settings)",
            "DatasetDescription importLocation(String location, String name, Consumer<ImportSettings> settings)",
            "DatasetDescription clean(String name, List<Map<String, Object>> operators)",
            "Map<String, Object> check(String name, List<Map<String, Object>> operators)",
            "Path export(String name, Path file)",
        ),
    ),
    Noun(
        "Knowledge",
        "knowledge",
        "The knowledge of the key's project. A name is NAME, NAME:ALIAS or NAME@NUMBER.",
        _KNOWLEDGE,
        base="KnowledgeFiles",
        root="/llmos/v1/knowledge",
        written=(
            "KnowledgeDescription add(String name, List<Path> paths)",
            "KnowledgeDescription add(String name, List<Path> paths, Consumer<AddSettings> settings)",
            "KnowledgeDescription sync(String name, Path folder)",
            "KnowledgeDescription sync(String name, Path folder, Consumer<AddSettings> settings)",
            "Map<String, Object> evaluate(String name, String cases)",
            "Page<DocumentDescription> documents(String name)",
        ),
    ),
    Noun(
        "Apps",
        "apps",
        "The applications of the key's project: their versions, what is deployed, and their runs.",
        _APPS,
        base="AppCalls",
        root="/llmos/v1/apps",
        written=(
            "EventStream<RunEvent> stream(String name, Object input)",
            "EventStream<RunEvent> stream(String name, Object input, Consumer<RunSettings> settings)",
            "EventStream<String> logs(String name, long lines, boolean follow)",
        ),
    ),
    Noun(
        "Evals",
        "evals",
        "Runs of suites of cases, with verdicts.",
        _EVALS,
        base="EvalCalls",
        written=("EvalRunDetails run(Map<String, ?> suite, List<String> models)",),
    ),
)

SETTINGS = (
    "RouteSettings",
    "DeploymentSettings",
    "RolloutSettings",
    "AnswerFilters",
    "FeedbackFields",
    "FeedbackFilters",
    "ImportSettings",
    "AddSettings",
    "SearchSettings",
    "RunSettings",
)
"""The settings that calls take: dictionaries with types in the Python client."""

MORE_SCHEMAS = (
    "ModelDescription",
    "VersionDetails",
    "CatalogEntryDescription",
    "LikelihoodDescription",
    "PreviewDescription",
    "DocumentDescription",
    "RunEvent",
)
"""Schemas that the calls written in Java return."""
