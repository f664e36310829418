"""The sums of metrics that pages show: over all labels, or of one version."""

from llmos.console.metrics import TOKENS, sum_metrics

TEXT = b"""# HELP llmos_generation_tokens_total Tokens generated.
llmos_generation_tokens_total{model_name="smollm2@1"} 5.0
llmos_generation_tokens_total{model_name="smollm2@11"} 7.0
llmos_generation_tokens_total{model_name="remote:a/\\"b\\""} 1.0
llmos_calls_running{model_name="smollm2@1"} 2.0
llmos_calls_running_created 9
"""


def test_metrics_are_summed_over_all_labels_or_of_one_version() -> None:
    assert sum_metrics(TEXT, (TOKENS, "llmos_calls_running")) == {TOKENS: 13.0, "llmos_calls_running": 2.0}
    assert sum_metrics(TEXT, (TOKENS,), model="smollm2@1") == {TOKENS: 5.0}
    assert sum_metrics(TEXT, (TOKENS,), model="unknown@1") == {TOKENS: 0.0}
