// The feed-forward layer's nonlinearity.
#pragma once

#include "../kernels.h"
#include "exp.h"

namespace {

inline F sigmoid(F x) { return splat(1.0f) / (splat(1.0f) + exp(zero() - x)); }

// x * sigmoid(2 y) with y = sqrt(2 / pi) (x + 0.044715 x^3) is 0.5 x (1 + tanh(y)) (Hendrycks and Gimpel 2016).
inline F gelu_tanh(F x) {
    const F cubic = fma(x * x * x, splat(0.044715f), x);
    return x * sigmoid(cubic * splat(1.5957691216057308f));
}

void activate(llmos::ActivationKind kind, const float* gate, const float* up, int size, float* out) {
    for (int c = 0; c < size; c += 16) {
        const F x = load(gate + c);
        F y = kind == llmos::ActivationKind::silu ? x * sigmoid(x) : gelu_tanh(x);
        if (up) y = y * load(up + c);
        store(out + c, y);
    }
}

}  // namespace
