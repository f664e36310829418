// A row of activations as signed bytes, each block of 32 scaled by its largest magnitude.
#pragma once

#include "kernels.h"
#include "ops/bytes.h"

namespace {

void quantize(const float* values, const llmos::Activations& x, int row, int first_block, int last_block) {
    for (int b = first_block; b < last_block; ++b, values += llmos::block_columns) {
        const size_t at = size_t(row) * x.columns + size_t(b) * llmos::block_columns, i = size_t(row) * x.blocks() + b;
        const Floats low = load(values), high = load(values + 16);
        const ByteScale unit = byte_scale_of_magnitude(127, largest(max(magnitude_bits(low), magnitude_bits(high))));
        const Ints q_low = to_int(low * splat(unit.inverse)), q_high = to_int(high * splat(unit.inverse));
        store_int8(x.quantized + at, q_low);
        store_int8(x.quantized + at + 16, q_high);
        const int32_t half = unit.inverse > 0 ? sum(q_low) : 0, total = unit.inverse > 0 ? half + sum(q_high) : 0;
        x.scales[i] = unit.scale;
        x.sums[i] = total;
        x.half_sums[i] = half;
        x.scaled_sums[i] = x.scales[i] * float(total);
    }
}

}  // namespace
