// The output of a layer that is added to the residual stream.
#pragma once

namespace {

void add_scaled(const float* x, int size, float multiplier, float* to) {
    const Floats factor = splat(multiplier);
    for (int i = 0; i < size; i += 16) store(to + i, fma(load(x + i), factor, load(to + i)));
}

}  // namespace
