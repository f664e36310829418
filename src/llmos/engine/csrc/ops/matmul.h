// out = weights . x, in tiles of R groups of 16 rows by T tokens that live in registers.
//
// A block's integer dot products are exact; block by block they are scaled and added in float, in ascending order:
//     total += float(dot) * (d * scale)          w = d * (u - offset): the dot starts at -offset * sum(q)
//     total += m * (scale * sum(q))              only with a minimum
#pragma once

#include "kernels.h"
#include "matrix.h"

namespace {

using llmos::Activations;
using llmos::MatmulArgs;
using llmos::PackedMatrix;
using llmos::Packing;

// The tiles of one pair of groups together prefetch the weights of the next pair: all tiles but the first find their
// own weights in the cache, so the hardware would fetch nothing ahead. Tile `number` of `count` prefetches every
// count-th block.
struct FetchAhead {
    int number, count;
};

template <size_t bytes> inline void prefetch(const uint8_t* p) {
    UNROLLED_FOR (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(p + line, 0, 2);
}

template <Packing P, int R, int T>
inline void tile(const PackedMatrix& w, const Activations& x, int group, int token, FetchAhead ahead,
                 Floats (&total)[R][T]) {
    constexpr bool affine = P == Packing::affine_nibbles;
    constexpr int offset = P == Packing::bytes ? 128 - dot_bytes_offset : affine ? 0 : 8;
    constexpr size_t weight_bytes = PackedMatrix::weight_bytes(P), scale_bytes = PackedMatrix::scale_bytes(P);
    const uint8_t* weights[R];
    const uint8_t* scales[R];
    const int8_t* q[T];
    const int blocks = x.blocks();
    for (int r = 0; r < R; ++r) {
        weights[r] = w.group(group + r);
        scales[r] = weights[r] + w.scales_offset();
    }
    for (int t = 0; t < T; ++t) q[t] = x.quantized + size_t(token + t) * x.columns;
    const float* x_scales = x.scales + size_t(token) * blocks;
    const float* x_scaled_sums = x.scaled_sums + size_t(token) * blocks;
    const int32_t* x_sums = x.sums + size_t(token) * blocks;

    for (int b = 0, next_fetch = ahead.number; b < blocks; ++b) {
        if (b == next_fetch) {
            next_fetch += ahead.count;
            for (int r = 0; r < R; ++r) {
                prefetch<weight_bytes>(weights[r] + R * w.group_bytes() + b * weight_bytes);
                prefetch<scale_bytes>(scales[r] + R * w.group_bytes() + b * scale_bytes);
            }
        }
        Ints dots[R][T];
        UNROLLED_FOR (int t = 0; t < T; ++t) {
            const Ints start = splat_int(offset ? -offset * x_sums[t * blocks + b] : 0);
            UNROLLED_FOR (int r = 0; r < R; ++r) dots[r][t] = start;
        }
        if constexpr (P == Packing::bytes) {
            UNROLLED_FOR (int quad = 0; quad < 8; ++quad) {
                Bytes u[R];
                UNROLLED_FOR (int r = 0; r < R; ++r) u[r] = load_bytes(weights[r] + b * weight_bytes + quad * 64);
                UNROLLED_FOR (int t = 0; t < T; ++t)
                    UNROLLED_FOR (int r = 0; r < R; ++r)
                        dots[r][t] = dot_bytes(dots[r][t], u[r], q[t] + b * 32 + quad * 4);
            }
        } else {
            UNROLLED_FOR (int quad = 0; quad < 4; ++quad) {
                Bytes low[R], high[R];
                UNROLLED_FOR (int r = 0; r < R; ++r) {
                    const Bytes u = load_bytes(weights[r] + b * weight_bytes + quad * 64);
                    low[r] = low_nibbles(u);
                    high[r] = high_nibbles(u);
                }
                UNROLLED_FOR (int t = 0; t < T; ++t)
                    UNROLLED_FOR (int r = 0; r < R; ++r) {
                        dots[r][t] = dot_nibbles(dots[r][t], low[r], q[t] + b * 32 + quad * 4);
                        dots[r][t] = dot_nibbles(dots[r][t], high[r], q[t] + b * 32 + 16 + quad * 4);
                    }
            }
        }
        UNROLLED_FOR (int r = 0; r < R; ++r) {
            const uint16_t* scale = (const uint16_t*)(scales[r] + b * scale_bytes);
            const Floats d = load_half(scale);
            Floats m;
            if constexpr (affine) m = load_half(scale + 16);
            UNROLLED_FOR (int t = 0; t < T; ++t) {
                total[r][t] = fma(to_float(dots[r][t]), d * splat(x_scales[t * blocks + b]), total[r][t]);
                if constexpr (affine) total[r][t] = fma(m, splat(x_scaled_sums[t * blocks + b]), total[r][t]);
            }
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
    }
}

}  // namespace
