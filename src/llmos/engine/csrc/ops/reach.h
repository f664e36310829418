// Which positions a row of attention sees.
#pragma once

#include <limits>

#include "kernels.h"
#include "ops/softcap.h"

namespace {

using llmos::AttentionArgs;
using llmos::CacheLayout;

// Positions first to last, and the blocks of 16 that they lie in.
struct Reach {
    int first, last;
    int first_block() const { return first / 16; }
    int last_block() const { return last / 16 + 1; }  // exclusive

    // Whether all of block b is in reach.
    bool holds(int b) const { return first <= b * 16 && b * 16 + 15 <= last; }

    // The lanes of block b that are in reach stay, the rest become `other`.
    Floats keep(Floats a, int b, float other) const {
        if (holds(b)) return a;
        const int begin = first - b * 16, end = last + 1 - b * 16;
        return keep_lanes(a, begin < 0 ? 0 : begin > 16 ? 16 : begin, end < 0 ? 0 : end > 16 ? 16 : end, other);
    }
};

inline Reach reach_of_all(const AttentionArgs& a, int num_rows) {
    Reach all{a.first[0], a.positions[0]};
    for (int r = 1; r < num_rows; ++r) {
        all.first = a.first[r] < all.first ? a.first[r] : all.first;
        all.last = a.positions[r] > all.last ? a.positions[r] : all.last;
    }
    return all;
}

inline void cap_scores(float* scores, Reach reach, float cap) {
    for (int b = reach.first_block(); b < reach.last_block(); ++b)
        store(scores + b * 16, soft_cap(load(scores + b * 16), splat(cap), splat(1 / cap)));
}

// Makes the scores out of reach minus infinity; returns the highest of the others.
inline float hide_out_of_reach(float* scores, Reach reach) {
    constexpr float nothing = -std::numeric_limits<float>::infinity();
    Floats highest = splat(nothing);
    for (int b = reach.first_block(); b < reach.last_block(); ++b) {
        Floats s = load(scores + b * 16);
        if (!reach.holds(b)) {
            s = reach.keep(s, b, nothing);
            store(scores + b * 16, s);
        }
        highest = max(highest, s);
    }
    return largest(highest);
}

}  // namespace
