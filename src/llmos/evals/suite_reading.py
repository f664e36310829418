"""Reading suites: from YAML, whose errors name file and line, and from documents that a caller sends.

    name: support
    model: smollm2
    prompt: "Answer in one word: {{input}}"
    cases:
      - {id: capital, input: "What is the capital of France?", expect: {contains: Paris, max_tokens: 20}}
    gates: {pass_rate: 0.8, beats_baseline: true}

A list of cases alone is a suite, too.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from llmos.core.errors import BadRequest
from llmos.core.names import check_name
from llmos.core.schemas.runs import CallMock
from llmos.core.suggest import nearest
from llmos.core.yaml_text import Path, read_yaml_with_lines
from llmos.evals.answers import Answer
from llmos.evals.checks import Check, Subject, read_check
from llmos.evals.judge_reading import read_judges
from llmos.evals.suites import DEFAULT_MAX_TOKENS, Case, Gates, Suite

MAX_CASES = 20_000
MAX_BYTES = 8 << 20
MAX_REPEATS = 100
MAX_RUN_ID = 64

_FIELDS = (
    "name", "description", "model", "system", "prompt", "sampling", "tools", "tool_choice", "response_format",
    "checks", "judges", "gates", "cases", "repeat", "variables", "effects",
)  # fmt: skip
_CASE_FIELDS = ("id", "input", "expect", "checks", "variables", "expected", "threshold", "replays", "mocks")
_SAMPLING = ("temperature", "max_tokens", "top_p", "top_k", "min_p", "seed", "stop", "presence_penalty",
             "frequency_penalty", "repetition_penalty", "chat_template_kwargs", "reasoning_effort")  # fmt: skip
_MOCK_FIELDS = ("tool", "arguments", "result", "error")
_GATES = ("all_pass", "pass_rate", "must_pass", "beats_baseline", "not_worse_by")
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Places:
    """Names the places in a suite for errors."""

    source: str
    lines: Mapping[Path, int] = field(default_factory=dict)

    def at(self, *path: str | int) -> str:
        if (line := self.lines.get(path)) is not None:
            return f"{self.source}, line {line}"
        if path and path[0] == "cases" and len(path) > 1:
            return f"{self.source}, case {int(path[1]) + 1}"
        return self.source

    def check_fields(self, value: Any, known: Sequence[str], *path: str | int) -> dict[str, Any]:
        """Return an object. Raises BadRequest for what is none, and for an unknown field, with the nearest one."""
        if not isinstance(value, dict):
            raise BadRequest(f"{self.at(*path)}: this must be an object with some of {', '.join(known)}.")
        for name in value:
            if name not in known:
                near = nearest(str(name), known, 1)
                advice = f"Did you mean `{near[0]}`?" if near else f"There are {', '.join(known)}."
                raise BadRequest(f"{self.at(*path, name)}: there is no field `{name:.40}` here. {advice}")
        return value


def read_suite(text: str, source: str, name: str | None = None) -> Suite:
    """Return the suite in a YAML text. `name`: if it has none of its own. Raises BadRequest that names the line."""
    document, lines = read_yaml_with_lines(text, source, MAX_BYTES)
    if isinstance(document, list):
        document = {"cases": document}
        lines = {("cases", *path): line for path, line in lines.items()}
    if document is None:
        raise BadRequest(f"{source} is empty. A suite has `cases`, each with `id`, `input` and `expect`.")
    return parse_suite(document, source, lines=lines, name=name)


def parse_suite(
    document: Any, source: str, *, lines: Mapping[Path, int] | None = None, name: str | None = None
) -> Suite:
    """Return the suite that a document is. Raises BadRequest for one that can't be run."""
    places = Places(source, lines or {})
    fields = places.check_fields(document, _FIELDS)
    given_name = fields.get("name", name or "suite")
    if not isinstance(given_name, str):
        raise BadRequest(f"{places.at('name')}: `name` must be a text.")
    check_name(given_name, "a suite")
    cases = _read_cases(fields, places)
    judges = read_judges(fields.get("judges", {}), places)
    _check_judges(cases, judges, places)
    content = {**{key: each for key, each in fields.items() if key != "description"}, "name": given_name}
    return Suite(
        name=given_name,
        cases=cases,
        digest=_digest(content),
        document=content,
        model=_text(fields, "model", places),
        system=_text(fields, "system", places),
        prompt=_text(fields, "prompt", places) or "{{input}}",
        options=_read_options(fields, places),
        judges=judges,
        gates=_read_gates(fields.get("gates", {}), cases, places),
        repeat=_read_repeat(fields.get("repeat", 1), places),
        effects=_read_flag(fields, "effects", places),
    )


def suite_name(file: str) -> str:
    """Return a name that a suite may have, of the path of its file."""
    stem = file.rpartition("/")[2].rpartition(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:64] or "suite"


