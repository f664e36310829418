// The positions that a row of attention sees: all before it, or a sliding window of them.
#pragma once

#include <limits>

#include "kernels.h"
#include "ops/softcap.h"

namespace {

using llmos::AttentionArgs;
using llmos::CacheLayout;

// Positions first to last, and the blocks of 16 that they lie in.
struct VisibleRange {
    int first, last;

    int first_block() const { return first / 16; }
    int last_block() const { return last / 16 + 1; }  // exclusive
    bool contains_block(int b) const { return first <= b * 16 && b * 16 + 15 <= last; }

    // Replaces the lanes of block b that are outside the range.
    Floats mask(Floats a, int b, float other) const {
        if (contains_block(b)) return a;
        const int begin = first - b * 16, end = last + 1 - b * 16;
        return keep_lanes(a, begin < 0 ? 0 : begin > 16 ? 16 : begin, end < 0 ? 0 : end > 16 ? 16 : end, other);
    }
};

inline VisibleRange union_of_ranges(const AttentionArgs& a, int num_rows) {
    VisibleRange all{a.first[0], a.positions[0]};
    for (int r = 1; r < num_rows; ++r) {
        all.first = a.first[r] < all.first ? a.first[r] : all.first;
        all.last = a.positions[r] > all.last ? a.positions[r] : all.last;
    }
    return all;
}

inline void cap_scores(float* scores, VisibleRange range, float cap) {
    for (int b = range.first_block(); b < range.last_block(); ++b)
        store(scores + b * 16, soft_cap(load(scores + b * 16), splat(cap), splat(1 / cap)));
}

// Sets the scores outside the range to minus infinity; returns the highest of the others.
inline float mask_scores(float* scores, VisibleRange range) {
    constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
    Floats highest = splat(minus_infinity);
    for (int b = range.first_block(); b < range.last_block(); ++b) {
        Floats s = load(scores + b * 16);
        if (!range.contains_block(b)) {
            s = range.mask(s, b, minus_infinity);
            store(scores + b * 16, s);
        }
        highest = max(highest, s);
    }
    return largest(highest);
}

}  // namespace
