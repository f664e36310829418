// Attention over keys and values that are floats of 32 or 16 bits.
#pragma once

#include "kernels.h"
#include "ops/exp.h"
#include "ops/reach.h"

namespace {

inline Floats load_cache(const uint16_t* p) { return load_half(p); }
inline Floats load_cache(const float* p) { return load(p); }
inline void store_cache(uint16_t* p, Floats a) { store_half(p, a); }
inline void store_cache(float* p, Floats a) { store(p, a); }
template <class T> constexpr float largest_cached = sizeof(T) == 2 ? 65504.0f : 3.0e38f;

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

// Turns a row's scores into weights that add up to one; those out of reach become zero.
inline void softmax(float* scores, Reach reach) {
    const Floats shift = splat(hide_out_of_reach(scores, reach));
    Floats total = zero();
    for (int b = reach.first_block(); b < reach.last_block(); ++b) {
        const Floats p = reach.keep(exp(load(scores + b * 16) - shift), b, 0);
        total = total + p;
        store(scores + b * 16, p);
    }
    const Floats inverse = splat(1 / sum(total));
    for (int b = reach.first_block(); b < reach.last_block(); ++b)
        store(scores + b * 16, load(scores + b * 16) * inverse);
}

// V vectors of 16 of the head's dimensions at a time.
template <class T, int R, int V>
void weigh(const AttentionArgs& a, float* const* scores, int first_block, int last_block, int dim,
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
    const Reach all = reach_of_all(a, R);
    const int padded_head_dim = a.layout.padded_head_dim();
    float* scores[R];
    for (int r = 0; r < R; ++r) scores[r] = a.scores + size_t(r) * a.scores_stride;
    score<T, R>(a, a.queries, scores, all.first_block(), all.last_block());
    for (int r = 0; r < R; ++r) {
        // A row weighs all blocks that any of them reaches: those out of its own with zeros.
        const Reach own{a.first[r], a.positions[r]};
        if (a.softcap) cap_scores(scores[r], own, a.softcap);
        softmax(scores[r], own);
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
            case 4: weigh<T, R, 4>(a, scores, all.first_block(), all.last_block(), dim, out); break;
            case 3: weigh<T, R, 3>(a, scores, all.first_block(), all.last_block(), dim, out); break;
            case 2: weigh<T, R, 2>(a, scores, all.first_block(), all.last_block(), dim, out); break;
            case 1: weigh<T, R, 1>(a, scores, all.first_block(), all.last_block(), dim, out); break;
        }
        const int count = a.layout.head_dim - dim < 64 ? a.layout.head_dim - dim : 64;
        for (int r = 0; r < R; ++r) __builtin_memcpy(a.outs[r] + dim, out[r], size_t(count) * sizeof(float));
    }
}

template <class T>
void write_floats(const CacheLayout& layout, const float* key, const float* value, int slot, uint8_t* block) {
    T* keys = (T*)block + slot;
    T* values = (T*)(block + layout.values_offset()) + slot * layout.padded_head_dim();
    const Floats most = splat(largest_cached<T>), least = splat(-largest_cached<T>);
    Floats spoilt = zero();  // no number where one of the values is none
    for (int d = 0; d < layout.padded_head_dim(); d += 16) {
        // A value that is no number would outlive its owner: times a weight of zero it is none either. So values are
        // always numbers, and the key says that one was not, in a score that later owners hide.
        spoilt = fma(load(value + d), zero(), spoilt);
        store_cache(values + d, max(min(load(value + d), most), least));
    }
    spoilt = splat(sum(spoilt) * 0);
    for (int d = 0; d < layout.padded_head_dim(); d += 16) {
        T converted[16];
        store_cache(converted, max(least, min(most, load(key + d) + spoilt)));  // in this order no number stays none
        for (int i = 0; i < 16 && d + i < layout.head_dim; ++i) keys[(d + i) * 16] = converted[i];
    }
}

}  // namespace