def _digest(document: Mapping[str, Any]) -> str:
    try:
        encoded = msgspec.json.encode(document, order="deterministic")
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"The suite has a value that JSON can't hold: {error}.") from None
    return f"sha256:{hashlib.sha256(encoded).hexdigest()}"


def _read_cases(fields: Mapping[str, Any], places: Places) -> list[Case]:
    given = fields.get("cases")
    if not isinstance(given, list):
        raise BadRequest(f"{places.at('cases')}: `cases` must be a list, each with `id`, `input` and `expect`.")
    if not given:
        raise BadRequest(f"{places.at('cases')}: there are no cases. Add some, each with `id`, `input` and `expect`.")
    if len(given) > MAX_CASES:
        raise BadRequest(f"{places.source} has {len(given):,} cases; {MAX_CASES:,} are allowed. Take a sample of them.")
    variables = _variables(fields, places)
    common = fields.get("checks", [])
    known: dict[str, int] = {}
    cases = []
    for index, value in enumerate(given):
        case = _read_case(value, index, common, variables, places)
        if (before := known.setdefault(case.id, index)) != index:
            raise BadRequest(
                f"{places.at('cases', index)}: the id {case.id!r:.80} is taken by the case at"
                f" {places.at('cases', before).removeprefix(f'{places.source}, ')}. Each case needs its own."
            )
        cases.append(case)
    return cases


def _read_case(value: Any, index: int, common: Any, variables: Mapping[str, Any], places: Places) -> Case:
    path = ("cases", index)
    fields = places.check_fields(value, _CASE_FIELDS, *path)
    where = places.at(*path)
    id = fields.get("id")
    if not isinstance(id, str) or not id or len(id) > 128 or not id.isprintable():
        raise BadRequest(f"{where}: a case needs an `id`, a text of 1 to 128 characters.")
    if "input" not in fields:
        raise BadRequest(f"{where}: the case {id!r} has no `input`.")
    own = {**variables, **_variables(fields, places, *path)}
    names = {**own, "input": fields["input"], "expected": fields.get("expected")}
    expect, own_checks = fields.get("expect", {}), fields.get("checks", [])
    if not isinstance(expect, dict):
        raise BadRequest(f"{places.at(*path, 'expect')}: `expect` must be an object, such as {{contains: two years}}.")
    checks: list[Check] = []
    for key, each in expect.items():
        checks += read_check(str(key), filled(each, names), places.at(*path, "expect", key))
    checks += _read_list(own_checks, names, places, (*path, "checks"))
    checks += _read_list(common, names, places, ("checks",))
    if not any(check.weight for check in checks):
        raise BadRequest(f"{where}: the case {id!r} checks nothing. Give it `expect`, such as {{contains: two years}}.")
    threshold = fields.get("threshold", 1.0)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 < threshold <= 1:
        raise BadRequest(f"{where}: `threshold` must be a share above 0, and at most 1.")
    if threshold == 1:
        _check_possible(id, checks, where)
    return Case(
        id=id,
        input=fields["input"],
        checks=checks,
        variables=own,
        expected=fields.get("expected"),
        replays=_replays(fields, where),
        mocks=_read_mocks(fields, places, path),
        threshold=float(threshold),
    )


def _replays(fields: Mapping[str, Any], where: str) -> str:
    run = fields.get("replays", "")
    if not isinstance(run, str) or len(run) > MAX_RUN_ID:
        raise BadRequest(f"{where}: `replays` must be the id of a run of the application, such as run-1234.")
    return run


def _read_mocks(fields: Mapping[str, Any], places: Places, path: Path) -> list[CallMock]:
    given = fields.get("mocks", [])
    if not isinstance(given, list):
        raise BadRequest(
            f"{places.at(*path, 'mocks')}: `mocks` must be a list, such as [{{tool: order, result: sent}}]."
        )
    if given and fields.get("replays"):
        raise BadRequest(f"{places.at(*path, 'mocks')}: a case has `mocks` or `replays`, not both.")
    mocks = []
    for index, each in enumerate(given):
        where = places.at(*path, "mocks", index)
        mock = places.check_fields(each, _MOCK_FIELDS, *path, "mocks", index)
        if not isinstance(mock.get("tool"), str) or not mock["tool"]:
            raise BadRequest(f"{where}: a mock needs `tool`, the name of a tool or of a step.")
        if ("result" in mock) == ("error" in mock):
            raise BadRequest(f"{where}: a mock needs either `result` or `error`.")
        try:
            mocks.append(msgspec.convert(mock, CallMock))
        except msgspec.ValidationError as error:
            raise BadRequest(f"{where}: {error}.") from None
    return mocks


