// Paged attention of a few rows over one key/value head.
//
// Scores for all positions first, then one softmax, then the weighted values: each in ascending order of position, so
// that a row's result does not depend on the rows beside it. Positions outside a row's reach weigh exactly nothing.
#pragma once

#include <limits>

#include "../kernels.h"
#include "exp.h"

namespace {

using llmos::AttentionArgs;

inline F load_cache(const uint16_t* p) { return load_half(p); }
inline F load_cache(const float* p) { return load(p); }
inline void store_cache(uint16_t* p, F a) { store_half(p, max(min(a, splat(65504.0f)), splat(-65504.0f))); }
inline void store_cache(float* p, F a) { store(p, a); }

template <class T, int R>
void score(const AttentionArgs& a, const float* const* queries, float* const* scores, int first_block, int last_block) {
    for (int b = first_block; b < last_block; ++b) {
        const T* keys = (const T*)a.cache + a.block_table[b] * a.block_stride;
        F even[R], odd[R];
LLMOS_UNROLL
        for (int r = 0; r < R; ++r) even[r] = odd[r] = zero();
        int d = 0;
        for (; d + 2 <= a.head_dim; d += 2) {
            const F k0 = load_cache(keys + d * 16), k1 = load_cache(keys + d * 16 + 16);
LLMOS_UNROLL
            for (int r = 0; r < R; ++r) {
                even[r] = fma(splat(queries[r][d]), k0, even[r]);
                odd[r] = fma(splat(queries[r][d + 1]), k1, odd[r]);
            }
        }
        if (d < a.head_dim) {
            const F k0 = load_cache(keys + d * 16);
LLMOS_UNROLL
            for (int r = 0; r < R; ++r) even[r] = fma(splat(queries[r][d]), k0, even[r]);
        }
LLMOS_UNROLL
        for (int r = 0; r < R; ++r) store(scores[r] + b * 16, even[r] + odd[r]);
    }
}

// Turns a row's scores into weights that add up to one; those out of reach become zero.
inline void softmax(float* scores, int first_block, int last_block, int first, int last) {
    const float nothing = -std::numeric_limits<float>::infinity();
    F highest = splat(nothing);
    for (int b = first_block; b < last_block; ++b) {
        const int begin = first - b * 16, end = last + 1 - b * 16;
        F s = load(scores + b * 16);
        if (begin > 0 || end < 16) {
            s = keep_lanes(s, begin > 0 ? (begin < 16 ? begin : 16) : 0, end > 0 ? (end < 16 ? end : 16) : 0, nothing);
            store(scores + b * 16, s);
        }
        highest = max(highest, s);
    }
    const F shift = splat(largest(highest));
    F total = zero();
    for (int b = first_block; b < last_block; ++b) {
        const int begin = first - b * 16, end = last + 1 - b * 16;
        F p = exp(load(scores + b * 16) - shift);
        if (begin > 0 || end < 16)
            p = keep_lanes(p, begin > 0 ? (begin < 16 ? begin : 16) : 0, end > 0 ? (end < 16 ? end : 16) : 0, 0);
        total = total + p;
        store(scores + b * 16, p);
    }
    const F inverse = splat(1 / sum(total));
    for (int b = first_block; b < last_block; ++b) store(scores + b * 16, load(scores + b * 16) * inverse);
}

// V vectors of 16 of the head's dimensions at a time.
template <class T, int R, int V>
void weigh(const AttentionArgs& a, float* const* scores, int first_block, int last_block, int dim, float (&out)[AttentionArgs::max_rows][64]) {
    F total[R][V];
LLMOS_UNROLL
    for (int r = 0; r < R; ++r)
LLMOS_UNROLL
        for (int v = 0; v < V; ++v) total[r][v] = zero();
    for (int b = first_block; b < last_block; ++b) {
        const T* values = (const T*)a.cache + a.block_table[b] * a.block_stride + a.head_dim * 16 + dim;
        for (int j = 0; j < 16; ++j) {
            F value[V];
LLMOS_UNROLL
            for (int v = 0; v < V; ++v) value[v] = load_cache(values + j * a.padded_head_dim + v * 16);
LLMOS_UNROLL
            for (int r = 0; r < R; ++r) {
                const F p = splat(scores[r][b * 16 + j]);
LLMOS_UNROLL
                for (int v = 0; v < V; ++v) total[r][v] = fma(p, value[v], total[r][v]);
            }
        }
    }
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) store(out[r] + v * 16, total[r][v]);
}

template <class T, int R> void attend_rows(const AttentionArgs& a) {
    float* scores[R];
    int first = a.first[0], last = a.positions[0];
    for (int r = 0; r < R; ++r) {
        scores[r] = a.scores + size_t(r) * a.scores_stride;
        first = a.first[r] < first ? a.first[r] : first;
        last = a.positions[r] > last ? a.positions[r] : last;
    }
    const int first_block = first / 16, last_block = last / 16 + 1;
    score<T, R>(a, a.queries, scores, first_block, last_block);
    for (int r = 0; r < R; ++r) softmax(scores[r], first_block, last_block, a.first[r], a.positions[r]);
    for (int dim = 0; dim < a.padded_head_dim; dim += 64) {
        float out[AttentionArgs::max_rows][64];
        const int left = a.padded_head_dim - dim;
        switch (left >= 64 ? 4 : left / 16) {
            case 4: weigh<T, R, 4>(a, scores, first_block, last_block, dim, out); break;
            case 3: weigh<T, R, 3>(a, scores, first_block, last_block, dim, out); break;
            case 2: weigh<T, R, 2>(a, scores, first_block, last_block, dim, out); break;
            case 1: weigh<T, R, 1>(a, scores, first_block, last_block, dim, out); break;
        }
        const int count = a.head_dim - dim < 64 ? a.head_dim - dim : 64;
        for (int r = 0; r < R; ++r) __builtin_memcpy(a.outs[r] + dim, out[r], size_t(count) * sizeof(float));
    }
}

template <class T> void attend_as(const AttentionArgs& a) {
    switch (a.num_rows) {
        case 1: attend_rows<T, 1>(a); break;
        case 2: attend_rows<T, 2>(a); break;
        case 3: attend_rows<T, 3>(a); break;
        case 4: attend_rows<T, 4>(a); break;
        case 5: attend_rows<T, 5>(a); break;
        case 6: attend_rows<T, 6>(a); break;
    }
}

void attend(const AttentionArgs& a) { a.half ? attend_as<uint16_t>(a) : attend_as<float>(a); }

template <class T> void write_kv_as(const float* key, const float* value, int head_dim, int padded_head_dim, int slot, T* block) {
    // Sixteen at a time through a small array: rows end anywhere, and the value's padding is written as zeros.
    for (int d = 0; d < padded_head_dim; d += 16) {
        float k[16] = {}, v[16] = {};
        const int count = head_dim - d < 16 ? head_dim - d : 16;
        __builtin_memcpy(k, key + d, size_t(count) * sizeof(float));
        __builtin_memcpy(v, value + d, size_t(count) * sizeof(float));
        T converted[16];
        store_cache(converted, load(k));
        for (int i = 0; i < count; ++i) block[(d + i) * 16 + slot] = converted[i];
        store_cache(block + head_dim * 16 + slot * padded_head_dim + d, load(v));
    }
}

void write_kv(const float* key, const float* value, int head_dim, int padded_head_dim, int slot, bool half, void* block) {
    if (half) write_kv_as(key, value, head_dim, padded_head_dim, slot, (uint16_t*)block);
    else write_kv_as(key, value, head_dim, padded_head_dim, slot, (float*)block);
}

}  // namespace
