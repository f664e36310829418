"""Every family computes the same as transformers, on every runner."""

from dataclasses import replace

import numpy as np

CLOSE = {"rtol": 1e-3, "atol": 1e-4}
"""Both compute in float32, in different orders of summation."""


def test_prefill_logits_equal_those_of_transformers(tiny_model, drive):
    prompt = tiny_model.prompt(45)
    logits_LV = drive(tiny_model.open()).step({"a": prompt})["a"]
    np.testing.assert_allclose(logits_LV, tiny_model.logits(prompt), **CLOSE)


def test_32_greedy_tokens_equal_those_of_transformers(tiny_model, drive):
    prompt = tiny_model.prompt(30, seed=1)
    assert drive(tiny_model.open()).greedy(prompt, 32) == tiny_model.greedy(prompt, 32)


def test_a_prompt_in_chunks_has_the_same_logits_as_at_once(tiny_model, drive):
    prompt, driver = tiny_model.prompt(53, seed=2), drive(tiny_model.open())
    at_once_LV = driver.step({"at once": prompt})["at once"]
    # The chunks end before, at and after the end of a block.
    chunks = [prompt[:15], prompt[15:16], prompt[16:33], prompt[33:]]
    in_chunks_LV = np.concatenate([driver.step({"in chunks": chunk})["in chunks"] for chunk in chunks])
    np.testing.assert_allclose(in_chunks_LV, at_once_LV, **CLOSE)


def test_sequences_in_one_batch_have_the_same_logits_as_alone(tiny_model, drive):
    prompts = {name: tiny_model.prompt(length, seed=length) for name, length in {"a": 40, "b": 1, "c": 17}.items()}
    alone = {name: drive(tiny_model.open()).step({name: prompt})[name] for name, prompt in prompts.items()}

    driver = drive(tiny_model.open())
    driver.step({"b": prompts["b"], "a": prompts["a"][:23]})
    # One batch with the rest of a prompt, a decoded token and a prompt that begins.
    mixed = driver.step({"a": prompts["a"][23:], "b": [5], "c": prompts["c"]})

    np.testing.assert_allclose(mixed["a"], alone["a"][23:], **CLOSE)
    np.testing.assert_allclose(mixed["c"], alone["c"], **CLOSE)
    np.testing.assert_allclose(mixed["b"][0], tiny_model.logits([*prompts["b"], 5])[-1], **CLOSE)


def test_only_the_requested_rows_are_returned(tiny_model, drive):
    prompt = tiny_model.prompt(9)
    driver = drive(tiny_model.open())
    batch = replace(driver.batch({"a": prompt}), logit_rows=np.array([3, 8], np.int32))
    np.testing.assert_allclose(driver.runner.forward(batch), tiny_model.logits(prompt)[[3, 8]], **CLOSE)
