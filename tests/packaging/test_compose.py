"""packaging/compose.yaml: what it names is there, and LLMOS has the options and settings that it uses.

No engine runs it here: it needs an image of PostgreSQL from a registry.
"""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.manifests import find_compose_problems

PATH = Path(__file__).parents[2] / "packaging" / "compose.yaml"


@pytest.fixture
def compose() -> Any:
    return yaml.safe_load(PATH.read_text())


def test_the_file_fits_together(compose: Any) -> None:
    assert find_compose_problems(compose) == []


def test_a_node_has_no_key_of_the_server(compose: Any) -> None:
    assert "environment" not in compose["services"]["node"]


PLANTED: dict[str, Callable[[Any], object]] = {
    "a volume that there is not": lambda found: found["volumes"].pop("home"),
    "a service that there is not": lambda found: found["services"].pop("token"),
    "a setting that LLMOS lacks": lambda found: found["services"]["worker"]["environment"].update(LLMOS_HOST="x"),
    "an option that LLMOS lacks": lambda found: found["services"]["worker"]["command"].append("--gpus"),
    "a command that LLMOS lacks": lambda found: found["services"]["worker"].update(command=["work"]),
    "a root that can be written": lambda found: found["services"]["node"].update(read_only=False),
    "a wait for the health of what has none": lambda found: found["services"]["gateway"].update(
        healthcheck={"disable": True}
    ),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_a_planted_mistake_is_found(compose: Any, plant: Callable[[Any], object]) -> None:
    plant(changed := deepcopy(compose))
    assert find_compose_problems(changed)