def _read_list(given: Any, names: Mapping[str, Any], places: Places, path: Path) -> list[Check]:
    if not isinstance(given, list):
        raise BadRequest(f"{places.at(*path)}: `checks` must be a list, such as [contains: two years].")
    checks: list[Check] = []
    for index, each in enumerate(given):
        where = places.at(*path, index)
        named = {key: value for key, value in each.items() if key != "weight"} if isinstance(each, dict) else {}
        if len(named) != 1:
            raise BadRequest(f"{where}: a check is one name with its value, and maybe a `weight`: contains: two years.")
        [(name, value)] = named.items()
        checks += read_check(str(name), filled(value, names), where, weight=each.get("weight", 1))
    return checks


def _check_possible(id: str, checks: Sequence[Check], where: str) -> None:
    """Raise BadRequest for checks of which one excludes another, so that no answer passes."""
    texts = [check for check in checks if check.kind.is_of_text and check.weight]
    for check in texts:
        opposite = next((e for e in texts if _is_same(e, check) and e.negated != check.negated), None)
        if opposite is not None:
            raise BadRequest(f"{where}: no answer passes {id!r}: `{check.name}` and `{opposite.name}` are opposites.")
    exact = next((check for check in texts if check.kind.name == "equals" and not check.negated), None)
    if exact is None:
        return
    for check in texts:
        finding = check.find(Subject(answer=Answer(text=exact.value)))
        if not finding.holds:
            raise BadRequest(
                f"{where}: no answer passes {id!r}: what `equals` asks for fails `{check.name}` ({finding.text})."
            )


def _is_same(one: Check, other: Check) -> bool:
    return one.kind is other.kind and getattr(one.value, "text", one.value) == getattr(other.value, "text", other.value)


def _check_judges(cases: Sequence[Case], judges: Mapping[str, Any], places: Places) -> None:
    for index, case in enumerate(cases):
        for check in case.checks:
            if check.kind.name == "judge" and check.value not in judges:
                near = nearest(check.value, judges, 1)
                advice = f"Did you mean {near[0]!r}?" if near else "`judges` says who they are."
                raise BadRequest(f"{places.at('cases', index)}: there is no judge {check.value!r:.80}. {advice}")


def _variables(fields: Mapping[str, Any], places: Places, *path: str | int) -> dict[str, Any]:
    value = fields.get("variables", {})
    if not isinstance(value, dict):
        raise BadRequest(f"{places.at(*path, 'variables')}: `variables` must be an object.")
    return value


def _text(fields: Mapping[str, Any], name: str, places: Places) -> str | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{places.at(name)}: `{name}` must be a text.")
    return value


def _read_options(fields: Mapping[str, Any], places: Places) -> dict[str, Any]:
    sampling = places.check_fields(fields.get("sampling", {}), _SAMPLING, "sampling")
    others = {name: fields[name] for name in ("tools", "tool_choice", "response_format") if name in fields}
    return {"max_tokens": DEFAULT_MAX_TOKENS, **sampling, **others}


def _read_gates(given: Any, cases: Sequence[Case], places: Places) -> Gates:
    fields = places.check_fields(given, _GATES, "gates")
    try:
        gates = msgspec.convert(fields, Gates)
    except msgspec.ValidationError as error:
        raise BadRequest(f"{places.at('gates')}: {error}.") from None
    for name in ("pass_rate", "not_worse_by"):
        share = getattr(gates, name)
        if share is not None and not 0 <= share < 1:
            hint = " Use `all_pass: true` if every case must pass." if share == 1 else ""
            raise BadRequest(f"{places.at('gates', name)}: `{name}` is {share:g}, and must be a share below 1.{hint}")
    ids = [case.id for case in cases]
    for id in gates.must_pass:
        if id not in ids:
            near = nearest(id, ids, 1)
            raise BadRequest(
                f"{places.at('gates', 'must_pass')}: there is no case {id!r:.80}."
                f"{f' Did you mean {near[0]!r}?' if near else ''}"
            )
    return gates


def _read_flag(fields: Mapping[str, Any], name: str, places: Places) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{places.at(name)}: `{name}` must be true or false.")
    return value


def _read_repeat(value: Any, places: Places) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_REPEATS:
        raise BadRequest(f"{places.at('repeat')}: `repeat` must be a whole number from 1 to {MAX_REPEATS}.")
    return value


def filled(value: Any, names: Mapping[str, Any]) -> Any:
    """Return a value whose texts have the values of {{names}} that are known. Others stay as they are."""
    if isinstance(value, str):
        whole = _VARIABLE.fullmatch(value)
        if whole is not None and whole[1] in names:
            return names[whole[1]]

        def written(match: re.Match[str]) -> str:
            if match[1] not in names:
                return match[0]
            found = names[match[1]]
            return found if isinstance(found, str) else msgspec.json.encode(found).decode()

        return _VARIABLE.sub(written, value)
    if isinstance(value, list):
        return [filled(each, names) for each in value]
    if isinstance(value, dict):
        return {key: filled(each, names) for key, each in value.items()}
    return value
