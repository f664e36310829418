"""The files of an application before they become a version: one line for each mistake, and nothing is kept."""

import pytest

from llmos.core.errors import BadRequest
from llmos.data.app_versions.versions import files_of_content
from support.app_folders import app_content, app_files


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"app_yaml": None}, "There is no app.yaml at the top of the application's files."),
        ({"app_yaml": "name: support\nmodle: x\n"}, "app.yaml: there is no field `modle`. Did you mean model"),
        ({"app_yaml": "name: [\n"}, "app.yaml, line 2"),
        ({"app_yaml": "name: support\nprompt: prompts/suport.md\n"}, "there is no file 'prompts/suport.md'. Did you"),
        ({"app_yaml": "name: support\nguardrails: guard.yaml\n"}, "`guardrails`: there is no file 'guard.yaml'."),
        (
            {"app_yaml": "name: support\npermissions: [dataset:read]\n"},
            "there is no permission 'dataset:read'. Did you mean datasets:read?",
        ),
        (
            {"prompts_0_a.b_md": "x", "prompts_0_a_0_b_md": "x"},
            "prompts/a.b.md and prompts/a/b.md would both be the prompt support.a.b. Rename one.",
        ),
        ({"prompts_0_what now_md": "x"}, "prompts/what now.md: 'support.what now' is not a valid name for a prompt"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(changed: dict[str, str | None], message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        app_content(app_files(**changed))
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_prompt_that_is_not_text_is_named() -> None:
    with pytest.raises(BadRequest, match=r"prompts/tone\.md isn't text in UTF-8"):
        app_content({**app_files(), "prompts/tone.md": b"\xff"})


def test_other_files_in_the_folder_of_prompts_stay_files() -> None:
    content = app_content({**app_files(), "prompts/README.rst": b"\xff"})
    assert [*content.prompts] == ["support", "support.tone"]


def test_a_large_file_is_read_again_instead_of_held() -> None:
    large = b"x" * (2 << 20)
    files = files_of_content(app_content({**app_files(), "data/large.bin": large}), "the new files")
    assert files.files["data/large.bin"].size == len(large)
    assert files.read("data/large.bin") == large
    assert files.read("app.py").startswith(b"from llmos.apps")


def test_suites_that_are_files_must_be_there() -> None:
    manifest = "name: support\nevals: [evals/cases.yaml, support-cases]\n"
    with pytest.raises(BadRequest, match=r"`evals`: there is no file 'evals/cases\.yaml'"):
        app_content(app_files(app_yaml=manifest))
    assert app_content({**app_files(app_yaml=manifest), "evals/cases.yaml": b""}).name == "support"
