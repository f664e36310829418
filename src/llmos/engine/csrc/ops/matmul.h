// out = weights . x, in tiles of R groups of 16 rows by T tokens that live in registers.
#pragma once

#include "kernels.h"
#include "matrix.h"
#include "ops/block_scales.h"
#include "ops/block_weights.h"
#include "ops/matmul_unpacked.h"
#include "ops/prefetch.h"
#include "ops/product.h"

namespace {

// The tiles of one pair of groups together prefetch the weights of the next pair: all tiles but the first find their
// own weights in the cache, so the hardware would fetch nothing ahead. Tile `number` of `count` prefetches every
// count-th block.
struct FetchAhead {
    int number, count;
};

// The places of a tile's R groups and T tokens.
template <Packing P, int R, int T> struct TileInputs {
    static constexpr size_t weight_bytes = llmos::weight_bytes(P), scale_bytes = llmos::scale_bytes(P),
                            super_bytes = llmos::super_bytes(P);
    const uint8_t* weights[R];
    const uint8_t* scales[R];
    const uint8_t* supers[R];
    TokenInputs<T> x;
    size_t group_bytes;

    TileInputs(const PackedMatrix& w, const Activations& x, int group, int token)
        : x(x, token), group_bytes(w.group_bytes()) {
        for (int r = 0; r < R; ++r) {
            weights[r] = w.group(group + r);
            scales[r] = weights[r] + w.scales_offset();
            supers[r] = weights[r] + w.supers_offset();
        }
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

// Adds the dot products of one quad of weights to those of every token; `number` counts the quads from 0.
template <Packing P, int R, int T>
inline void add_products(const TokenInputs<T>& x, const Bytes (&u)[R], int number, int from,
                         BlockDots<P> (&dots)[R][T]) {
    Bytes weights[R];
    UNROLLED_FOR (int r = 0; r < R; ++r) weights[r] = prepared_for_dots<P>(u[r]);
    UNROLLED_FOR (int t = 0; t < T; ++t)
        UNROLLED_FOR (int r = 0; r < R; ++r) dots[r][t].add(number, weights[r], x.q[t] + from);
}

// The dot products of block b.
template <Packing P, int R, int T>
inline void multiply_block(const TileInputs<P, R, T>& in, int b, BlockDots<P> (&dots)[R][T]) {
    if constexpr (P == Packing::bytes) {
        UNROLLED_FOR (int quad = 0; quad < 8; ++quad) {
            Bytes u[R];
            UNROLLED_FOR (int r = 0; r < R; ++r) u[r] = load_bytes(in.block(r, b) + quad * 64);
            add_products<P>(in.x, u, quad, b * 32 + quad * 4, dots);
        }
    } else {
        BlockWeights<P> quads[R];
        UNROLLED_FOR (int r = 0; r < R; ++r) quads[r] = BlockWeights<P>(in.block(r, b));
        UNROLLED_FOR (int quad = 0; quad < 4; ++quad) {
            Bytes low[R], high[R];
            UNROLLED_FOR (int r = 0; r < R; ++r) quads[r].read(quad, low[r], high[r]);
            add_products<P>(in.x, low, 2 * quad, b * 32 + quad * 4, dots);
            add_products<P>(in.x, high, 2 * quad + 1, b * 32 + 16 + quad * 4, dots);
        }
    }
}

// The dot products of columns 0-15 or 16-31 of block b.
template <int half, Packing P, int R, int T>
inline void multiply_half(const TileInputs<P, R, T>& in, int b, BlockDots<P> (&dots)[R][T]) {
    BlockWeights<P> quads[R];
    UNROLLED_FOR (int r = 0; r < R; ++r) quads[r] = BlockWeights<P>(in.block(r, b));
    UNROLLED_FOR (int quad = 0; quad < 4; ++quad) {
        Bytes u[R];
        UNROLLED_FOR (int r = 0; r < R; ++r) u[r] = quads[r].template read<half>(quad);
        add_products<P>(in.x, u, quad, b * 32 + 16 * half + quad * 4, dots);
    }
}

template <int half, Packing P, int R, int T>
inline void start_dots(const TileInputs<P, R, T>& in, int b, BlockDots<P> (&dots)[R][T]) {
    UNROLLED_FOR (int t = 0; t < T; ++t) {
        const BlockDots<P> first(in.x.template start_of_dots<P, half>(t, b));
        UNROLLED_FOR (int r = 0; r < R; ++r) dots[r][t] = first;
    }
}

template <int half, Packing P, int R, int T>
inline void add_dots(const TileInputs<P, R, T>& in, int b, const BlockDots<P> (&dots)[R][T], Floats (&total)[R][T]) {
    UNROLLED_FOR (int r = 0; r < R; ++r) {
        const BlockScales<P> s = in.block_scales(r, b);
        UNROLLED_FOR (int t = 0; t < T; ++t)
            total[r][t] = in.x.template add_scaled<P>(t, b, dots[r][t].total(), s.d[half], s.m, total[r][t]);
    }
}

template <Packing P, int R, int T>
inline void tile(const PackedMatrix& w, const Activations& x, int group, int token, FetchAhead ahead,
                 Floats (&total)[R][T]) {
    const TileInputs<P, R, T> in(w, x, group, token);
    for (int b = 0, next_fetch = ahead.number; b < in.x.blocks; ++b) {
        if (b == next_fetch) {
            next_fetch += ahead.count;
            in.prefetch_next_groups(b);
        }
        BlockDots<P> dots[R][T];
        start_dots<0>(in, b, dots);
        if constexpr (BlockScales<P>::halves == 1) {
            multiply_block(in, b, dots);
            add_dots<0>(in, b, dots, total);
        } else {
            multiply_half<0>(in, b, dots);
            add_dots<0>(in, b, dots, total);
            start_dots<1>(in, b, dots);
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
        UNROLLED_FOR (int t = 0; t < T; ++t) store_product(a, group + r, token + t, total[r][t]);
}

// The groups that make a tile with T tokens.
template <int T> constexpr int groups_of_tile = tile_sums / T < 4 ? tile_sums / T : 4;

// All groups for T tokens: each byte of the weights is read once.
template <Packing P, int T> void sweep(const MatmulArgs& a) {
    constexpr int R = groups_of_tile<T>;
    constexpr FetchAhead all = {0, 1};
    int group = a.first_group;
    for (; group + R <= a.last_group; group += R) compute<P, R, T>(a, group, a.first_token, all);
    if constexpr (R > 2)
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

template <Packing P> void many_tokens(const MatmulArgs& a) {
    constexpr int R = groups_of_tile<4>;
    int group = a.first_group;
    for (; group + R <= a.last_group; group += R) all_tokens<P, R>(a, group);
    for (; group < a.last_group; ++group) all_tokens<P, 1>(a, group);
}

template <Packing P> void matmul_packed(const MatmulArgs& a) {
    switch (a.last_token - a.first_token) {
        case 1: sweep<P, 1>(a); break;
        case 2: sweep<P, 2>(a); break;
        case 3: sweep<P, 3>(a); break;
        case 4: sweep<P, 4>(a); break;
        default:
            if constexpr (unpacks_once && is_costly_to_read<P>()) matmul_unpacked<P>(a);
            else many_tokens<P>(a);
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
