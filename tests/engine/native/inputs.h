// Inputs for the kernels: random numbers, the same in every run, and those at the edges of what floats can be.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "half.h"

namespace llmos::test {

constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();

class Inputs {
  public:
    explicit Inputs(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}

    // SplitMix64 (Steele et al. 2014).
    uint64_t bits() {
        uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    int below(int limit) { return int(bits() % uint64_t(limit)); }
    bool coin() { return bits() & 1; }
    // Between -largest and largest.
    float number(float largest = 1) { return largest * (float(bits() >> 40) * 0x1p-23f - 1); }
    std::vector<float> numbers(size_t count, float largest = 1) {
        std::vector<float> out(count);
        for (float& x : out) x = number(largest);
        return out;
    }
    // A 16-bit float: a usual scale, or, at the edges, any bits at all.
    uint16_t half(bool at_edges) { return at_edges ? uint16_t(bits()) : half_from_float(number(0.1f)); }
    // Numbers of all magnitudes among which every tenth is at an edge; `broken`: some are NaN or infinite.
    std::vector<float> edges(size_t count, bool broken) {
        static constexpr float edge[] = {
            0.0f,  -0.0f, 1.0f,   -1.0f,  0x1p-149f, -0x1p-149f, 0x1p-126f, 0x1p-120f, 0x1p24f,  0.5f,      1.5f, 2.5f,
            -0.5f, 88.4f, -88.4f, 103.5f, -103.5f,   3.4e38f,    -3.4e38f,  65520.0f,  infinity, -infinity, nan};
        std::vector<float> out(count);
        for (float& x : out)
            x = below(10) ? std::ldexp(number(), below(40) - 30) : edge[below(std::size(edge) - (broken ? 0 : 3))];
        return out;
    }
    // Numbers that lie between two bytes, with the largest magnitude that a byte has in every block of 32.
    std::vector<float> halfway_numbers(size_t count) {
        std::vector<float> out(count);
        for (size_t i = 0; i < count; ++i) out[i] = i % 32 ? float(below(254) - 127) + 0.5f : 127;
        return out;
    }

  private:
    uint64_t state_;
};

// Floats of each exponent, of both signs, NaN among them; and some whose quotient by ln 2 lies between two integers.
inline std::vector<float> sweep_of_floats(uint32_t step) {
    std::vector<float> out;
    for (int n = -100; n < 100; ++n)
        for (int i = -2; i <= 2; ++i)
            out.push_back((float(n) + 0.5f) / 1.44269504088896341f * (1 + float(i) * 0x1p-23f));
    for (uint64_t bits = 0; bits < (uint64_t(1) << 32); bits += step) {
        const uint32_t low = uint32_t(bits);
        float x;
        __builtin_memcpy(&x, &low, sizeof x);
        out.push_back(x);
    }
    out.resize(out.size() / 16 * 16);
    return out;
}

}  // namespace llmos::test
