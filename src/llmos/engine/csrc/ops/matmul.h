// out = weights . x, in tiles of R groups of 16 rows by T tokens that live in registers.
//
// A block's integer dot products are exact; block by block they are scaled and added in float, in ascending order:
//     total += float(dot) * (d * scale)          w = d * (u - offset): the dot starts at -offset * sum(q)
//     total += m * (scale * sum(q))              only with a minimum
// Where columns 0-15 and 16-31 of a block have scales of their own, each half has a dot product of its own.
#pragma once

#include "kernels.h"
#include "matrix.h"
#include "ops/block_scales.h"
#include "ops/block_weights.h"

namespace {

using llmos::Activations;
using llmos::MatmulArgs;
using llmos::PackedMatrix;

// The tiles of one pair of groups together prefetch the weights of the next pair: all tiles but the first find their
// own weights in the cache, so the hardware would fetch nothing ahead. Tile `number` of `count` prefetches every
// count-th block.
struct FetchAhead {
    int number, count;
};

// Always inlined: GCC takes a function that only prefetches for one without effects, and drops its calls.
template <size_t bytes> __attribute__((always_inline)) inline void prefetch(const uint8_t* p) {
    UNROLLED_FOR (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(p + line, 0, 2);
}

// Where a tile's R groups and T tokens are.
template <Packing P, int R, int T> struct TileInputs {
    static constexpr size_t weight_bytes = llmos::weight_bytes(P), scale_bytes = llmos::scale_bytes(P),
                            super_bytes = llmos::super_bytes(P);
    const uint8_t* weights[R];
    const uint8_t* scales[R];
    const uint8_t* supers[R];
    const int8_t* q[T];
    const float *x_scales, *x_scaled_sums;  // [tokens][blocks]
    const int32_t *x_sums, *x_half_sums;
    int blocks;
    size_t group_bytes;

    TileInputs(const PackedMatrix& w, const Activations& x, int group, int token)
        : blocks(x.blocks()), group_bytes(w.group_bytes()) {
        for (int r = 0; r < R; ++r) {
            weights[r] = w.group(group + r);
            scales[r] = weights[r] + w.scales_offset();
            supers[r] = weights[r] + w.supers_offset();
        }
        for (int t = 0; t < T; ++t) q[t] = x.quantized + size_t(token + t) * x.columns;
        const size_t first = size_t(token) * blocks;
        x_scales = x.scales + first;
        x_scaled_sums = x.scaled_sums + first;
        x_sums = x.sums + first;
        x_half_sums = x.half_sums + first;
    }

    const uint8_t* block(int r, int b) const { return weights[r] + b * weight_bytes; }
    size_t super_offset(int b) const { return super_bytes ? size_t(b) / llmos::super_blocks * super_bytes : 0; }
    BlockScales<P> block_scales(int r, int b) const {
        return {supers[r] + super_offset(b), scales[r] + b * scale_bytes};
    }
    __attribute__((always_inline)) void prefetch_next_groups(int b) const {
        for (int r = 0; r < R; ++r) {
            prefetch<weight_bytes>(block(r, b) + R * group_bytes);
            prefetch<scale_bytes>(scales[r] + R * group_bytes + b * scale_bytes);
            if (super_bytes && b % llmos::super_blocks == 0)
                prefetch<super_bytes>(supers[r] + R * group_bytes + super_offset(b));
        }
    }
};

// Adds the products of columns 4 quad to 4 quad + 3 of a block, counted from `from`, for every group and token.
template <Packing P, int R, int T>
inline void add_products(const TileInputs<P, R, T>& in, const Bytes (&u)[R], int from, Ints (&dots)[R][T]) {
    UNROLLED_FOR (int t = 0; t < T; ++t)
        UNROLLED_FOR (int r = 0; r < R; ++r) dots[r][t] = dot<P>(dots[r][t], u[r], in.q[t] + from);
}

// The dot products of block b.
template <Packing P, int R, int T>
inline void multiply_block(const TileInputs<P, R, T>& in, int b, Ints (&dots)[R][T]) {
    if constexpr (P == Packing::bytes) {
        UNROLLED_FOR (int quad = 0; quad < 8; ++quad) {
            Bytes u[R];
            UNROLLED_FOR (int r = 0; r < R; ++r) u[r] = load_bytes(in.block(r, b) + quad * 64);
            add_products(in, u, b * 32 + quad * 4, dots);
        }
    } else {
        BlockWeights<P> quads[R];
        UNROLLED_FOR (int r = 0; r < R; ++r) quads[r] = BlockWeights<P>(in.block(r, b));
        UNROLLED_FOR (int quad = 0; quad < 4; ++quad) {
            Bytes low[R], high[R];
            UNROLLED_FOR (int r = 0; r < R; ++r) quads[r].read(quad, low[r], high[r]);
            add_products(in, low, b * 32 + quad * 4, dots);
            add_products(in, high, b * 32 + 16 + quad * 4, dots);
        }
    }
}

// The dot products of columns 0-15 or 16-31 of block b.
template <int half, Packing P, int R, int T>
inline void multiply_half(const TileInputs<P, R, T>& in, int b, Ints (&dots)[R][T]) {
    BlockWeights<P> quads[R];
    UNROLLED_FOR (int r = 0; r < R; ++r) quads[r] = BlockWeights<P>(in.block(r, b));
    UNROLLED_FOR (int quad = 0; quad < 4; ++quad) {
        Bytes u[R];
        UNROLLED_FOR (int r = 0; r < R; ++r) u[r] = quads[r].template read<half>(quad);
        add_products(in, u, b * 32 + 16 * half + quad * 4, dots);
    }
}

// Starts the dot products with what the weights' offset takes from them: sum_of(i) is the sum of q at index i.
template <Packing P, int R, int T, class SumOf>
inline void start_dots(const TileInputs<P, R, T>& in, int b, SumOf sum_of, Ints (&dots)[R][T]) {
    constexpr int offset = remaining_offset<P>();
    UNROLLED_FOR (int t = 0; t < T; ++t) {
        const Ints first = splat_int(offset ? -offset * sum_of(t * in.blocks + b) : 0);
        UNROLLED_FOR (int r = 0; r < R; ++r) dots[r][t] = first;
    }
}

// Scales the dot products of block b, or of one half of it, and adds them to the totals.
template <int half, Packing P, int R, int T>
inline void add_dots(const TileInputs<P, R, T>& in, int b, const Ints (&dots)[R][T], Floats (&total)[R][T]) {
    UNROLLED_FOR (int r = 0; r < R; ++r) {
        const BlockScales<P> s = in.block_scales(r, b);
        UNROLLED_FOR (int t = 0; t < T; ++t) {
            const int i = t * in.blocks + b;
            total[r][t] = fma(to_float(dots[r][t]), s.d[half] * splat(in.x_scales[i]), total[r][t]);
            if constexpr (llmos::has_minimum(P)) total[r][t] = fma(s.m, splat(in.x_scaled_sums[i]), total[r][t]);
        }
    }
}

template <Packing P, int R, int T>
inline void tile(const PackedMatrix& w, const Activations& x, int group, int token, FetchAhead ahead,
                 Floats (&total)[R][T]) {
    const TileInputs<P, R, T> in(w, x, group, token);
    for (int b = 0, next_fetch = ahead.number; b < in.blocks; ++b) {
        if (b == next_fetch) {
            next_fetch += ahead.count;
            in.prefetch_next_groups(b);
        }
        Ints dots[R][T];
        if constexpr (BlockScales<P>::halves == 1) {
            start_dots(in, b, [&](int i) { return in.x_sums[i]; }, dots);
            multiply_block(in, b, dots);
            add_dots<0>(in, b, dots, total);
        } else {
            start_dots(in, b, [&](int i) { return in.x_half_sums[i]; }, dots);
            multiply_half<0>(in, b, dots);
            add_dots<0>(in, b, dots, total);
            start_dots(in, b, [&](int i) { return in.x_sums[i] - in.x_half_sums[i]; }, dots);
            multiply_half<1>(in, b, dots);
            add_dots<1>(in, b, dots, total);
        }
    }
}

template <int R, int T>
inline void float_tile(const PackedMatrix& w, const Activations& x, int group, int token, Floats (&total)[R][T]) {
    const float* weights[R];
    const float* values[T];
    for (int r = 0; r < R; ++r) weights[r] = (const float*)w.group(group + r);
    for (int t = 0; t < T; ++t) values[t] = x.values + size_t(token + t) * x.columns;
    for (int c = 0; c < w.columns(); ++c)
        for (int r = 0; r < R; ++r) {
            const Floats column = load(weights[r] + size_t(c) * 16);
            for (int t = 0; t < T; ++t) total[r][t] = fma(column, splat(values[t][c]), total[r][t]);
        }
}

template <Packing P, int R, int T> void compute(const MatmulArgs& a, int group, int token, FetchAhead ahead) {
    Floats total[R][T];
    UNROLLED_FOR (int r = 0; r < R; ++r)
        UNROLLED_FOR (int t = 0; t < T; ++t) total[r][t] = zero();
    if constexpr (P == Packing::floats) float_tile<R, T>(*a.weights, *a.x, group, token, total);
    else tile<P, R, T>(*a.weights, *a.x, group, token, ahead, total);
    UNROLLED_FOR (int r = 0; r < R; ++r)
        UNROLLED_FOR (int t = 0; t < T; ++t) {
            float* out = a.out + size_t(token - a.first_token + t) * a.out_stride + (group - a.first_group + r) * 16;
            Floats value = total[r][t];
            if (a.bias) value = value + load(a.bias + (group + r) * 16);
            if (a.accumulate) value = value + load(out);
            store(out, value);
        }
}

// All groups for T tokens, R groups at a time: each byte of the weights is read once.
template <Packing P, int R, int T> void sweep(const MatmulArgs& a) {
    constexpr FetchAhead all = {0, 1};
    int group = a.first_group;
    for (; group + R <= a.last_group; group += R) compute<P, R, T>(a, group, a.first_token, all);
    for (; group + 2 <= a.last_group; group += 2) compute<P, 2, T>(a, group, a.first_token, all);
    for (; group < a.last_group; ++group) compute<P, 1, T>(a, group, a.first_token, all);
}

// R groups for all tokens: the weights stay in the first-level cache.
template <Packing P, int R> void all_tokens(const MatmulArgs& a, int group) {
    const int count = (a.last_token - a.first_token + 3) / 4;
    int token = a.first_token, number = 0;
    for (; token + 4 <= a.last_token; token += 4) compute<P, R, 4>(a, group, token, {number++, count});
    switch (a.last_token - token) {
        case 3: compute<P, R, 3>(a, group, token, {number, count}); break;
        case 2: compute<P, R, 2>(a, group, token, {number, count}); break;
        case 1: compute<P, R, 1>(a, group, token, {number, count}); break;
    }
}

template <Packing P> void tokens_by_pairs(const MatmulArgs& a) {
    int group = a.first_group;
    for (; group + 2 <= a.last_group; group += 2) all_tokens<P, 2>(a, group);
    if (group < a.last_group) all_tokens<P, 1>(a, group);
}

template <Packing P> void matmul_packed(const MatmulArgs& a) {
    switch (a.last_token - a.first_token) {
        case 1: sweep<P, 4, 1>(a); break;
        case 2: sweep<P, 4, 2>(a); break;
        default: tokens_by_pairs<P>(a);
    }
}

void matmul(const MatmulArgs& a) {
    switch (a.weights->packing()) {
        case Packing::bytes: matmul_packed<Packing::bytes>(a); break;
        case Packing::nibbles: matmul_packed<Packing::nibbles>(a); break;
        case Packing::affine_nibbles: matmul_packed<Packing::affine_nibbles>(a); break;
        case Packing::floats: matmul_packed<Packing::floats>(a); break;
        case Packing::q4_k: matmul_packed<Packing::q4_k>(a); break;
        case Packing::q5_k: matmul_packed<Packing::q5_k>(a); break;
        case Packing::q6_k: matmul_packed<Packing::q6_k>(a); break;
        case Packing::q5_0: matmul_packed<Packing::q5_0>(a); break;
        case Packing::q5_1: matmul_packed<Packing::q5_1>(a); break;
        case Packing::iq4_nl: matmul_packed<Packing::iq4_nl>(a); break;
        case Packing::iq4_xs: matmul_packed<Packing::iq4_xs>(a); break;
        case Packing::mxfp4: matmul_packed<Packing::mxfp4>(a); break;
    }
}

}  // namespace
