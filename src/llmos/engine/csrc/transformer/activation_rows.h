// What the decoder's and the encoder's products read: rows of activations, and how many of them go through at once.
#pragma once

#include "buffer.h"
#include "kernels.h"

namespace llmos {

// Tokens that a pair of groups goes through before the next pair. Up to twice as many stay one span, so that none is a
// short rest.
constexpr int span_tokens = 128, max_span = 2 * span_tokens;

// Rows of activations, in memory of their own.
struct ActivationRows {
    Buffer values, quantized, scales, scaled_sums, sums;

    Activations view(int columns) const {
        return {values.as<float>(),      quantized.as<int8_t>(), scales.as<float>(),
                scaled_sums.as<float>(), sums.as<int32_t>(),     columns};
    }

    void reserve(int rows, int columns) {
        const size_t count = size_t(rows) * columns, blocks = count / block_columns;
        values = Buffer(count * sizeof(float));
        quantized = Buffer(count);
        scales = Buffer(blocks * sizeof(float));
        scaled_sums = Buffer(blocks * sizeof(float));
        sums = Buffer(blocks * sizeof(int32_t));
    }
};

}  // namespace llmos
