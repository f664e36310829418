// Sixteen lanes on AVX-512 with VNNI. See portable.h for what the functions compute.
#pragma once

#include <immintrin.h>

#include <cstdint>

// A loop over values in registers, of at most 16 rounds.
#define UNROLLED_FOR(...) _Pragma("GCC unroll 16") for (__VA_ARGS__)

namespace {

struct Floats {
    __m512 v;
};
struct Ints {
    __m512i v;
};
struct Bytes {
    __m512i v;
};

inline Floats zero() { return {_mm512_setzero_ps()}; }
inline Floats splat(float x) { return {_mm512_set1_ps(x)}; }
inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline void store(float* p, Floats a) { _mm512_storeu_ps(p, a.v); }
inline Floats load_half(const uint16_t* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))}; }
inline void store_half(uint16_t* p, Floats a) {
    _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats max(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats min(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats round(Floats a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline float sum(Floats a) { return _mm512_reduce_add_ps(a.v); }
inline float largest(Floats a) { return _mm512_reduce_max_ps(a.v); }
inline Floats scale_by_power_of_two(Floats a, Floats n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline Floats keep_lanes(Floats a, int begin, int end, float other) {
    const uint32_t mask = ((end >= 16 ? 0xffffu : (1u << end) - 1)) & ~((1u << begin) - 1);
    return {_mm512_mask_blend_ps(__mmask16(mask), _mm512_set1_ps(other), a.v)};
}

inline Ints to_int(Floats a) { return {_mm512_cvtps_epi32(a.v)}; }
inline Ints operator+(Ints a, Ints b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline Ints max(Ints a, Ints b) { return {_mm512_max_epi32(a.v, b.v)}; }
inline int32_t largest(Ints a) { return _mm512_reduce_max_epi32(a.v); }
inline Ints magnitude_bits(Floats a) {
    return {_mm512_and_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(0x7fffffff))};
}
inline int32_t sum(Ints a) { return _mm512_reduce_add_epi32(a.v); }
inline void store_int8(int8_t* p, Ints a) { _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8(a.v)); }
inline Ints splat_int(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Ints load_int(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline Ints load_unsigned(const uint8_t* p) { return {_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p))}; }
inline Ints load_signed(const uint8_t* p) { return {_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p))}; }
inline void store_int(int32_t* p, Ints a) { _mm512_storeu_si512(p, a.v); }
inline Ints choose_larger(Floats a, Ints of_a, Floats b, Ints of_b) {
    const __mmask16 equal = _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ);
    const __mmask16 larger =
        _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ) | _mm512_mask_cmplt_epi32_mask(equal, of_a.v, of_b.v);
    return {_mm512_mask_blend_epi32(larger, of_b.v, of_a.v)};
}
inline Floats to_float(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }

inline Bytes load_bytes(const uint8_t* p) { return {_mm512_load_si512(p)}; }
inline void store_bytes(uint8_t* p, Bytes a) { _mm512_store_si512(p, a.v); }
inline Bytes low_nibbles(Bytes a) { return {_mm512_and_si512(a.v, _mm512_set1_epi8(15))}; }
inline Bytes high_nibbles(Bytes a) { return {_mm512_and_si512(_mm512_srli_epi16(a.v, 4), _mm512_set1_epi8(15))}; }
template <int n> inline Bytes shift_left(Bytes a) { return {_mm512_slli_epi16(a.v, n)}; }
template <int n> inline Bytes shift_right(Bytes a) { return {_mm512_srli_epi16(a.v, n)}; }
inline Bytes with_bits(Bytes a, Bytes b, int mask) {
    constexpr int a_or_b_and_mask = 0xf8;
    return {_mm512_ternarylogic_epi32(a.v, b.v, _mm512_set1_epi8(char(mask)), a_or_b_and_mask)};
}
inline Bytes load_table(const uint8_t* sixteen) {
    return {_mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)sixteen))};
}
inline Bytes look_up(Bytes table, Bytes indexes) { return {_mm512_shuffle_epi8(table.v, indexes.v)}; }

constexpr int tile_sums = 8, attention_sums = 12;  // of 32 registers
constexpr bool unpacks_once = false;

constexpr int dot_bytes_offset = 0;
inline Bytes prepared(Bytes weights) { return weights; }
inline Ints dot_nibbles(Ints sum, Bytes weights, const int8_t* four) {
    int32_t x;
    __builtin_memcpy(&x, four, 4);
    return {_mm512_dpbusd_epi32(sum.v, weights.v, _mm512_set1_epi32(x))};
}
inline Ints dot_bytes(Ints sum, Bytes weights, const int8_t* four) { return dot_nibbles(sum, weights, four); }

inline Ints dot_signed(Ints sum, Bytes values, const uint8_t* four) {
    int32_t x;
    __builtin_memcpy(&x, four, 4);
    return {_mm512_dpbusd_epi32(sum.v, _mm512_set1_epi32(x), values.v)};
}

}  // namespace

#include "simd/exact_dots.h"
