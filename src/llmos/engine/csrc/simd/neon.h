// Sixteen lanes on the vectors of 64-bit Arm (NEON), as four quarters. See portable.h for what the functions compute.
//
// The products of bytes take what the compiler's flags allow: SDOT (dotprod), USDOT (i8mm), else multiplications that
// every 64-bit Arm has. All of them give the bits of portable.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>

// A loop over values in registers, of at most 16 rounds.
#if defined(__clang__)
#define UNROLLED_FOR(...) _Pragma("unroll") for (__VA_ARGS__)
#else
#define UNROLLED_FOR(...) _Pragma("GCC unroll 16") for (__VA_ARGS__)
#endif

namespace {

struct Floats {
    float32x4_t v[4];
};
struct Ints {
    int32x4_t v[4];
};
struct Bytes {
    uint8x16_t v[4];
};

template <class Quarter> inline Floats make(Quarter quarter) {
    return {{quarter(0), quarter(1), quarter(2), quarter(3)}};
}
template <class Quarter> inline Ints make_int(Quarter quarter) {
    return {{quarter(0), quarter(1), quarter(2), quarter(3)}};
}
template <class Quarter> inline Bytes make_bytes(Quarter quarter) {
    return {{quarter(0), quarter(1), quarter(2), quarter(3)}};
}

inline Floats splat(float x) {
    return make([&](int) { return vdupq_n_f32(x); });
}
inline Floats zero() { return splat(0); }
inline Floats load(const float* p) {
    return make([&](int i) { return vld1q_f32(p + 4 * i); });
}
inline void store(float* p, Floats a) {
    for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
}
inline Floats load_half(const uint16_t* p) {
    return make([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
inline void store_half(uint16_t* p, Floats a) {
    for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
}
inline Floats operator+(Floats a, Floats b) {
    return make([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
inline Floats operator-(Floats a, Floats b) {
    return make([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
inline Floats operator*(Floats a, Floats b) {
    return make([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
inline Floats operator/(Floats a, Floats b) {
    return make([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
inline Floats fma(Floats a, Floats b, Floats c) {
    return make([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
// FMAX and FMIN give NaN where either is NaN, so this compares and selects.
inline float32x4_t larger(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
inline Floats max(Floats a, Floats b) {
    return make([&](int i) { return larger(a.v[i], b.v[i]); });
}
inline Floats min(Floats a, Floats b) {
    return make([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
}
inline Floats round(Floats a) {
    return make([&](int i) { return vrndnq_f32(a.v[i]); });
}
inline float sum(Floats a) {
    const float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
// FMAXNM ignores NaN where there is a number.
inline float largest(Floats a) {
    return vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(a.v[0], a.v[1]), vmaxnmq_f32(a.v[2], a.v[3])));
}
inline Floats scale_by_power_of_two(Floats a, Floats n) {
    return make([&](int i) {  // two steps, so that results down to the smallest subnormal are right
        const int32x4_t whole = vcvtnq_s32_f32(n.v[i]), first = vshrq_n_s32(whole, 1), second = vsubq_s32(whole, first);
        const auto power = [](int32x4_t e) {
            return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(e, vdupq_n_s32(127)), 23));
        };
        return vmulq_f32(vmulq_f32(a.v[i], power(first)), power(second));
    });
}
inline Floats keep_lanes(Floats a, int begin, int end, float other) {
    constexpr int32_t first_four[] = {0, 1, 2, 3};
    const int32x4_t lanes = vld1q_s32(first_four), from = vdupq_n_s32(begin), to = vdupq_n_s32(end);
    return make([&](int i) {
        const int32x4_t lane = vaddq_s32(lanes, vdupq_n_s32(4 * i));
        const uint32x4_t inside = vandq_u32(vcgeq_s32(lane, from), vcltq_s32(lane, to));
        return vbslq_f32(inside, a.v[i], vdupq_n_f32(other));
    });
}

// FCVTNS gives zero for NaN and the nearest integer for what does not fit.
inline Ints to_int(Floats a) {
    const float32x4_t limit = vdupq_n_f32(2147483648.0f);
    return make_int(
        [&](int i) { return vbslq_s32(vcaltq_f32(a.v[i], limit), vcvtnq_s32_f32(a.v[i]), vdupq_n_s32(INT32_MIN)); });
}
inline Ints operator+(Ints a, Ints b) {
    return make_int([&](int i) { return vaddq_s32(a.v[i], b.v[i]); });
}
inline Ints max(Ints a, Ints b) {
    return make_int([&](int i) { return vmaxq_s32(a.v[i], b.v[i]); });
}
inline int32_t largest(Ints a) { return vmaxvq_s32(vmaxq_s32(vmaxq_s32(a.v[0], a.v[1]), vmaxq_s32(a.v[2], a.v[3]))); }
inline Ints magnitude_bits(Floats a) {
    return make_int([&](int i) { return vreinterpretq_s32_f32(vabsq_f32(a.v[i])); });
}
inline int32_t sum(Ints a) { return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3]))); }
inline void store_int8(int8_t* p, Ints a) {
    const int16x8_t low = vuzp1q_s16(vreinterpretq_s16_s32(a.v[0]), vreinterpretq_s16_s32(a.v[1]));
    const int16x8_t high = vuzp1q_s16(vreinterpretq_s16_s32(a.v[2]), vreinterpretq_s16_s32(a.v[3]));
    vst1q_s8(p, vuzp1q_s8(vreinterpretq_s8_s16(low), vreinterpretq_s8_s16(high)));
}
inline Ints splat_int(int32_t x) {
    return make_int([&](int) { return vdupq_n_s32(x); });
}
inline Ints load_int(const int32_t* p) {
    return make_int([&](int i) { return vld1q_s32(p + 4 * i); });
}
inline Ints load_unsigned(const uint8_t* p) {
    const uint8x16_t bytes = vld1q_u8(p);
    const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
    return {{vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))), vreinterpretq_s32_u32(vmovl_high_u16(low)),
             vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))), vreinterpretq_s32_u32(vmovl_high_u16(high))}};
}
inline Ints load_signed(const uint8_t* p) {
    const int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(p));
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
    return {{vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)}};
}
inline void store_int(int32_t* p, Ints a) {
    for (int i = 0; i < 4; ++i) vst1q_s32(p + 4 * i, a.v[i]);
}
inline Ints choose_larger(Floats a, Ints of_a, Floats b, Ints of_b) {
    return make_int([&](int i) {
        const uint32x4_t lower = vandq_u32(vceqq_f32(a.v[i], b.v[i]), vcltq_s32(of_a.v[i], of_b.v[i]));
        return vbslq_s32(vorrq_u32(vcgtq_f32(a.v[i], b.v[i]), lower), of_a.v[i], of_b.v[i]);
    });
}
inline Floats to_float(Ints a) {
    return make([&](int i) { return vcvtq_f32_s32(a.v[i]); });
}

inline Bytes load_bytes(const uint8_t* p) {
    return make_bytes([&](int i) { return vld1q_u8(p + 16 * i); });
}
inline void store_bytes(uint8_t* p, Bytes a) {
    for (int i = 0; i < 4; ++i) vst1q_u8(p + 16 * i, a.v[i]);
}
inline Bytes low_nibbles(Bytes a) {
    return make_bytes([&](int i) { return vandq_u8(a.v[i], vdupq_n_u8(15)); });
}
inline Bytes high_nibbles(Bytes a) {
    return make_bytes([&](int i) { return vshrq_n_u8(a.v[i], 4); });
}
template <int n> inline Bytes shift_left(Bytes a) {
    return make_bytes([&](int i) { return vshlq_n_u8(a.v[i], n); });
}
template <int n> inline Bytes shift_right(Bytes a) {
    return make_bytes([&](int i) { return vshrq_n_u8(a.v[i], n); });
}
inline Bytes with_bits(Bytes a, Bytes b, int mask) {
    return make_bytes([&](int i) { return vorrq_u8(a.v[i], vandq_u8(b.v[i], vdupq_n_u8(uint8_t(mask)))); });
}
inline Bytes load_table(const uint8_t* sixteen) {
    return make_bytes([&](int) { return vld1q_u8(sixteen); });
}
inline Bytes look_up(Bytes table, Bytes indexes) {
    return make_bytes([&](int i) { return vqtbl1q_u8(table.v[i], indexes.v[i]); });
}

constexpr int tile_sums = 4, attention_sums = 4;  // of 32 registers, a sum takes four
constexpr bool unpacks_once = true;

// sum[row] += a[row][0..3] . b[0..3] for four rows; b from -127 to 127.
inline int32x4_t add_products(int32x4_t sum, int8x16_t a, int8x16_t b) {
#if defined(__ARM_FEATURE_DOTPROD)
    return vdotq_s32(sum, a, b);
#else
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b)), high = vmull_high_s8(a, b);
    return vpadalq_s16(sum, vpaddq_s16(low, high));  // two products fit 16 bits: 2 * 128 * 127
#endif
}
inline int8x16_t splat_four(const void* four) {
    int32_t x;
    __builtin_memcpy(&x, four, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(x));
}
inline Ints dot_nibbles(Ints sum, Bytes weights, const int8_t* four) {
    const int8x16_t x = splat_four(four);
    return make_int([&](int i) { return add_products(sum.v[i], vreinterpretq_s8_u8(weights.v[i]), x); });
}
#if defined(__ARM_FEATURE_MATMUL_INT8)
constexpr int dot_bytes_offset = 0;
inline Bytes prepared(Bytes weights) { return weights; }
inline Ints dot_bytes(Ints sum, Bytes weights, const int8_t* four) {
    const int8x16_t x = splat_four(four);
    return make_int([&](int i) { return vusdotq_s32(sum.v[i], weights.v[i], x); });
}
#else
// A byte above 127 is no signed byte, but 128 less is one.
constexpr int dot_bytes_offset = 128;
inline Bytes prepared(Bytes weights) {
    return make_bytes([&](int i) { return veorq_u8(weights.v[i], vdupq_n_u8(128)); });
}
inline Ints dot_bytes(Ints sum, Bytes weights, const int8_t* four) { return dot_nibbles(sum, weights, four); }
#endif

inline Ints dot_signed(Ints sum, Bytes values, const uint8_t* four) {
    const int8x16_t x = splat_four(four);
    return make_int([&](int i) { return add_products(sum.v[i], vreinterpretq_s8_u8(values.v[i]), x); });
}

}  // namespace

#include "simd/exact_dots.h"
