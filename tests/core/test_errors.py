"""The error tree: its picture in the docstring, its codes, and how a code or a status leads to a class."""

import pytest

import llmos.apps  # noqa: F401  # its errors belong to the tree
from llmos.core import errors
from llmos.core.errors import (
    BadRequest,
    LLMOSError,
    NotFound,
    RateLimited,
    error_classes,
    error_of_code,
    find_error_class,
)


def test_every_error_is_drawn_in_the_tree_with_its_status_and_code():
    for kind in error_classes():
        line = next(line for line in errors.__doc__.splitlines() if f" {kind.__name__} " in f" {line} ")
        assert issubclass(kind, errors.ConnectionFailed) or f"{kind.status} {kind.code}" in line


def test_codes_are_unique():
    codes = [kind.code for kind in error_classes()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", error_classes())
def test_a_code_leads_to_its_class(kind):
    error = error_of_code(kind.code, "What is wrong. What to do.", param="model")
    assert type(error) is kind
    assert (error.message, error.param) == ("What is wrong. What to do.", "model")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("strange", 404, NotFound),
        (None, 429, RateLimited),
        (None, 418, BadRequest),
        (None, 599, LLMOSError),
        (["a", "list"], 404, NotFound),
        ("not_found", 500, NotFound),
    ],
)
def test_an_unknown_code_falls_back_to_the_status(code, status, kind):
    assert find_error_class(code, status) is kind
