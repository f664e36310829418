// Sixteen lanes in plain C++, for any CPU: the definition of what the other instruction sets compute.
//
//   Floats   sixteen floats
//   Ints     sixteen 32-bit integers
//   Bytes    sixteen rows of four unsigned bytes
#pragma once

#include <cmath>
#include <cstdint>

#include "half.h"

// A loop over values in registers, of at most 16 rounds. It is not unrolled here: compiling would take a minute.
#define UNROLLED_FOR(...) for (__VA_ARGS__)

namespace {

struct Floats {
    float v[16];
};
struct Ints {
    int32_t v[16];
};
struct Bytes {
    uint8_t v[64];
};

template <class Lane> inline Floats make(Lane lane) {
    Floats out;
    for (int i = 0; i < 16; ++i) out.v[i] = lane(i);
    return out;
}

inline Floats splat(float x) {
    return make([&](int) { return x; });
}
inline Floats zero() { return splat(0); }
inline Floats load(const float* p) {
    return make([&](int i) { return p[i]; });
}
inline void store(float* p, Floats a) {
    for (int i = 0; i < 16; ++i) p[i] = a.v[i];
}
inline Floats load_half(const uint16_t* p) {
    return make([&](int i) { return llmos::float_from_half(p[i]); });
}
inline void store_half(uint16_t* p, Floats a) {
    for (int i = 0; i < 16; ++i) p[i] = llmos::half_from_float(a.v[i]);
}
inline Floats operator+(Floats a, Floats b) {
    return make([&](int i) { return a.v[i] + b.v[i]; });
}
inline Floats operator-(Floats a, Floats b) {
    return make([&](int i) { return a.v[i] - b.v[i]; });
}
inline Floats operator*(Floats a, Floats b) {
    return make([&](int i) { return a.v[i] * b.v[i]; });
}
inline Floats operator/(Floats a, Floats b) {
    return make([&](int i) { return a.v[i] / b.v[i]; });
}
// Rounded once where the compiler may use a fused multiplication, as every other instruction set has it; elsewhere that
// would be a slow function of the C library.
inline Floats fma(Floats a, Floats b, Floats c) {
#if defined(__FMA__) || defined(__aarch64__)
    return make([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
#else
    return make([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
#endif
}
// If one of the two is NaN: the second.
inline Floats max(Floats a, Floats b) {
    return make([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats min(Floats a, Floats b) {
    return make([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats round(Floats a) {
    return make([&](int i) { return std::nearbyint(a.v[i]); });
}  // ties to even
inline float sum(Floats a) {
    for (int n = 8; n; n /= 2)
        for (int i = 0; i < n; ++i) a.v[i] += a.v[i + n];
    return a.v[0];
}
// For zeros with different signs: either one. If a lane is NaN: that, or the largest number.
inline float largest(Floats a) {
    float best = a.v[0];
    for (float x : a.v) best = x > best ? x : best;
    return best;
}
// a * 2^n for whole numbers n
inline Floats scale_by_power_of_two(Floats a, Floats n) {
    return make([&](int i) { return std::ldexp(a.v[i], n.v[i] == n.v[i] ? int(n.v[i]) : 0); });
}
// Keeps lanes begin to end - 1; the others become `other`.
inline Floats keep_lanes(Floats a, int begin, int end, float other) {
    return make([&](int i) { return i >= begin && i < end ? a.v[i] : other; });
}

template <class Lane> inline Ints make_int(Lane lane) {
    Ints out;
    for (int i = 0; i < 16; ++i) out.v[i] = lane(i);
    return out;
}
// Rounds to nearest, ties to even; the smallest integer where the result does not fit, or is NaN.
inline Ints to_int(Floats a) {
    return make_int(
        [&](int i) { return std::fabs(a.v[i]) < 2147483648.0f ? int32_t(std::nearbyint(a.v[i])) : INT32_MIN; });
}
inline Ints operator+(Ints a, Ints b) {
    return make_int([&](int i) { return a.v[i] + b.v[i]; });
}
inline Ints max(Ints a, Ints b) {
    return make_int([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline int32_t largest(Ints a) {
    int32_t best = a.v[0];
    for (int32_t x : a.v) best = x > best ? x : best;
    return best;
}
// The bits of |a|: they compare like the magnitudes, and NaN is the largest.
inline Ints magnitude_bits(Floats a) {
    Ints out;
    __builtin_memcpy(out.v, a.v, sizeof(out.v));
    for (int32_t& x : out.v) x &= 0x7fffffff;
    return out;
}
inline int32_t sum(Ints a) {
    int32_t total = 0;
    for (int32_t x : a.v) total += x;
    return total;
}
// For lanes from -128 to 127.
inline void store_int8(int8_t* p, Ints a) {
    for (int i = 0; i < 16; ++i) p[i] = int8_t(a.v[i]);
}
inline Ints splat_int(int32_t x) {
    return make_int([&](int) { return x; });
}
inline Ints load_int(const int32_t* p) {
    return make_int([&](int i) { return p[i]; });
}
// Sixteen bytes as integers, unsigned and signed.
inline Ints load_unsigned(const uint8_t* p) {
    return make_int([&](int i) { return int32_t(p[i]); });
}
inline Ints load_signed(const uint8_t* p) {
    return make_int([&](int i) { return int32_t(int8_t(p[i])); });
}
inline void store_int(int32_t* p, Ints a) {
    for (int i = 0; i < 16; ++i) p[i] = a.v[i];
}
// of_a where a is larger, of_b where b is larger, the smaller of the two where they are equal.
inline Ints choose_larger(Floats a, Ints of_a, Floats b, Ints of_b) {
    return make_int(
        [&](int i) { return a.v[i] > b.v[i] || (a.v[i] == b.v[i] && of_a.v[i] < of_b.v[i]) ? of_a.v[i] : of_b.v[i]; });
}
inline Floats to_float(Ints a) {
    return make([&](int i) { return float(a.v[i]); });
}

inline Bytes load_bytes(const uint8_t* p) {
    Bytes out;
    __builtin_memcpy(out.v, p, 64);
    return out;
}
inline void store_bytes(uint8_t* p, Bytes a) { __builtin_memcpy(p, a.v, 64); }
inline Bytes low_nibbles(Bytes a) {
    for (uint8_t& x : a.v) x &= 15;
    return a;
}
inline Bytes high_nibbles(Bytes a) {
    for (uint8_t& x : a.v) x >>= 4;
    return a;
}
// Each byte shifted by n bits. Only bits that come from the same byte count: the others differ between instruction sets.
template <int n> inline Bytes shift_left(Bytes a) {
    for (uint8_t& x : a.v) x = uint8_t(x << n);
    return a;
}
template <int n> inline Bytes shift_right(Bytes a) {
    for (uint8_t& x : a.v) x >>= n;
    return a;
}
// a, with the bits of b that the mask has.
inline Bytes with_bits(Bytes a, Bytes b, int mask) {
    for (int i = 0; i < 64; ++i) a.v[i] |= uint8_t(b.v[i] & mask);
    return a;
}
// A table of sixteen bytes, for look_up.
inline Bytes load_table(const uint8_t* sixteen) {
    Bytes out;
    for (int i = 0; i < 64; ++i) out.v[i] = sixteen[i % 16];
    return out;
}
// table[index] for indexes up to 15.
inline Bytes look_up(Bytes table, Bytes indexes) {
    for (uint8_t& x : indexes.v) x = table.v[x];
    return indexes;
}

// The number of Ints that a tile of a product, and of attention, adds up at once: no more than the registers hold.
constexpr int tile_sums = 8, attention_sums = 12;
// True if a product of many tokens unpacks weights that are costly to read once, and stores them, instead of once for
// each tile.
constexpr bool unpacks_once = false;

// sum[row] += weights[row][0..3] . four[0..3], where `four` are from -127 to 127; dot_nibbles only for weights up to
// 127, dot_bytes for prepared(weights).
constexpr int dot_bytes_offset = 0;  // what dot_bytes subtracts from every weight
inline Bytes prepared(Bytes weights) { return weights; }
inline Ints dot_nibbles(Ints sum, Bytes weights, const int8_t* four) {
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < 4; ++k) sum.v[row] += int32_t(weights.v[4 * row + k]) * four[k];
    return sum;
}
inline Ints dot_bytes(Ints sum, Bytes weights, const int8_t* four) { return dot_nibbles(sum, weights, four); }
// sum[row] += values[row][0..3] . four[0..3], the values signed, the four up to 127.
inline Ints dot_signed(Ints sum, Bytes values, const uint8_t* four) {
    for (int row = 0; row < 16; ++row)
        for (int k = 0; k < 4; ++k) sum.v[row] += int32_t(int8_t(values.v[4 * row + k])) * four[k];
    return sum;
}

}  // namespace

// prepared(weights): what dot_bytes takes, so that it is made once for many dot products.
//
// Dots<largest, quads>: a running dot product of `quads` quads of weights up to `largest`, which are prepared if that is
// more than 127. add(i, weights, four) adds the i-th; total() is right after the last.
#include "simd/exact_dots.h"
