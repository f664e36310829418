"""Overlays hold on every template: medical never doses, finance never advises, whatever a model says."""

from pathlib import Path

import pytest

from applications.overlay_texts import ADVICE, DOSES, NO_ADVICE, NO_DOSES
from llmos.applications import templates
from llmos.apps import App
from llmos.apps.testing import Script
from llmos.core.errors import BadRequest
from llmos.core.yaml_text import read_yaml
from llmos.hosting.folder import AppFolder
from llmos.hosting.guarding import answer_checker, guard
from llmos.security.guardrails.policy import open_policy

OVERLAYS = ("education", "medical", "finance")
FOLDER = Path(str(templates.__file__)).parent / "overlays"


def check_of(name: str):  # type: ignore[no-untyped-def]
    path = FOLDER / name / "guardrails.yaml"
    return answer_checker(open_policy(name, 1, read_yaml(path.read_text(encoding="utf-8"), str(path))))


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "texts"), [("medical", DOSES), ("finance", ADVICE)])
def test_what_must_not_be_said_is_blocked_in_both_languages(name: str, texts: list[str]) -> None:
    check = check_of(name)
    assert [text for text in texts if check(text) is not None] == []
    assert [
        text for text in texts if check(f"Well. Let me explain.\n\n{text} I hope this helps. 谢谢。") is not None
    ] == []


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "texts"), [("medical", NO_DOSES), ("finance", NO_ADVICE)])
def test_what_may_be_said_is_let_through(name: str, texts: list[str]) -> None:
    check = check_of(name)
    assert [text for text in texts if check(text) != text] == []


def test_education_blocks_insults_and_masks_personal_data() -> None:
    check = check_of("education")
    assert check("You are a stupid idiot.") is None
    assert check("Write to ann@example.com.") == "Write to [EMAIL]."
    assert check("Let's look at the fraction together.") == "Let's look at the fraction together."


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("template", templates.templates())
def test_an_overlay_works_on_every_template(template: str, overlay: str, tmp_path: Path) -> None:
    folder = tmp_path / f"my-{template}"
    templates.make_app(template, folder, overlay_names=[overlay])
    opened = AppFolder.open(folder)
    app = opened.load()
    manifest, added = opened.manifest, read_yaml((FOLDER / overlay / "overlay.yaml").read_text(), "overlay.yaml")
    assert (app.name, manifest.guardrails) == (f"my-{template}", "guardrails.yaml")
    assert added["disclaimer"] in manifest.disclaimer
    assert manifest.retention_days is not None
    assert manifest.retention_days <= added["retention_days"]
    assert manifest.handoff is not None or "handoff" not in added
    text = (FOLDER / overlay / "prompt.md").read_text(encoding="utf-8").strip()
    for prompt in (folder / "prompts").glob("*.md"):
        assert prompt.read_text(encoding="utf-8").rstrip().endswith(text)
    assert manifest.evals == ["evals/cases.yaml", f"evals/{overlay}.yaml"]
    assert len(read_yaml((folder / "evals" / f"{overlay}.yaml").read_text(encoding="utf-8"), "evals")) >= 2


def test_two_overlays_keep_what_each_of_them_asks_for(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    templates.make_app("support", folder, overlay_names=["medical", "finance", "medical"])
    opened = AppFolder.open(folder)
    opened.load()
    assert opened.manifest.retention_days == 30
    assert "medical advice" in opened.manifest.disclaimer
    assert "investment advice" in opened.manifest.disclaimer
    assert (folder / "prompts" / "support.md").read_text(encoding="utf-8").count("Never diagnose.") == 1
    document = read_yaml((folder / "guardrails.yaml").read_text(encoding="utf-8"), "guardrails.yaml")
    check = answer_checker(open_policy("bank", 1, document))
    assert [check(text) for text in (*DOSES, *ADVICE)] == [None] * len([*DOSES, *ADVICE])


@pytest.mark.parametrize(("overlay", "said"), [("medical", "Take two tablets."), ("finance", "You should buy gold.")])
def test_a_model_that_says_it_anyway_is_not_heard(overlay: str, said: str, tmp_path: Path) -> None:
    templates.make_app("support", tmp_path / "shop", overlay_names=[overlay])
    opened = AppFolder.open(tmp_path / "shop")
    app = App("plain", handoff="queue", disclaimer=opened.manifest.disclaimer)
    guard(app, opened.path / "guardrails.yaml")
    with Script(said).plays(app):
        run = app.run("Tell me.")
    assert said not in run.text
    assert run.abstained
    assert run.handoff == "handoff-1", "a person is asked"
    assert run.text.endswith(opened.manifest.disclaimer)


def test_personal_data_of_a_pupil_reaches_neither_the_model_nor_the_session(tmp_path: Path) -> None:
    templates.make_app("support", tmp_path / "school", overlay_names=["education"])
    app = App("plain", journal=True)
    guard(app, tmp_path / "school" / "guardrails.yaml")
    script = Script("Hello!", "Hello!")
    with script.plays(app):
        app.run("I am ann@example.com.", session="u42")
        app.run({"role": "user", "content": "Write to bob@example.com."}, session="u42")
    assert "@example.com" not in str([prompt.messages for prompt in script.prompts])
    assert "[EMAIL_1]" in str(script.prompts[0].messages)


def test_a_folder_whose_guardrails_are_gone_is_not_loaded(tmp_path: Path) -> None:
    templates.make_app("support", tmp_path / "shop", overlay_names=["medical"])
    (tmp_path / "shop" / "guardrails.yaml").unlink()
    with pytest.raises(BadRequest, match="no such file"):
        AppFolder.open(tmp_path / "shop").load()


def test_templates_are_listed_with_a_line_each() -> None:
    assert "support" in templates.templates()
    assert {*templates.overlays()} == {*OVERLAYS}
    for text in (*templates.templates().values(), *templates.overlays().values()):
        assert text.endswith(".")
        assert "\n" not in text


@pytest.mark.parametrize(
    ("template", "name", "overlays", "complaint"),
    [
        ("suport", "shop", [], "Did you mean support"),
        ("support", "shop", ["medicine"], "There is no overlay 'medicine'"),
        ("support", "My Shop", [], "can't be the name of an application"),
        ("support", "full", [], "isn't empty"),
    ],
)
def test_what_can_not_be_made_is_refused_and_nothing_is_written(
    template: str, name: str, overlays: list[str], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(BadRequest, match=complaint):
        templates.make_app(template, tmp_path / name, overlay_names=overlays)
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "notes.txt"]
