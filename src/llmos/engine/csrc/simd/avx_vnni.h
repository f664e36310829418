// Sixteen lanes on AVX2 with AVX-VNNI. See portable.h for what the functions compute.
#pragma once

#include "simd/avx2_lanes.h"

namespace {

constexpr int tile_sums = 4, attention_sums = 6;  // of 16 registers, a sum takes two
constexpr bool unpacks_once = true;

constexpr int dot_bytes_offset = 0;
inline Bytes prepared(Bytes weights) { return weights; }
inline Ints dot_nibbles(Ints sum, Bytes w, const int8_t* four) {
    const __m256i x = splat_four(four);
    return {_mm256_dpbusd_avx_epi32(sum.a, w.a, x), _mm256_dpbusd_avx_epi32(sum.b, w.b, x)};
}
inline Ints dot_bytes(Ints sum, Bytes w, const int8_t* four) { return dot_nibbles(sum, w, four); }

inline Ints dot_signed(Ints sum, Bytes values, const uint8_t* four) {
    const __m256i x = splat_four(four);
    return {_mm256_dpbusd_avx_epi32(sum.a, x, values.a), _mm256_dpbusd_avx_epi32(sum.b, x, values.b)};
}

}  // namespace

#include "simd/exact_dots.h"
