// A LoRA adapter (Hu et al. 2021): y += up . (down . x) for the matrices of a layer that it changes.
#pragma once

#include <array>
#include <vector>

#include "matrix.h"

namespace llmos {

// Packed as floats: they are small, and their sums keep one order. Empty where the adapter leaves the matrix alone.
struct LowRank {
    PackedMatrix down, up;  // [rank][in], [out][rank] with the adapter's scale multiplied in
    explicit operator bool() const { return down.rows(); }
};

struct Adapter {
    static constexpr int max_rank = 512, num_matrices = 7;  // q, k, v, o, gate, up, down: as in Weight
    std::vector<std::array<LowRank, num_matrices>> layers;
};

}  // namespace llmos
