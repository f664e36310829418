// Rows of activations in memory of their own: inputs of the decoder's and the encoder's products.
#pragma once

#include "buffer.h"
#include "kernels.h"

namespace llmos {

struct ActivationRows {
    Buffer values, quantized, scales, scaled_sums, sums, half_sums;

    Activations view(int columns) const {
        return {values.as<float>(),
                quantized.as<int8_t>(),
                scales.as<float>(),
                scaled_sums.as<float>(),
                sums.as<int32_t>(),
                half_sums.as<int32_t>(),
                columns};
    }

    void reserve(int rows, int columns) {
        const size_t count = size_t(rows) * columns, blocks = count / block_columns;
        values = Buffer(count * sizeof(float));
        quantized = Buffer(count);
        scales = Buffer(blocks * sizeof(float));
        scaled_sums = Buffer(blocks * sizeof(float));
        sums = Buffer(blocks * sizeof(int32_t));
        half_sums = Buffer(blocks * sizeof(int32_t));
    }
};

}  // namespace llmos
