// The feed-forward layer's nonlinearity.
#pragma once

#include <algorithm>

#include "kernels.h"
#include "ops/exp.h"

namespace {

inline Floats sigmoid(Floats x) { return splat(1.0f) / (splat(1.0f) + exp(zero() - x)); }

// x * sigmoid(2 y) with y = sqrt(2 / pi) (x + 0.044715 x^3) is 0.5 x (1 + tanh(y)) (Hendrycks and Gimpel 2016).
inline Floats gelu_tanh(Floats x) {
    const Floats cubic = fma(x * x * x, splat(0.044715f), x);
    return x * sigmoid(cubic * splat(1.5957691216057308f));
}

// x Phi(x), by Abramowitz and Stegun 7.1.26: with y = |x| / sqrt(2), erf(y) is 1 - q within 1.5e-7, and x Phi(x) is
// max(x, 0) - |x| q / 2 on both sides of zero.
inline Floats gelu(Floats x) {
    const Floats magnitude = max(zero() - x, x), y = magnitude * splat(0.7071067811865476f);
    const Floats t = splat(1.0f) / fma(y, splat(0.3275911f), splat(1.0f));
    Floats p = splat(1.061405429f);
    p = fma(p, t, splat(-1.453152027f));
    p = fma(p, t, splat(1.421413741f));
    p = fma(p, t, splat(-0.284496736f));
    p = fma(p, t, splat(0.254829592f));
    const Floats q = p * t * exp(zero() - y * y);
    return max(zero(), x) - magnitude * q * splat(0.5f);
}

inline Floats relu_squared(Floats x) {
    const Floats positive = max(zero(), x);
    return positive * positive;
}

template <llmos::ActivationKind kind> inline Floats activated(Floats x) {
    switch (kind) {
        case llmos::ActivationKind::silu: return x * sigmoid(x);
        case llmos::ActivationKind::gelu_tanh: return gelu_tanh(x);
        case llmos::ActivationKind::relu_squared: return relu_squared(x);
        default: return gelu(x);
    }
}

// gpt-oss: (1 + up) * gate * sigmoid(1.702 gate), both clamped.
void clamped_swiglu(const float* gate, const float* up, int size, float* out) {
    const Floats limit = splat(7.0f);
    for (int c = 0; c < size; c += 16) {
        const Floats g = min(load(gate + c), limit), u = max(min(load(up + c), limit), zero() - limit);
        store(out + c, (u + splat(1.0f)) * (g * sigmoid(g * splat(1.702f))));
    }
}

void multiply_sigmoid(const float* gate, int size, float* x) {
    int c = 0;
    for (; c + 16 <= size; c += 16) store(x + c, load(x + c) * sigmoid(load(gate + c)));
    if (c == size) return;
    float rest[16] = {};
    std::copy_n(gate + c, size - c, rest);
    store(rest, sigmoid(load(rest)));
    for (int i = 0; c + i < size; ++i) x[c + i] *= rest[i];
}

template <llmos::ActivationKind kind> void activate_all(const float* gate, const float* up, int size, float* out) {
    for (int c = 0; c < size; c += 16) {
        Floats y = activated<kind>(load(gate + c));
        if (up) y = y * load(up + c);
        store(out + c, y);
    }
}

void activate(llmos::ActivationKind kind, const float* gate, const float* up, int size, float* out) {
    using Kind = llmos::ActivationKind;
    switch (kind) {
        case Kind::silu: activate_all<Kind::silu>(gate, up, size, out); break;
        case Kind::gelu_tanh: activate_all<Kind::gelu_tanh>(gate, up, size, out); break;
        case Kind::gelu: activate_all<Kind::gelu>(gate, up, size, out); break;
        case Kind::clamped_swiglu: clamped_swiglu(gate, up, size, out); break;
        case Kind::relu_squared: activate_all<Kind::relu_squared>(gate, up, size, out); break;
    }
}

}  // namespace
