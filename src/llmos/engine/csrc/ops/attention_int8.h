// Attention over keys and values of 8 bits, in integer dot products.
//
// A query becomes bytes with one scale; so does each stretch of 64 weights of the softmax, each already times its value's
// scale: however small the weights of a stretch are, their largest has all of the bits.
#pragma once

#include "kernels.h"
#include "ops/bytes.h"
#include "ops/exp.h"
#include "ops/reach.h"

namespace {

constexpr int largest_share = 127;  // a sum of two products with it fits into 16 bits, where AVX2 puts it

constexpr int stretch_blocks = 4;  // that share a scale: blocks 0 to 3 of the sequence, 4 to 7, ...

// The sixteen shares of one row in one block, where the block's scores lay; the first block of a stretch also says what a
// share of the stretch is worth.
struct ByteWeights {
    uint8_t quantized[16];
    float scale;
};

inline ByteWeights& shares_of(float* scores, int block) { return *(ByteWeights*)(scores + block * 16); }
inline int stretch_of(int block) { return block / stretch_blocks * stretch_blocks; }

constexpr float log2_of_e = 1.44269504088896341f;

struct QuantizedQuery {
    const int8_t* bytes;
    float scale;  // times log2(e): the scores are powers of two
    int32_t sum;
};

inline QuantizedQuery quantize_query(const float* query, int padded_head_dim, int8_t* bytes) {
    const ByteScale unit = byte_scale(query, padded_head_dim);
    Ints total = splat_int(0);
    for (int d = 0; d < padded_head_dim; d += 16) {
        const Ints q = to_int(load(query + d) * splat(unit.inverse));
        store_int8(bytes + d, q);
        total = total + q;
    }
    return {bytes, unit.scale * log2_of_e, sum(total)};
}

// B blocks at a time: as many chains of dot products as keep the CPU busy.
template <int R, int B>
inline void score_blocks(const AttentionArgs& a, const QuantizedQuery (&queries)[R], float* const* scores, int block) {
    constexpr int offset = 128 - dot_bytes_offset;
    const uint8_t *keys[B], *next[B];
    for (int b = 0; b < B; ++b) {
        keys[b] = a.cache + a.block_table[block + b] * a.block_stride;
        if (a.next_cache)
            next[b] = a.next_cache + a.next_block_table[block + b < a.next_num_blocks ? block + b : 0] * a.block_stride;
    }
    Ints dots[R][B];
    UNROLLED_FOR (int r = 0; r < R; ++r)
        UNROLLED_FOR (int b = 0; b < B; ++b) dots[r][b] = splat_int(-offset * queries[r].sum);
    for (int quad = 0; quad < a.layout.quads(); ++quad) {
        if (a.next_cache)
            for (int b = 0; b < B; ++b) {
                __builtin_prefetch(next[b] + quad * 64, 0, 2);
                __builtin_prefetch(next[b] + a.layout.values_offset() + quad * 64, 0, 2);
            }
        Bytes k[B];
        UNROLLED_FOR (int b = 0; b < B; ++b) k[b] = load_bytes(keys[b] + quad * 64);
        UNROLLED_FOR (int r = 0; r < R; ++r)
            UNROLLED_FOR (int b = 0; b < B; ++b) dots[r][b] = dot_bytes(dots[r][b], k[b], queries[r].bytes + quad * 4);
    }
    UNROLLED_FOR (int b = 0; b < B; ++b) {
        const Floats scale = load((const float*)(keys[b] + a.layout.scales_offset()));
        UNROLLED_FOR (int r = 0; r < R; ++r)
            store(scores[r] + (block + b) * 16, to_float(dots[r][b]) * (scale * splat(queries[r].scale)));
    }
}

template <int R>
void score_int8(const AttentionArgs& a, const QuantizedQuery (&queries)[R], float* const* scores, Reach all) {
    constexpr int B = R == 1 ? 8 : R == 2 ? 6 : R == 3 ? 4 : R == 4 ? 3 : 2;
    int block = all.first_block();
    for (; block + B <= all.last_block(); block += B) score_blocks<R, B>(a, queries, scores, block);
    for (; block < all.last_block(); ++block) score_blocks<R, 1>(a, queries, scores, block);
}

// Turns a row's scores into shares of all blocks, none where they are out of its own reach; returns the sum of what they
// were before they were rounded.
inline float share_out(const AttentionArgs& a, float* scores, Reach own, Reach all) {
    if (a.softcap) cap_scores(scores, own, a.softcap * log2_of_e);
    const Floats shift = splat(hide_out_of_reach(scores, own));
    Floats total = zero();
    for (int stretch = stretch_of(all.first_block()); stretch < all.last_block(); stretch += stretch_blocks) {
        Floats weights[stretch_blocks];
        Ints bits = splat_int(0);
        UNROLLED_FOR (int i = 0; i < stretch_blocks; ++i) {
            const int b = stretch + i;
            weights[i] = zero();
            if (b < own.first_block() || b >= own.last_block()) continue;
            const Floats p = own.keep(exp2_below_one(load(scores + b * 16) - shift), b, 0);
            total = total + p;
            // A position that nobody wrote has any scale, even none that is a number.
            const Floats scale =
                load((const float*)(a.cache + a.block_table[b] * a.block_stride + a.layout.scales_offset()) + 16);
            weights[i] = own.keep(p * scale, b, 0);
            bits = max(bits, magnitude_bits(weights[i]));
        }
        const ByteScale unit = scale_to(largest_share, largest(bits));
        UNROLLED_FOR (int i = 0; i < stretch_blocks; ++i)
            if (stretch + i < all.last_block())
                store_int8((int8_t*)shares_of(scores, stretch + i).quantized, to_int(weights[i] * splat(unit.inverse)));
        shares_of(scores, stretch).scale = unit.scale;
    }
    return sum(total);
}

template <int R, int V>
void weigh_int8(const AttentionArgs& a, float* const* scores, Reach all, int dim,
                float (&out)[AttentionArgs::max_rows][32]) {
    Floats total[R][V];
    UNROLLED_FOR (int r = 0; r < R; ++r)
        UNROLLED_FOR (int v = 0; v < V; ++v) total[r][v] = zero();
    const size_t quad_bytes = 4 * size_t(a.layout.padded_head_dim());
    for (int first = all.first_block(), last; first < all.last_block(); first = last) {
        const int stretch = stretch_of(first);
        last = stretch + stretch_blocks < all.last_block() ? stretch + stretch_blocks : all.last_block();
        Ints dots[R][V];
        UNROLLED_FOR (int r = 0; r < R; ++r)
            UNROLLED_FOR (int v = 0; v < V; ++v) dots[r][v] = splat_int(0);
        for (int b = first; b < last; ++b) {
            const uint8_t* values =
                a.cache + a.block_table[b] * a.block_stride + a.layout.values_offset() + 4 * size_t(dim);
            UNROLLED_FOR (int quad = 0; quad < 4; ++quad) {
                Bytes value[V];
                UNROLLED_FOR (int v = 0; v < V; ++v) value[v] = load_bytes(values + quad * quad_bytes + v * 64);
                UNROLLED_FOR (int r = 0; r < R; ++r)
                    UNROLLED_FOR (int v = 0; v < V; ++v)
                        dots[r][v] = dot_signed(dots[r][v], value[v], shares_of(scores[r], b).quantized + quad * 4);
            }
        }
        UNROLLED_FOR (int r = 0; r < R; ++r) {
            const Floats scale = splat(shares_of(scores[r], stretch).scale);
            UNROLLED_FOR (int v = 0; v < V; ++v) total[r][v] = fma(to_float(dots[r][v]), scale, total[r][v]);
        }
    }
    UNROLLED_FOR (int r = 0; r < R; ++r)
        UNROLLED_FOR (int v = 0; v < V; ++v) store(out[r] + v * 16, total[r][v]);
}

template <int R> void attend_int8(const AttentionArgs& a) {
    const Reach all = reach_of_all(a, R);
    const CacheLayout& layout = a.layout;
    QuantizedQuery queries[R];
    float* scores[R];
    float inverse_total[R];
    for (int r = 0; r < R; ++r) {
        queries[r] = quantize_query(a.queries[r], layout.padded_head_dim(),
                                    a.query_bytes + size_t(r) * layout.padded_head_dim());
        scores[r] = a.scores + size_t(r) * a.scores_stride;
    }
    score_int8<R>(a, queries, scores, all);
    for (int r = 0; r < R; ++r) inverse_total[r] = 1 / share_out(a, scores[r], {a.first[r], a.positions[r]}, all);
    for (int dim = 0; dim < layout.padded_head_dim(); dim += 32) {
        float out[AttentionArgs::max_rows][32];
        const bool is_pair = layout.padded_head_dim() - dim >= 32;
        if (is_pair) weigh_int8<R, 2>(a, scores, all, dim, out);
        else weigh_int8<R, 1>(a, scores, all, dim, out);
        const int count = layout.head_dim - dim < 32 ? layout.head_dim - dim : 32;
        for (int r = 0; r < R; ++r)
            for (int i = 0; i < count; ++i) a.outs[r][dim + i] = out[r][i] * inverse_total[r];
    }
}

void write_int8(const CacheLayout& layout, const float* key, const float* value, int slot, uint8_t* block) {
    const int padded_head_dim = layout.padded_head_dim();
    const ByteScale k = byte_scale(key, padded_head_dim), v = byte_scale(value, padded_head_dim);
    uint8_t* keys = block + slot * 4;
    uint8_t* values = block + layout.values_offset() + size_t(slot / 4) * 4 * padded_head_dim + slot % 4;
    for (int d = 0; d < padded_head_dim; d += 16) {
        int8_t bytes[16];
        store_int8(bytes, to_int(load(key + d) * splat(k.inverse)));
        for (int i = 0; i < 16 && d + i < layout.head_dim; i += 4) {
            uint32_t four;
            __builtin_memcpy(&four, bytes + i, 4);
            four ^= 0x80808080u;
            __builtin_memcpy(keys + size_t(d + i) * 16, &four, 4);
        }
        store_int8(bytes, to_int(load(value + d) * splat(v.inverse)));
        for (int i = 0; i < 16; ++i) values[(d + i) * 4] = uint8_t(bytes[i]);
    }
    float* scales = (float*)(block + layout.scales_offset());
    scales[slot] = k.scale;
    scales[16 + slot] = v.scale;
}

}  // namespace
