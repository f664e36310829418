// Logits -> the next token of each sequence, without sorting the vocabulary.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "pool.h"

namespace llmos {

// One entry a row; see engine/sampling/sampler.py for what the fields mean to a caller.
struct SamplingArgs {
    int num_rows, vocab_size, logits_stride, num_top;
    float* logits;  // [rows][logits_stride], modified
    const float *temperature, *top_p, *min_p, *repetition, *presence, *frequency;
    const int32_t *top_k, *num_logprobs;
    const uint64_t *seeds, *steps;
    // Tokens that a row has seen (how often in its output; 0: in its prompt only), and its biases, row after row.
    const int32_t *seen_starts, *seen_ids, *seen_counts, *bias_starts, *bias_ids;
    const float* bias_values;
    // The tokens that a row may take, a bit each, the lowest first. Row r has mask mask_rows[r]; -1: it may take any.
    // Null: every row may take any.
    const uint32_t* masks;  // [][mask_words]
    const int32_t* mask_rows;
    int mask_words;
    // The largest logit of each row and its token from the forward pass; -1: unknown. Null: unknown for all rows.
    const float* highest;
    const int32_t* likeliest;
    // Results: the token (-1 where a logit is NaN), its logprob, the likeliest tokens [rows][num_top].
    int32_t* ids;
    float* logprobs;
    int32_t* top_ids;
    float* top_logprobs;
};

void sample(Pool& pool, const Kernels& kernels, const SamplingArgs& args);

}  // namespace llmos
