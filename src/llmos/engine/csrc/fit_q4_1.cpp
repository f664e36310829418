#include "fit_q4_1.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "half.h"

namespace llmos {
namespace {

constexpr int size = 32;   // values of a block
constexpr int lanes = 16;  // blocks that are fitted side by side
constexpr int num_cuts = 3;
constexpr float cut_step = 0.03f;
constexpr int num_refinements = 1;

// One number for each block. The compiler uses the vectors that the CPU has; no sum's order depends on it.
using Lanes = float __attribute__((vector_size(lanes * sizeof(float))));

// Rounds to the nearest whole numbers from 0 to 15, ties to even; NaN becomes 0.
inline void round_to_nibbles(Lanes& value) {
    constexpr float shift = 12582912;  // 1.5 * 2^23: adding it drops the fraction
    value = value > 0 ? value : Lanes{};
    value = value < 15 ? value : Lanes{} + 15;
    value = (value + shift) - shift;
}

// The d and m with the least squared error so far. With values x relative to their block's mean, the least squares for
// given nibbles u are
//
//   d = sum(u x) / (sum(u u) - sum(u)^2 / n)      m = -d sum(u) / n      squared error = sum(x x) - d sum(u x)
struct Fit {
    Lanes d = {}, m = {}, gain = {};

    // Rounds to the grid w = d * u + m, then moves the grid to where it fits these nibbles best.
    void consider(const Lanes (&x)[size], const Lanes& grid_d, const Lanes& grid_m) {
        const Lanes inverse = grid_d > 0 ? 1 / grid_d : Lanes{}, start = grid_m * inverse;
        Lanes sum = {}, squares = {}, products = {};
        for (int k = 0; k < size; ++k) {
            Lanes u = x[k] * inverse - start;
            round_to_nibbles(u);
            sum += u;
            squares += u * u;
            products += u * x[k];
        }
        const Lanes spread = squares - sum * sum / size;
        const Lanes fitted = spread > 0 ? products / spread : Lanes{};
        const auto is_better = fitted * products > gain;
        gain = is_better ? fitted * products : gain;
        d = is_better ? fitted : d;
        m = is_better ? -fitted * sum / size : m;
    }
};

void fit_lanes(Lanes (&x)[size], int count, uint8_t* out) {
    Lanes mean = {}, zeros = {};
    for (int k = 0; k < size; ++k) {
        mean += x[k];
        zeros += x[k] * 0;  // NaN where a value is not finite
    }
    mean /= size;
    Lanes low = x[0] - mean, high = low;
    for (int k = 0; k < size; ++k) {
        x[k] -= mean;
        low = x[k] < low ? x[k] : low;
        high = x[k] > high ? x[k] : high;
    }

    // Try the range from the smallest to the largest value, then ranges cut short at both ends: clipping one or two
    // values often costs less than a coarser grid for all.
    Fit fit;
    for (int i = 0; i < num_cuts; ++i) {
        const float cut = cut_step * float(i);
        fit.consider(x, (high - low) * (1 - 2 * cut) / 15, low + (high - low) * cut);
    }
    for (int i = 0; i < num_refinements; ++i) fit.consider(x, Lanes(fit.d), Lanes(fit.m));

    uint16_t d_halves[lanes], m_halves[lanes];
    Lanes d, m;
    for (int i = 0; i < lanes; ++i) {
        d_halves[i] = half_from_float(zeros[i] == 0 ? fit.d[i] : std::numeric_limits<float>::quiet_NaN());
        m_halves[i] = half_from_float(fit.m[i] + mean[i]);
        // Choose the nibbles for the scale and minimum as they are stored, rounded to 16 bits.
        d[i] = float_from_half(d_halves[i]);
        m[i] = float_from_half(m_halves[i]) - mean[i];
    }
    const Lanes inverse = d > 0 ? 1 / d : Lanes{};
    for (int k = 0; k < size; ++k) {
        x[k] = (x[k] - m) * inverse;
        round_to_nibbles(x[k]);
    }
    for (int i = 0; i < count; ++i, out += q4_1_bytes) {
        std::memcpy(out, d_halves + i, 2);
        std::memcpy(out + 2, m_halves + i, 2);
        for (int k = 0; k < size / 2; ++k) out[4 + k] = uint8_t(int(x[k][i]) | int(x[k + size / 2][i]) << 4);
    }
}

}  // namespace

void fit_q4_1(const float* values, size_t num_blocks, uint8_t* out) {
    Lanes x[size];
    for (size_t block = 0; block < num_blocks; block += lanes) {
        const int count = int(std::min<size_t>(lanes, num_blocks - block));
        for (int i = 0; i < lanes; ++i) {
            const float* from = values + (block + size_t(std::min(i, count - 1))) * size;
            for (int k = 0; k < size; ++k) x[k][i] = from[k];
        }
        fit_lanes(x, count, out + block * q4_1_bytes);
    }
}

}  // namespace llmos
