// The largest logits of a row, one logit after another.
#pragma once

#include "kernels.h"

namespace {

using llmos::TopLogits;

// True if a token's logit belongs into a list of `capacity` logits.
inline bool belongs_to_top(const TopLogits& top, int capacity, float logit, int32_t token) {
    if (top.count < capacity) return true;
    const float last = top.logits[capacity - 1];
    return logit > last || (logit == last && token < top.ids[capacity - 1]);
}

// Inserts a logit that belongs to the list, and drops the last one if the list is full.
inline void insert_into_top(TopLogits& top, int capacity, float logit, int32_t token) {
    int at = top.count < capacity ? top.count++ : capacity - 1;
    for (; at > 0; --at) {
        const float other = top.logits[at - 1];
        if (!(logit > other || (logit == other && token < top.ids[at - 1]))) break;
        top.logits[at] = other;
        top.ids[at] = top.ids[at - 1];
    }
    top.logits[at] = logit;
    top.ids[at] = token;
}

}  // namespace
