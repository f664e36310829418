// Normalization of one row.
#pragma once

#include <algorithm>
#include <cmath>

namespace {

// RMSNorm (Zhang and Sennrich 2019): x / sqrt(mean(x^2) + epsilon) * weight
void rms_norm(const float* x, const float* weight, float epsilon, int size, int columns, float* out) {
    Floats squares = zero();
    for (int c = 0; c < columns; c += 16) squares = fma(load(x + c), load(x + c), squares);
    const Floats scale = splat(1 / std::sqrt(sum(squares) / float(size) + epsilon));
    for (int c = 0; c < columns; c += 16) store(out + c, load(x + c) * scale * load(weight + c));
}

void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, int size, int columns,
                float* out) {
    Floats total = zero(), squares = zero();
    for (int c = 0; c < columns; c += 16) total = total + load(x + c);
    const float mean = sum(total) / float(size);
    for (int c = 0; c < columns; c += 16) {
        const Floats centred = keep_lanes(load(x + c) - splat(mean), 0, std::clamp(size - c, 0, 16), 0);
        squares = fma(centred, centred, squares);
    }
    const Floats scale = splat(1 / std::sqrt(sum(squares) / float(size) + epsilon));
    for (int c = 0; c < columns; c += 16)
        store(out + c, fma((load(x + c) - splat(mean)) * scale, load(weight + c), load(bias + c)));
}

}  // namespace
