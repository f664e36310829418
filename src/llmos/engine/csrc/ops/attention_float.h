// Attention over keys and values that are 32-bit or 16-bit floats.
#pragma once

#include "kernels.h"
#include "ops/exp.h"
#include "ops/visible_range.h"

namespace {

inline Floats load_cache(const uint16_t* p) { return load_half(p); }
inline Floats load_cache(const float* p) { return load(p); }
inline void store_cache(uint16_t* p, Floats a) { store_half(p, a); }
inline void store_cache(float* p, Floats a) { store(p, a); }
template <class T> constexpr float max_cached = sizeof(T) == 2 ? 65504.0f : 3.0e38f;

template <class T, int R>
void score(const AttentionArgs& a, const float* const* queries, float* const* scores, int first_block, int last_block) {
    for (int b = first_block; b < last_block; ++b) {
        const T* keys = (const T*)(a.cache + a.block_table[b] * a.block_stride);
        Floats even[R], odd[R];
        UNROLLED_FOR (int r = 0; r < R; ++r) even[r] = odd[r] = zero();
        const int head_dim = a.layout.head_dim;
        int d = 0;
        for (; d + 2 <= head_dim; d += 2) {
            const Floats k0 = load_cache(keys + d * 16), k1 = load_cache(keys + d * 16 + 16);
            UNROLLED_FOR (int r = 0; r < R; ++r) {
                even[r] = fma(splat(queries[r][d]), k0, even[r]);
                odd[r] = fma(splat(queries[r][d + 1]), k1, odd[r]);
            }
        }
        if (d < head_dim) {
            const Floats k0 = load_cache(keys + d * 16);
            UNROLLED_FOR (int r = 0; r < R; ++r) even[r] = fma(splat(queries[r][d]), k0, even[r]);
        }
        UNROLLED_FOR (int r = 0; r < R; ++r) store(scores[r] + b * 16, even[r] + odd[r]);
    }
}

// Turns a row's scores into weights that add up to one, together with that of the sink, if there is one (null: none).
// Scores outside the range become zero.
inline void softmax(float* scores, VisibleRange range, const float* sink) {
    float highest = mask_scores(scores, range);
    if (sink && *sink > highest) highest = *sink;
    const Floats shift = splat(highest);
    Floats total = zero();
    for (int b = range.first_block(); b < range.last_block(); ++b) {
        const Floats p = range.mask(exp(load(scores + b * 16) - shift), b, 0);
        total = total + p;
        store(scores + b * 16, p);
    }
    const Floats inverse = splat(1 / (sum(total) + (sink ? exp_one(*sink - highest) : 0)));
    for (int b = range.first_block(); b < range.last_block(); ++b)
        store(scores + b * 16, load(scores + b * 16) * inverse);
}

// Adds up the weighted values for V * 16 dimensions of the head, from `dim` on.
template <class T, int R, int V>
void weighted_sum(const AttentionArgs& a, float* const* scores, int first_block, int last_block, int dim,
                  float (&out)[AttentionArgs::max_rows][64]) {
    Floats total[R][V];
    UNROLLED_FOR (int r = 0; r < R; ++r)
        UNROLLED_FOR (int v = 0; v < V; ++v) total[r][v] = zero();
    for (int b = first_block; b < last_block; ++b) {
        const T* values = (const T*)(a.cache + a.block_table[b] * a.block_stride + a.layout.values_offset()) + dim;
        for (int j = 0; j < 16; ++j) {
            Floats value[V];
            UNROLLED_FOR (int v = 0; v < V; ++v)
                value[v] = load_cache(values + j * a.layout.padded_head_dim() + v * 16);
            UNROLLED_FOR (int r = 0; r < R; ++r) {
                const Floats p = splat(scores[r][b * 16 + j]);
                UNROLLED_FOR (int v = 0; v < V; ++v) total[r][v] = fma(p, value[v], total[r][v]);
            }
        }
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) store(out[r] + v * 16, total[r][v]);
}

template <class T, int R> void attend_floats(const AttentionArgs& a) {
    const VisibleRange all = union_of_ranges(a, R);
    const int padded_head_dim = a.layout.padded_head_dim();
    float* scores[R];
    for (int r = 0; r < R; ++r) scores[r] = a.scores + size_t(r) * a.scores_stride;
    score<T, R>(a, a.queries, scores, all.first_block(), all.last_block());
    for (int r = 0; r < R; ++r) {
        // Every row adds up the blocks that any row sees; blocks outside its own range have weights of zero.
        const VisibleRange own{a.first[r], a.positions[r]};
        if (a.softcap) cap_scores(scores[r], own, a.softcap);
        softmax(scores[r], own, a.has_sinks ? &a.sinks[r] : nullptr);
        const auto clear = [&](int from, int to) {
            for (int b = from; b < to; ++b) store(scores[r] + b * 16, zero());
        };
        clear(all.first_block(), own.first_block());
        clear(own.last_block(), all.last_block());
    }
    for (int dim = 0; dim < padded_head_dim; dim += 64) {
        float out[AttentionArgs::max_rows][64];
        const int left = padded_head_dim - dim;
        switch (left >= 64 ? 4 : left / 16) {
            case 4: weighted_sum<T, R, 4>(a, scores, all.first_block(), all.last_block(), dim, out); break;
            case 3: weighted_sum<T, R, 3>(a, scores, all.first_block(), all.last_block(), dim, out); break;
            case 2: weighted_sum<T, R, 2>(a, scores, all.first_block(), all.last_block(), dim, out); break;
            case 1: weighted_sum<T, R, 1>(a, scores, all.first_block(), all.last_block(), dim, out); break;
        }
        const int count = a.layout.head_dim - dim < 64 ? a.layout.head_dim - dim : 64;
        for (int r = 0; r < R; ++r) __builtin_memcpy(a.outs[r] + dim, out[r], size_t(count) * sizeof(float));
    }
}

template <class T>
void write_floats(const CacheLayout& layout, const float* key, const float* value, int slot, uint8_t* block) {
    T* keys = (T*)block + slot;
    T* values = (T*)(block + layout.values_offset()) + slot * layout.padded_head_dim();
    const Floats most = splat(max_cached<T>), least = splat(-max_cached<T>);
    Floats nan_if_broken = zero();  // NaN where one of the values is not finite
    for (int d = 0; d < layout.padded_head_dim(); d += 16) {
        // A NaN among the values would outlive its sequence, since NaN times a weight of zero is NaN for the block's
        // next owner. So values are stored as finite numbers, and a NaN in the key makes the score NaN instead, which
        // the next owner masks.
        nan_if_broken = fma(load(value + d), zero(), nan_if_broken);
        store_cache(values + d, max(min(load(value + d), most), least));
    }
    nan_if_broken = splat(sum(nan_if_broken) * 0);
    for (int d = 0; d < layout.padded_head_dim(); d += 16) {
        T converted[16];
        store_cache(converted,
                    max(least, min(most, load(key + d) + nan_if_broken)));  // this order of max and min keeps NaN
        for (int i = 0; i < 16 && d + i < layout.head_dim; ++i) keys[(d + i) * 16] = converted[i];
    }
}

}  // namespace
