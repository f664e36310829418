// Floats as signed bytes with one scale: the largest magnitude becomes the largest byte.
#pragma once

namespace {

struct ByteScale {
    float scale, inverse;
};

// The scale for values whose largest magnitude has these bits. A NaN makes the scale NaN, so that the request fails
// instead of giving a wrong answer.
inline ByteScale byte_scale_of_magnitude(int most, int32_t bits) {
    float magnitude;
    __builtin_memcpy(&magnitude, &bits, 4);
    if (magnitude < 0x1p-119f) return {0, 0};  // most / magnitude would be infinite
    return {magnitude * (1.0f / float(most)), magnitude > 0 ? float(most) / magnitude : 0};
}

// The scale for `size` floats, a multiple of 16.
inline ByteScale byte_scale(const float* x, int size) {
    Ints bits = splat_int(0);
    for (int i = 0; i < size; i += 16) bits = max(bits, magnitude_bits(load(x + i)));
    return byte_scale_of_magnitude(127, largest(bits));
}

}  // namespace
