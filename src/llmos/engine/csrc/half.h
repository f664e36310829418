// Conversion of single 16-bit floats on any CPU. simd/ converts sixteen at once.
#pragma once

#include <cstdint>
#include <cstring>

namespace llmos {

inline float float_from_half(uint16_t h) {
    const uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, fraction = h & 0x3ffu;
    uint32_t bits;
    if (exponent == 31) {
        bits = sign | 0x7f800000u | (fraction << 13);
    } else if (exponent) {
        bits = sign | ((exponent + 112u) << 23) | (fraction << 13);
    } else {  // zero or subnormal: fraction * 2^-24
        float value = float(fraction) * 5.9604644775390625e-8f;
        std::memcpy(&bits, &value, 4);
        bits |= sign;
    }
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

// Rounds to nearest, ties to even, as the hardware does.
inline uint16_t half_from_float(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    const uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return uint16_t(sign | 0x7e00u);
    if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);
    if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 rounds it
        float shifted, one_half = 0.5f;
        std::memcpy(&shifted, &magnitude, 4);
        shifted += one_half;
        uint32_t rounded, base;
        std::memcpy(&rounded, &shifted, 4);
        std::memcpy(&base, &one_half, 4);
        return uint16_t(sign | (rounded - base));
    }
    const uint32_t rounded = magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u);
    return uint16_t(sign | (rounded >> 13));
}

}  // namespace llmos
