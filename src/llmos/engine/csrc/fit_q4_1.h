// Quantizes floats into GGUF's Q4_1 blocks: 32 values w = d * u + m, with u from 0 to 15 and d and m as 16-bit floats.
#pragma once

#include <cstddef>
#include <cstdint>

namespace llmos {

constexpr size_t q4_1_bytes = 20;  // d, m, then 16 bytes: byte j holds value j (low nibble) and j + 16 (high)

// Chooses d and m of each block for the least squared error that it finds. A block with a value that is not finite gets
// NaN as its d: nibbles cannot be NaN, and the request must fail instead of giving a wrong answer.
void fit_q4_1(const float* values, size_t num_blocks, uint8_t* out);

}  // namespace llmos
