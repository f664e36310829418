// out = weights . x for many tokens, where registers are few: the weights of 256 columns are unpacked and stored once,
// with their scales as floats, and then read for one tile of tokens after another. See product.h for the sums.
#pragma once

#include <algorithm>

#include "ops/prefetch.h"
#include "ops/product.h"

namespace {

constexpr int unpacked_blocks = llmos::super_blocks;
constexpr int tokens_at_once = 128;  // their sums stay in the first-level cache

// The weights of 16 rows in up to 8 blocks of 32 columns.
template <Packing P> struct Unpacked {
    static constexpr int halves = BlockScales<P>::halves, quads = 8 / halves;
    static constexpr size_t weight_bytes = llmos::weight_bytes(P), scale_bytes = llmos::scale_bytes(P);

    alignas(64) uint8_t weights[unpacked_blocks][halves][quads][64];
    float d[unpacked_blocks][halves][16], m[unpacked_blocks][16];
    int num_blocks;

    Unpacked(const PackedMatrix& matrix, int group, int first_block)
        : num_blocks(std::min(unpacked_blocks, matrix.blocks() - first_block)) {
        const uint8_t* begin = matrix.group(group);
        const uint8_t* from = begin + size_t(first_block) * weight_bytes;
        const uint8_t* scales = begin + matrix.scales_offset() + size_t(first_block) * scale_bytes;
        const uint8_t* supers =
            begin + matrix.supers_offset() + size_t(first_block) / llmos::super_blocks * llmos::super_bytes(P);
        // The blocks after these, or those that begin the next group.
        const bool is_last = first_block + num_blocks == matrix.blocks();
        const uint8_t* next = is_last ? begin + matrix.group_bytes() : from + num_blocks * weight_bytes;
        const uint8_t* next_scales =
            is_last ? begin + matrix.group_bytes() + matrix.scales_offset() : scales + num_blocks * scale_bytes;
        for (int b = 0; b < num_blocks; ++b, from += weight_bytes, scales += scale_bytes) {
            prefetch<weight_bytes>(next + b * weight_bytes);
            prefetch<scale_bytes>(next_scales + b * scale_bytes);
            unpack(from, &weights[b][0][0][0]);
            const BlockScales<P> s(supers, scales);
            for (int half = 0; half < halves; ++half) store(d[b][half], s.d[half]);
            if constexpr (llmos::has_minimum(P)) store(m[b], s.m);
        }
    }

  private:
    static void unpack(const uint8_t* block, uint8_t* out) {
        BlockWeights<P> quads(block);
        UNROLLED_FOR (int quad = 0; quad < 4; ++quad) {
            Bytes low, high;
            quads.read(quad, low, high);
            store_bytes(out + quad * 64, prepared_for_dots<P>(low));
            store_bytes(out + (4 + quad) * 64, prepared_for_dots<P>(high));
        }
    }
};

// Adds the products of these columns to the sums of T tokens, [T][16].
template <Packing P, int T>
inline void multiply_unpacked(const Unpacked<P>& w, const Activations& x, int token, int first_block, float* sums) {
    const TokenInputs<T> in(x, token);
    Floats total[T];
    UNROLLED_FOR (int t = 0; t < T; ++t) total[t] = load(sums + t * 16);
    for (int b = 0; b < w.num_blocks; ++b)
        UNROLLED_FOR (int half = 0; half < w.halves; ++half) {
            const int at = first_block + b, column = at * 32 + half * 16;
            BlockDots<P> dots[T];
            UNROLLED_FOR (int t = 0; t < T; ++t)
                dots[t] = BlockDots<P>(half ? in.template start_of_dots<P, 1>(t, at)
                                            : in.template start_of_dots<P, 0>(t, at));
            UNROLLED_FOR (int quad = 0; quad < w.quads; ++quad) {
                const Bytes u = load_bytes(w.weights[b][half][quad]);
                UNROLLED_FOR (int t = 0; t < T; ++t) dots[t].add(quad, u, in.q[t] + column + quad * 4);
            }
            const Floats d = load(w.d[b][half]), m = llmos::has_minimum(P) ? load(w.m[b]) : zero();
            UNROLLED_FOR (int t = 0; t < T; ++t)
                total[t] = in.template add_scaled<P>(t, at, dots[t].total(), d, m, total[t]);
        }
    UNROLLED_FOR (int t = 0; t < T; ++t) store(sums + t * 16, total[t]);
}

// The same for `count` tokens, 1 to T.
template <Packing P, int T>
void multiply_tile(int count, const Unpacked<P>& w, const Activations& x, int token, int first_block, float* sums) {
    if constexpr (T > 1)
        if (count < T) return multiply_tile<P, T - 1>(count, w, x, token, first_block, sums);
    multiply_unpacked<P, T>(w, x, token, first_block, sums);
}

// One group for some tokens, in tiles of about the same size.
template <Packing P> void multiply_group(const MatmulArgs& a, int group, int first_token, int last_token) {
    constexpr int T = tile_sums;
    alignas(64) float sums[tokens_at_once][16];
    for (int token = first_token; token < last_token; ++token) store(sums[token - first_token], zero());
    for (int block = 0; block < a.x->blocks(); block += unpacked_blocks) {
        const Unpacked<P> weights(*a.weights, group, block);
        int token = first_token;
        for (int left = (last_token - first_token + T - 1) / T; left > 0; --left) {
            const int count = (last_token - token + left - 1) / left;
            multiply_tile<P, T>(count, weights, *a.x, token, block, sums[token - first_token]);
            token += count;
        }
    }
    for (int token = first_token; token < last_token; ++token)
        store_product(a, group, token, load(sums[token - first_token]));
}

template <Packing P> void matmul_unpacked(const MatmulArgs& a) {
    for (int token = a.first_token; token < a.last_token; token += tokens_at_once)
        for (int group = a.first_group; group < a.last_group; ++group)
            multiply_group<P>(a, group, token, std::min(token + tokens_at_once, a.last_token));
}

}  // namespace
