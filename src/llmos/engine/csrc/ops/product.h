// Common to all products: the sums of a block's dot products, and where they go.
//
// A block's integer dot products are exact; block by block they are scaled and added in float, in ascending order:
//     total += float(dot) * (d * scale)          w = d * (u - offset): the dot starts at -offset * sum(q)
//     total += m * (scale * sum(q))              only with a minimum
// If columns 0-15 and 16-31 of a block have scales of their own, each half has a dot product of its own.
#pragma once

#include "kernels.h"
#include "matrix.h"
#include "ops/block_scales.h"
#include "ops/block_weights.h"

namespace {

using llmos::Activations;
using llmos::MatmulArgs;
using llmos::PackedMatrix;

// The activations of T tokens.
template <int T> struct TokenInputs {
    const int8_t* q[T];
    const float *scales, *scaled_sums;  // [tokens][blocks]
    const int32_t *sums, *half_sums;
    int blocks;

    TokenInputs(const Activations& x, int token) : blocks(x.blocks()) {
        for (int t = 0; t < T; ++t) q[t] = x.quantized + size_t(token + t) * x.columns;
        const size_t first = size_t(token) * blocks;
        scales = x.scales + first;
        scaled_sums = x.scaled_sums + first;
        sums = x.sums + first;
        half_sums = x.half_sums + first;
    }

    // The amount that the weights' offset takes from the dot products of block b, or of one half of it.
    template <Packing P, int half> Ints start_of_dots(int t, int b) const {
        constexpr int offset = remaining_offset<P>();
        if constexpr (offset == 0) return splat_int(0);
        const int i = t * blocks + b;
        if constexpr (BlockScales<P>::halves == 1) return splat_int(-offset * sums[i]);
        else return splat_int(-offset * (half ? sums[i] - half_sums[i] : half_sums[i]));
    }

    template <Packing P> Floats add_scaled(int t, int b, Ints dots, Floats d, Floats m, Floats total) const {
        const int i = t * blocks + b;
        total = fma(to_float(dots), d * splat(scales[i]), total);
        if constexpr (llmos::has_minimum(P)) total = fma(m, splat(scaled_sums[i]), total);
        return total;
    }
};

// Stores what a group of rows gives for a token.
inline void store_product(const MatmulArgs& a, int group, int token, Floats value) {
    float* out = a.out + size_t(token - a.first_token) * a.out_stride + (group - a.first_group) * 16;
    if (a.bias) value = value + load(a.bias + group * 16);
    if (a.accumulate) value = value + load(out);
    store(out, value);
}

}  // namespace
