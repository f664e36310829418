"""Each row of the table in docs/billing.md that says what calls are counted for has tests."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
TABLE = (ROOT / "docs" / "billing.md").read_text(encoding="utf-8").partition("## What is counted")[2]

LEDGER = "tests/gateway/calls/test_ledger.py"
WIRES = "tests/gateway/calls/test_ledger_wires.py"
POOL = "tests/deployments/replicas/test_pool.py"

TESTS = {
    "an answer, plain or streamed": [(LEDGER, "test_a_call_is_one_entry_on_every_wire_plain_and_streamed")],
    "the part of a prompt that the prefix cache has": [(WIRES, "test_what_the_prefix_cache_has_is_cached_input")],
    "`n` > 1, several prompts": [
        (LEDGER, "test_several_choices_count_the_prompt_once_and_all_their_tokens"),
        (LEDGER, "test_several_prompts_are_one_call"),
    ],
    "tools": [(LEDGER, "test_tools_count_as_the_tokens_of_the_prompt_and_the_answer")],
    "vectors, reranking and scores by vectors": [
        (LEDGER, "test_vectors_count_their_own_tokens"),
        (WIRES, "test_vectors_and_scores_count_their_tokens_on_every_wire"),
    ],
    "the likelihood of given texts": [(LEDGER, "test_scored_texts_count_their_own_tokens")],
    "counting tokens": [(LEDGER, "test_counting_tokens_costs_nothing")],
    "an answer from the response cache": [
        (LEDGER, "test_an_answer_out_of_the_response_cache_is_a_call_without_tokens")
    ],
    "a prompt that a guardrail blocks": [(LEDGER, "test_a_blocked_prompt_costs_nothing")],
    "an answer that a guardrail cuts": [
        (LEDGER, "test_a_blocked_answer_costs_what_was_computed"),
        (WIRES, "test_an_answer_that_a_guardrail_cuts_costs_what_was_computed_on_every_wire"),
    ],
    "calls of models by guardrails": [
        ("tests/gateway/calls/test_perplexity.py", "test_what_it_asks_is_neither_billed_nor_evidence")
    ],
    "a call that fails": [
        (LEDGER, "test_a_call_that_fails_costs_nothing"),
        (WIRES, "test_a_call_that_fails_in_the_middle_costs_nothing_on_any_wire"),
    ],
    "another attempt, or a fallback": [
        (LEDGER, "test_a_fallback_costs_what_the_target_that_answered_has_computed"),
        (POOL, "test_a_request_without_a_token_is_tried_again_when_its_replica_dies"),
    ],
    "a caller who hangs up": [
        (LEDGER, "test_a_caller_who_hangs_up_pays_for_what_was_computed"),
        (LEDGER, "test_a_caller_who_hangs_up_before_the_first_token_pays_nothing"),
        (WIRES, "test_a_caller_who_hangs_up_pays_for_what_was_computed_on_every_wire"),
        (WIRES, "test_one_who_hangs_up_at_the_last_piece_is_counted_once"),
    ],
    "a shadow": [(LEDGER, "test_a_shadow_is_not_charged")],
    "the line of a batch": [
        (LEDGER, "test_the_lines_of_a_batch_are_background_calls"),
        (LEDGER, "test_a_line_that_a_crash_made_be_answered_twice_counts_once"),
        (LEDGER, "test_a_line_that_is_cut_off_costs_nothing_until_it_is_answered"),
    ],
    "an answer of a hosted application": [
        (LEDGER, "test_an_answer_of_an_application_is_not_counted_beside_the_calls_of_its_models")
    ],
    "`llmos run` and `llmos chat` without a server": [
        ("tests/cli/test_pipeline_backend.py", "test_without_a_server_nothing_is_counted")
    ],
}


def rows() -> list[str]:
    """Return the first cell of each row."""
    lines = [line for line in TABLE.partition("##")[0].splitlines() if line.startswith("| ")]
    return [line.split("|")[1].strip() for line in lines[1:]]


def test_every_row_has_tests() -> None:
    assert [row for row in rows() if not any(row.startswith(start) for start in TESTS)] == []
    assert [start for start in TESTS if not any(row.startswith(start) for row in rows())] == []


def test_these_tests_exist() -> None:
    named = [each for tests in TESTS.values() for each in tests]
    assert [name for file, name in named if f"def {name}(" not in (ROOT / file).read_text(encoding="utf-8")] == []
