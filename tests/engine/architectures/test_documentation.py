"""The code in docs/add-a-model-family.md is the family that the engine has."""

import re
from pathlib import Path

from llmos.engine.architectures import starcoder2
from support import tiny_models

PAGE = Path(__file__).parents[3] / "docs" / "add-a-model-family.md"


def test_the_page_shows_the_familys_file_and_its_case():
    family, case = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert family == Path(starcoder2.__file__).read_text()
    shown = eval(f"{{{case}}}", {"COMMON": tiny_models.COMMON})
    assert shown == {"starcoder2": tiny_models.CASES["starcoder2"]}
