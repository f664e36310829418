// Soft caps (Gemma 2): cap * tanh(x / cap) keeps values within a bound.
#pragma once

#include "ops/exp.h"

namespace {

// 1 - 2 / (1 + e^2x): within a few units in the last place of 1.
inline Floats tanh(Floats x) { return splat(1.0f) - splat(2.0f) / (splat(1.0f) + exp(x + x)); }

inline Floats soft_cap(Floats x, Floats cap, Floats inverse_cap) { return cap * tanh(x * inverse_cap); }

void cap_logits(float* x, int size, float multiplier, float cap) {
    const Floats factor = splat(multiplier), bound = splat(cap), inverse = splat(cap ? multiplier / cap : 0);
    for (int i = 0; i < size; i += 16) store(x + i, cap ? soft_cap(load(x + i), bound, inverse) : load(x + i) * factor);
}

}  // namespace
