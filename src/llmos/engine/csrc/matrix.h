// A weight matrix in the layout that the kernels read: sixteen rows interleaved, packed once at load.
//
// For each group of 16 rows, all blocks of 32 columns one after another, then all their scales:
//
//   bytes            512 bytes a block: [8 quads][16 rows][4 columns], unsigned, w = d * (u - 128)
//   nibbles          256 bytes a block: [4 quads][16 rows][4 columns], low nibble columns 0-15, high 16-31,
//                    w = d * (u - 8)
//   affine_nibbles   the same with w = d * u + m
//   floats           no blocks: [columns][16 rows] of float
//
// Scales are [16] d, and for affine_nibbles [16] m after them, in 16-bit floats, as the file formats have them.
// GGUF's Q8_0, Q4_0 and Q4_1 keep their exact values.
//
// The layout is the same for every instruction set. Files have it, too: a change of the layout needs a new version
// number in engine/packed_file.py.
#pragma once

#include <cstdint>

#include "buffer.h"
#include "kernels.h"

namespace llmos {

struct Shape {
    int rows, columns;
};

enum class Packing { bytes, nibbles, affine_nibbles, floats };

class PackedMatrix {
  public:
    PackedMatrix() = default;
    // `memory` has bytes_for(...) bytes: either packed already, or zeros that are about to be packed.
    PackedMatrix(Packing packing, int rows, int columns, Buffer memory);
    static size_t bytes_for(Packing packing, int rows, int columns);

    Packing packing() const { return packing_; }
    int rows() const { return rows_; }
    int columns() const { return columns_; }
    int padded_columns() const { return round_up(columns_, block_columns); }
    int groups() const { return (rows_ + group_rows - 1) / group_rows; }
    int blocks() const { return padded_columns() / block_columns; }
    size_t bytes() const { return buffer_.bytes(); }

    const uint8_t* group(int g) const { return buffer_.as<uint8_t>() + size_t(g) * group_bytes_; }
    size_t group_bytes() const { return group_bytes_; }
    // Bytes from the beginning of a group to its scales.
    size_t scales_offset() const { return size_t(blocks()) * weight_bytes(packing_); }

    // Packs a group of 16 rows from a file's rows, `row_bytes` apart. Rows beyond the matrix stay zero.
    void pack_q8_0(int g, const uint8_t* data, size_t row_bytes);
    void pack_q4_0(int g, const uint8_t* data, size_t row_bytes);
    void pack_q4_1(int g, const uint8_t* data, size_t row_bytes);
    // The same from floats, into bytes (each block scaled by its own largest magnitude) or floats.
    void pack_f32(int g, const float* data);

    // Reads one row as floats, padded with zeros, as embedding tables need.
    void read_row(int row, float* out) const;

    // Bytes of a block of 16 rows, and of its scales.
    static constexpr size_t weight_bytes(Packing p) {
        return p == Packing::bytes ? 512 : p == Packing::floats ? size_t(block_columns) * group_rows * 4 : 256;
    }
    static constexpr size_t scale_bytes(Packing p) {
        return p == Packing::affine_nibbles ? 64 : p == Packing::floats ? 0 : 32;
    }

  private:
    uint8_t* weights(int g, int block) {
        return buffer_.as<uint8_t>() + size_t(g) * group_bytes_ + size_t(block) * weight_bytes(packing_);
    }
    uint16_t* scales(int g, int block) {
        return (uint16_t*)(buffer_.as<uint8_t>() + size_t(g) * group_bytes_ + scales_offset() +
                           size_t(block) * scale_bytes(packing_));
    }
    int rows_in(int g) const { return rows_ - g * group_rows < group_rows ? rows_ - g * group_rows : group_rows; }

    Packing packing_ = Packing::floats;
    int rows_ = 0, columns_ = 0;
    size_t group_bytes_ = 0;
    Buffer buffer_;
};

}  // namespace llmos
