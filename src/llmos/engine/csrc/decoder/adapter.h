// A LoRA adapter (Hu et al. 2021): y += up . (down . x) for the matrices of a layer that it changes. With DoRA (Liu et al.
// 2024) it scales each row of the matrix, too: y = gain * y + up . (down . x).
#pragma once

#include <array>
#include <vector>

#include "buffer.h"
#include "matrix.h"

namespace llmos {

// Packed as floats: they are small, and their sums keep one order. Empty where the adapter leaves the matrix alone.
struct LowRank {
    PackedMatrix down, up;  // [rank][in], [out][rank] with the adapter's scale and gain multiplied in
    Buffer gain, shift;     // [out] in whole groups: the factor of the products, and its part of their bias; or empty
    explicit operator bool() const { return down.rows(); }
};

struct Adapter {
    static constexpr int max_rank = 512, num_matrices = 7;  // q, k, v, o, gate, up, down: as in Weight
    std::vector<std::array<LowRank, num_matrices>> layers;
    bool has_gains = false;
};

}  // namespace llmos
