"""Reports: JUnit XML that parses whatever models say, and Markdown in which they can't write links."""

from xml.etree import ElementTree

from llmos.core.schemas.evals import EvalRunDetails
from llmos.evals.reports import junit_xml, markdown, sentences
from support.evals import ScriptedAsker, failing, run_suite, suite_of

SUITE = suite_of("""
name: hostile
cases:
  - {id: fine, input: fine, expect: {contains: x}}
  - {id: "<b>`|", input: bad, expect: {contains: never}}
  - {id: down, input: down, expect: {contains: nowhere}}
""")
HOSTILE = "x </failure> ]]> \x00\x1b & <script> [link](http://a) `code` | #1 @you"


def run() -> EvalRunDetails:
    ran = run_suite(SUITE, ScriptedAsker(lambda prompt, _: failing() if prompt == "down" else HOSTILE))
    report = ran.report
    return EvalRunDetails(
        id="eval-1",
        suite="hostile",
        models=["fake"],
        verdict=report.verdict,
        results=[*report.results],
        gates=[*report.gates],
        cases=[*report.cases],
    )


def test_junit_has_a_test_for_each_case_and_each_gate() -> None:
    [cases, gates] = ElementTree.fromstring(junit_xml(run()))
    assert [cases.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "1"]
    fine, bad, down = cases
    assert len(fine) == 0
    assert bad.get("name") == "<b>`|"
    assert bad[0].tag == "failure"
    assert "<script>" in (bad[0].text or "")
    assert (down[0].tag, down[0].get("message")) == ("error", "The provider is down.")
    assert gates.get("failures") == "1"


def test_markdown_shows_texts_of_models_as_code() -> None:
    page = markdown(run())
    assert page.startswith("### ❌ Eval `hostile`: failed")
    assert "| `fake@1` | 1 of 2 | 50% |" in page
    [line] = [each for each in page.splitlines() if "link" in each]
    assert "`` x </failure> ]]>" in line
    assert "¦" in line


def test_sentences_end_with_the_verdict() -> None:
    said = [*sentences(run())]
    assert (
        said[0]
        == "fake (fake@1): 1 of 2 cases pass: 50% (9% to 91% in 95 of 100 samples). 1 more have no answer to judge."
    )
    assert said[-1] == "Failed."
    assert [*sentences(EvalRunDetails(num_done=3, num_total=9))] == ["Unfinished: 3 of 9 answers."]
