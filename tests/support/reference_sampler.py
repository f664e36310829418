"""The reference of _native.sample(), in numpy and float64."""

import numpy as np


def log_softmax(logits):
    shifted = logits - logits.max()
    return shifted - np.log(np.exp(shifted).sum())


def penalize(logits, *, repetition=1.0, presence=0.0, frequency=0.0, seen=None, bias=None):
    """Apply penalties and bias. `seen`: {token: times in the output}; `bias`: {token: value}."""
    logits = np.array(logits, np.float64)
    for token, count in (seen or {}).items():
        logits[token] = logits[token] / repetition if logits[token] > 0 else logits[token] * repetition
        logits[token] -= frequency * count + presence * (count > 0)
    for token, value in (bias or {}).items():
        logits[token] += value
    return logits


def distribution(logits, *, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0):
    """Return the probabilities of the next token: temperature, then top_k, top_p and min_p."""
    if temperature == 0:
        return np.eye(len(logits))[int(np.argmax(logits))]
    probabilities = np.exp(log_softmax(np.asarray(logits, np.float64) / temperature))
    order = np.argsort(-probabilities, kind="stable")
    keep = np.ones(len(logits), bool)
    if top_k:
        keep[order[top_k:]] = False
    if top_p < 1:
        kept = np.where(keep, probabilities, 0)[order]
        kept /= kept.sum()
        before = np.cumsum(kept) - kept
        keep[order[before >= max(top_p, 1e-12)]] = False
    if min_p:
        keep &= probabilities >= min_p * probabilities.max()
    probabilities = np.where(keep, probabilities, 0)
    return probabilities / probabilities.sum()


def sample(
    logits_RV, temperature, top_k, top_p, min_p, seeds, steps, num_logprobs, repetition, presence, frequency,
    seen_starts, seen_ids, seen_counts, bias_starts, bias_ids, bias_values,
):  # fmt: skip
    """Sample as _native.sample() does, without its pool, and with other random numbers."""
    num_rows, width = len(logits_RV), max([0, *num_logprobs.tolist()])
    ids, logprobs = np.zeros(num_rows, np.int32), np.zeros(num_rows, np.float32)
    top_ids, top_logprobs = np.zeros((num_rows, width), np.int32), np.zeros((num_rows, width), np.float32)
    for r, logits in enumerate(logits_RV):
        if np.isnan(logits).any():
            ids[r] = -1
            continue
        model = log_softmax(np.asarray(logits, np.float64))
        seen = slice(*seen_starts[r : r + 2])
        bias = slice(*bias_starts[r : r + 2])
        penalized = penalize(
            logits, repetition=repetition[r], presence=presence[r], frequency=frequency[r],
            seen=dict(zip(seen_ids[seen].tolist(), seen_counts[seen].tolist(), strict=True)),
            bias=dict(zip(bias_ids[bias].tolist(), bias_values[bias].tolist(), strict=True)),
        )  # fmt: skip
        p = distribution(penalized, temperature=temperature[r], top_k=top_k[r], top_p=top_p[r], min_p=min_p[r])
        ids[r] = np.random.default_rng([int(seeds[r]), int(steps[r])]).choice(len(p), p=p)
        logprobs[r] = model[ids[r]]
        if num_logprobs[r] > 0:
            best = np.argsort(-model, kind="stable")[: num_logprobs[r]]
            top_ids[r, : len(best)], top_logprobs[r, : len(best)] = best, model[best]
    return ids, logprobs, top_ids, top_logprobs
