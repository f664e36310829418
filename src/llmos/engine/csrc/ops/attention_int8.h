// Attention over keys and values of 8 bits, in integer dot products.
//
// A query is quantized with one scale. The softmax weights, each already times its value's scale, are quantized in
// sections of 64 positions with one scale each, so that small weights far from the largest one keep their precision.
#pragma once

#include <algorithm>

#include "kernels.h"
#include "ops/bytes.h"
#include "ops/exp.h"
#include "ops/visible_range.h"

namespace {

constexpr int max_weight_byte = 127;  // AVX2 adds two products in 16 bits: with 127 they fit

constexpr int section_blocks = 4;  // blocks 0 to 3 of the sequence, 4 to 7, ... share a scale

// The quantized weights of one row in one block. They replace the block's scores in memory:
//
//   scores    [16 floats]
//   weights   [16 bytes][scale of the section, in its first block only][unused]
struct ByteWeights {
    uint8_t quantized[16];
    float scale;
};

inline ByteWeights& weights_of_block(float* scores, int block) { return *(ByteWeights*)(scores + block * 16); }
inline int section_start(int block) { return block / section_blocks * section_blocks; }

constexpr float log2_of_e = 1.44269504088896341f;

struct QuantizedQuery {
    const int8_t* bytes;
    float scale;  // times log2(e), since the softmax computes 2^x
    int32_t sum;
};

inline QuantizedQuery quantize_query(const float* query, int padded_head_dim, int8_t* bytes) {
    const ByteScale unit = byte_scale(query, padded_head_dim);
    Ints total = splat_int(0);
    for (int d = 0; d < padded_head_dim; d += 16) {
        const Ints q = to_int(load(query + d) * splat(unit.inverse));
        store_int8(bytes + d, q);
        if (unit.inverse > 0) total = total + q;  // the integers of NaN would overflow
    }
    return {bytes, unit.scale * log2_of_e, sum(total)};
}

// Scores B blocks at a time: enough independent chains of dot products to keep the CPU busy.
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
        UNROLLED_FOR (int b = 0; b < B; ++b) k[b] = prepared(load_bytes(keys[b] + quad * 64));
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
void score_int8(const AttentionArgs& a, const QuantizedQuery (&queries)[R], float* const* scores, VisibleRange all) {
    constexpr int B = std::clamp(attention_sums / R, 1, 8);
    int block = all.first_block();
    for (; block + B <= all.last_block(); block += B) score_blocks<R, B>(a, queries, scores, block);
    for (; block < all.last_block(); ++block) score_blocks<R, 1>(a, queries, scores, block);
}

// Turns a row's scores into quantized weights in all blocks, zero outside the row's own range. Returns the sum of the
// weights before they were rounded, and of the sink's (null: none).
inline float quantize_weights(const AttentionArgs& a, float* scores, VisibleRange own, VisibleRange all,
                              const float* sink) {
    if (a.softcap) cap_scores(scores, own, a.softcap * log2_of_e);
    float highest = mask_scores(scores, own);
    if (sink && *sink * log2_of_e > highest) highest = *sink * log2_of_e;
    const Floats shift = splat(highest);
    Floats total = zero();
    for (int section = section_start(all.first_block()); section < all.last_block(); section += section_blocks) {
        Floats weights[section_blocks];
        Ints bits = splat_int(0);
        UNROLLED_FOR (int i = 0; i < section_blocks; ++i) {
            const int b = section + i;
            weights[i] = zero();
            if (b < own.first_block() || b >= own.last_block()) continue;
            const Floats p = own.mask(exp2_below_one(load(scores + b * 16) - shift), b, 0);
            total = total + p;
            // The scale of a position that was never written may be anything, NaN included: mask it.
            const Floats scale =
                load((const float*)(a.cache + a.block_table[b] * a.block_stride + a.layout.scales_offset()) + 16);
            weights[i] = own.mask(p * scale, b, 0);
            bits = max(bits, magnitude_bits(weights[i]));
        }
        const ByteScale unit = byte_scale_of_magnitude(max_weight_byte, largest(bits));
        UNROLLED_FOR (int i = 0; i < section_blocks; ++i)
            if (section + i < all.last_block())
                store_int8((int8_t*)weights_of_block(scores, section + i).quantized,
                           to_int(weights[i] * splat(unit.inverse)));
        weights_of_block(scores, section).scale = unit.scale;
    }
    return sum(total) + (sink ? exp_one(*sink - highest / log2_of_e) : 0);
}

template <int R, int V>
void weighted_sum_int8(const AttentionArgs& a, float* const* scores, VisibleRange all, int dim,
                       float (&out)[AttentionArgs::max_rows][32]) {
    Floats total[R][V];
    UNROLLED_FOR (int r = 0; r < R; ++r)
        UNROLLED_FOR (int v = 0; v < V; ++v) total[r][v] = zero();
    const size_t quad_bytes = 4 * size_t(a.layout.padded_head_dim());
    for (int first = all.first_block(), last; first < all.last_block(); first = last) {
        const int section = section_start(first);
        last = section + section_blocks < all.last_block() ? section + section_blocks : all.last_block();
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
                        dots[r][v] =
                            dot_signed(dots[r][v], value[v], weights_of_block(scores[r], b).quantized + quad * 4);
            }
        }
        UNROLLED_FOR (int r = 0; r < R; ++r) {
            const Floats scale = splat(weights_of_block(scores[r], section).scale);
            UNROLLED_FOR (int v = 0; v < V; ++v) total[r][v] = fma(to_float(dots[r][v]), scale, total[r][v]);
        }
    }
    UNROLLED_FOR (int r = 0; r < R; ++r)
        UNROLLED_FOR (int v = 0; v < V; ++v) store(out[r] + v * 16, total[r][v]);
}

template <int R> void attend_int8(const AttentionArgs& a) {
    const VisibleRange all = union_of_ranges(a, R);
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
    for (int r = 0; r < R; ++r)
        inverse_total[r] =
            1 / quantize_weights(a, scores[r], {a.first[r], a.positions[r]}, all, a.has_sinks ? &a.sinks[r] : nullptr);
    constexpr int V = 2 * R <= attention_sums ? 2 : 1, columns = 16 * V;
    for (int dim = 0; dim < layout.padded_head_dim(); dim += columns) {
        float out[AttentionArgs::max_rows][32];
        if (layout.padded_head_dim() - dim >= columns) weighted_sum_int8<R, V>(a, scores, all, dim, out);
        else weighted_sum_int8<R, 1>(a, scores, all, dim, out);
        const int count = std::min(layout.head_dim - dim, columns);
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
