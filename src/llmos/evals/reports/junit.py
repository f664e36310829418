"""JUnit XML, as GitHub, GitLab and Jenkins read it: a suite of tests for each model, and one of the gates."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from llmos.core.schemas.evals import EvalCaseDescription, EvalRunDetails

_ANSWER_LENGTH = 2_000


def junit_xml(run: EvalRunDetails) -> str:
    """Return the XML. An error is an error, an undecided gate is a failure."""
    root = Element("testsuites", name=_clean(run.suite))
    for model in run.models:
        _add_model(root, run, model, [case for case in run.cases if case.model == model])
    if run.gates:
        num_failed = sum(gate.state != "passed" for gate in run.gates)
        suite = SubElement(root, "testsuite", name="gates", tests=str(len(run.gates)), failures=str(num_failed))
        for gate in run.gates:
            test = SubElement(suite, "testcase", name=gate.name, classname=_clean(run.suite))
            if gate.state != "passed":
                SubElement(test, "failure", message=_clean(f"{gate.state}: {gate.sentence}"))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _add_model(root: Element, run: EvalRunDetails, model: str, cases: Sequence[EvalCaseDescription]) -> None:
    seconds = sum(answer.seconds for case in cases for answer in case.answers)
    suite = SubElement(
        root,
        "testsuite",
        name=_clean(f"{run.suite} {model}"),
        tests=str(len(cases)),
        failures=str(sum(case.state == "failed" for case in cases)),
        errors=str(sum(case.state == "error" for case in cases)),
        time=f"{seconds:.3f}",
    )
    for case in cases:
        time = sum(answer.seconds for answer in case.answers)
        test = SubElement(
            suite, "testcase", name=_clean(case.id), classname=_clean(f"{run.suite}.{model}"), time=f"{time:.3f}"
        )
        if case.state != "passed":
            kind = "failure" if case.state == "failed" else "error"
            wrong = next((answer for answer in case.answers if answer.passed is not True), None)
            found = SubElement(test, kind, message=_clean(case.reason))
            found.text = _clean(wrong.text[:_ANSWER_LENGTH] if wrong else "")


def _clean(text: str) -> str:
    """Return a text without the control characters that XML can't hold."""
    return "".join(each if each in "\t\n\r" or (each >= " " and each not in "\ufffe\uffff") else "�" for each in text)
