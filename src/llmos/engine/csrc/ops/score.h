// Passes over a block of a row of logits that score given tokens: sums for log-probabilities and entropy, ranks, the
// largest.
#pragma once

#include <algorithm>
#include <limits>

#include "kernels.h"
#include "ops/exp.h"
#include "ops/top_logits.h"

namespace {

using llmos::BlockSums;

// The last logits of a block, fewer than sixteen, with minus infinity behind them.
inline Floats load_rest(const float* x, int count) {
    float rest[16];
    for (int i = 0; i < 16; ++i) rest[i] = i < count ? x[i] : -std::numeric_limits<float>::infinity();
    return load(rest);
}

// The largest logit of a block, and whether all are finite.
void find_highest(const float* x, int size, BlockSums& sums) {
    Floats best = splat(-std::numeric_limits<float>::infinity()), check = zero();
    int i = 0;
    for (; i + 16 <= size; i += 16) {
        const Floats v = load(x + i);
        best = max(v, best);
        check = fma(v, zero(), check);  // NaN where any value is not finite
    }
    if (i < size) {
        const Floats v = load_rest(x + i, size - i);
        best = max(v, best);
        check = fma(keep_lanes(v, 0, size - i, 0), zero(), check);
    }
    sums.highest = largest(best);
    sums.is_finite = sum(check) == 0;
}

void sum_block(const float* x, int size, BlockSums& sums) {
    find_highest(x, size, sums);
    sums.exps = sums.weighted = 0;
    if (sums.highest == -std::numeric_limits<float>::infinity()) return;  // banned tokens alone
    const Floats shift = splat(sums.highest);
    for (int begin = 0; begin < size; begin += 256) {  // sums in float within 256, in double across
        const int end = std::min(begin + 256, size);
        Floats exps = zero(), weighted = zero();
        int i = begin;
        for (; i + 16 <= end; i += 16) {
            const Floats distance = load(x + i) - shift, e = exp(distance);
            exps = exps + e;
            weighted = fma(e, distance, weighted);
        }
        if (i < end) {
            const Floats distance = keep_lanes(load_rest(x + i, end - i) - shift, 0, end - i, 0);
            const Floats e = keep_lanes(exp(distance), 0, end - i, 0);
            exps = exps + e;
            weighted = fma(e, distance, weighted);
        }
        sums.exps += double(sum(exps));
        sums.weighted += double(sum(weighted));
    }
}

// The number of logits in x[size] that are larger than `logit`, or equal to it if `counts_equal` says so.
inline int count_larger(const float* x, int size, float logit, bool counts_equal) {
    // If both are equal, the smaller number is chosen.
    const Ints yes = splat_int(counts_equal ? -1 : 1), no = splat_int(0);
    const Floats bound = splat(logit);
    Ints total = splat_int(0);
    int i = 0;
    for (; i + 16 <= size; i += 16) total = total + choose_larger(load(x + i), yes, bound, no);
    int count = counts_equal ? -sum(total) : sum(total);
    for (; i < size; ++i) count += x[i] > logit || (counts_equal && x[i] == logit);
    return count;
}

int count_before(const float* x, int size, int first_token, float logit, int token) {
    const int num_lower = std::clamp(token - first_token, 0, size);  // tokens that come first among equals
    return count_larger(x, num_lower, logit, true) + count_larger(x + num_lower, size - num_lower, logit, false);
}

void update_top(const float* x, int size, int first_token, int capacity, TopLogits& top) {
    const auto update = [&](int begin, int end) {
        for (int i = begin; i < end; ++i)
            if (belongs_to_top(top, capacity, x[i], first_token + i))
                insert_into_top(top, capacity, x[i], first_token + i);
    };
    int i = 0;
    for (; i + 64 <= size; i += 64) {
        const Floats four = max(max(load(x + i), load(x + i + 16)), max(load(x + i + 32), load(x + i + 48)));
        if (top.count < capacity || largest(four) >= top.logits[capacity - 1]) update(i, i + 64);
    }
    update(i, size);
}

}  // namespace
