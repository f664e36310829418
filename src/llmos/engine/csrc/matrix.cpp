#include "matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "half.h"

namespace llmos {

namespace {

size_t bytes_of_group(Packing packing, int columns) {
    const size_t blocks = size_t(round_up(columns, block_columns) / block_columns);
    return (blocks * (PackedMatrix::weight_bytes(packing) + PackedMatrix::scale_bytes(packing)) + 63) / 64 * 64;
}

}  // namespace

PackedMatrix::PackedMatrix(Packing packing, int rows, int columns, Buffer memory)
    : packing_(packing),
      rows_(rows),
      columns_(columns),
      group_bytes_(bytes_of_group(packing, columns)),
      buffer_(std::move(memory)) {}

size_t PackedMatrix::bytes_for(Packing packing, int rows, int columns) {
    return bytes_of_group(packing, columns) * (size_t(round_up(rows, group_rows)) / group_rows);
}

// A file's Q8_0 block: d, then 32 signed bytes.
void PackedMatrix::pack_q8_0(int g, const uint8_t* data, size_t row_bytes) {
    for (int b = 0; b < blocks(); ++b)
        for (int r = 0; r < rows_in(g); ++r) {
            const uint8_t* block = data + size_t(r) * row_bytes + size_t(b) * 34;
            std::memcpy(scales(g, b) + r, block, 2);
            uint8_t* out = weights(g, b) + 4 * r;
            for (int quad = 0; quad < 8; ++quad)
                for (int k = 0; k < 4; ++k) out[64 * quad + k] = uint8_t(block[2 + 4 * quad + k] ^ 0x80);
        }
}

namespace {

// 16 bytes of a file's nibbles: byte j holds columns j (low) and j + 16 (high), which is the packed order, too.
void place_nibbles(const uint8_t* from, uint8_t* out) {
    for (int quad = 0; quad < 4; ++quad) std::memcpy(out + 64 * quad, from + 4 * quad, 4);
}

}  // namespace

void PackedMatrix::pack_q4_0(int g, const uint8_t* data, size_t row_bytes) {
    for (int b = 0; b < blocks(); ++b)
        for (int r = 0; r < rows_in(g); ++r) {
            const uint8_t* block = data + size_t(r) * row_bytes + size_t(b) * 18;
            std::memcpy(scales(g, b) + r, block, 2);
            place_nibbles(block + 2, weights(g, b) + 4 * r);
        }
}

void PackedMatrix::pack_q4_1(int g, const uint8_t* data, size_t row_bytes) {
    for (int b = 0; b < blocks(); ++b)
        for (int r = 0; r < rows_in(g); ++r) {
            const uint8_t* block = data + size_t(r) * row_bytes + size_t(b) * 20;
            std::memcpy(scales(g, b) + r, block, 2);
            std::memcpy(scales(g, b) + group_rows + r, block + 2, 2);
            place_nibbles(block + 4, weights(g, b) + 4 * r);
        }
}

void PackedMatrix::pack_f32(int g, const float* data) {
    if (packing_ == Packing::floats) {
        for (int r = 0; r < rows_in(g); ++r)
            for (int c = 0; c < columns_; ++c)
                ((float*)weights(g, 0))[size_t(c) * group_rows + r] = data[size_t(r) * columns_ + c];
        return;
    }
    for (int b = 0; b < blocks(); ++b)
        for (int r = 0; r < group_rows; ++r) {
            const int count = std::min(block_columns, columns_ - b * block_columns);
            const float* x = data + size_t(r) * columns_ + b * block_columns;
            float largest = 0;
            bool is_broken = false;
            if (r < rows_in(g))
                for (int k = 0; k < count; ++k) {
                    largest = std::fmax(largest, std::fabs(x[k]));
                    is_broken |= !std::isfinite(x[k]);
                }
            // A byte cannot be NaN, but the block's scale can: the request fails instead of giving a wrong answer.
            if (is_broken) largest = std::numeric_limits<float>::quiet_NaN();
            // Divide by the scale as it is stored, rounded to 16 bits.
            const uint16_t d = half_from_float(largest / 127);
            const float scale = float_from_half(d), inverse = scale > 0 ? 1 / scale : 0;
            scales(g, b)[r] = d;
            for (int k = 0; k < block_columns; ++k) {
                const float w = r < rows_in(g) && k < count ? std::nearbyint(x[k] * inverse) : 0;
                weights(g, b)[64 * (k / 4) + 4 * r + k % 4] = uint8_t(int(std::fmin(127, std::fmax(-128, w))) + 128);
            }
        }
}

void PackedMatrix::read_row(int row, float* out) const {
    const int r = row % group_rows;
    const uint8_t* weights = group(row / group_rows);
    if (packing_ == Packing::floats) {
        for (int c = 0; c < padded_columns(); ++c) out[c] = ((const float*)weights)[size_t(c) * group_rows + r];
        return;
    }
    const uint8_t* scales = weights + scales_offset();
    for (int b = 0; b < blocks();
         ++b, weights += weight_bytes(packing_), scales += scale_bytes(packing_), out += block_columns) {
        const float d = float_from_half(((const uint16_t*)scales)[r]);
        if (packing_ == Packing::bytes) {
            for (int k = 0; k < block_columns; ++k)
                out[k] = d * float(int(weights[64 * (k / 4) + 4 * r + k % 4]) - 128);
            continue;
        }
        const float m =
            packing_ == Packing::affine_nibbles ? float_from_half(((const uint16_t*)scales)[group_rows + r]) : -8 * d;
        for (int k = 0; k < 16; ++k) {
            const uint8_t pair = weights[64 * (k / 4) + 4 * r + k % 4];
            out[k] = d * float(pair & 15) + m;
            out[k + 16] = d * float(pair >> 4) + m;
        }
    }
}

}  // namespace llmos
