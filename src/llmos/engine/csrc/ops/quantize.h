// A row of activations as signed bytes, each block of 32 scaled by its largest magnitude.
#pragma once

#include "../kernels.h"

namespace {

void quantize(const llmos::Activations& x, int row) {
    const float* values = x.values + size_t(row) * x.columns;
    int8_t* q = x.quantized + size_t(row) * x.columns;
    for (int b = 0; b < x.blocks(); ++b, values += 32, q += 32) {
        const F low = load(values), high = load(values + 16);
        const float magnitude = largest(max(abs(low), abs(high)));
        const float inverse = magnitude > 0 ? 127 / magnitude : 0;
        const I q_low = to_int(low * splat(inverse)), q_high = to_int(high * splat(inverse));
        store_int8(q, q_low);
        store_int8(q + 16, q_high);
        const size_t i = size_t(row) * x.blocks() + b;
        const int32_t total = sum(q_low + q_high);
        x.scales[i] = magnitude / 127;
        x.sums[i] = total;
        x.scaled_sums[i] = x.scales[i] * float(total);
    }
}

}  // namespace
