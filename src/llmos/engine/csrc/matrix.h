// A weight matrix in the layout that the kernels read (packing.h): sixteen rows interleaved, packed once at load.
//
// Blocks of GGUF's types keep their exact values. The layout is the same for every instruction set. Files have it, too:
// a change of the layout needs a new version number in engine/packed_file.py.
#pragma once

#include <cstdint>

#include "buffer.h"
#include "file_blocks.h"
#include "kernels.h"
#include "packing.h"

namespace llmos {

struct Shape {
    int rows, columns;
};

class PackedMatrix {
  public:
    PackedMatrix() = default;
    // `memory` has bytes_for(...) bytes: either packed already, or zeros that are about to be packed.
    PackedMatrix(Packing packing, int rows, int columns, Buffer memory);
    static size_t bytes_for(Packing packing, int rows, int columns);
    // True if rows can have so many columns: those with scales for 256 columns have whole ones.
    static bool can_have(Packing packing, int columns) {
        return !is_super(packing) || columns % (super_blocks * block_columns) == 0;
    }

    Packing packing() const { return packing_; }
    int rows() const { return rows_; }
    int columns() const { return columns_; }
    int padded_columns() const { return round_up(columns_, block_columns); }
    int groups() const { return (rows_ + group_rows - 1) / group_rows; }
    int blocks() const { return padded_columns() / block_columns; }
    size_t bytes() const { return buffer_.bytes(); }

    const uint8_t* group(int g) const { return buffer_.as<uint8_t>() + size_t(g) * group_bytes_; }
    size_t group_bytes() const { return group_bytes_; }
    // Bytes from the beginning of a group to what is kept for 256 columns, and to its scales.
    size_t supers_offset() const { return supers_offset_; }
    size_t scales_offset() const { return scales_offset_; }

    // Packs a group of 16 rows from a file's rows, `row_bytes` apart. Rows beyond the matrix stay zero.
    void pack(int g, const FileType& type, const uint8_t* data, size_t row_bytes);
    // The same from floats, into bytes (each block scaled by its own largest magnitude) or floats.
    void pack_f32(int g, const float* data);

    // Reads one row as floats, padded with zeros, as embedding tables need.
    void read_row(int row, float* out) const;

  private:
    struct BlockScales {
        float d[2], m;
    };

    uint8_t* at(int g, size_t offset) { return buffer_.as<uint8_t>() + size_t(g) * group_bytes_ + offset; }
    uint8_t* weights(int g, int block) { return at(g, size_t(block) * weight_bytes(packing_)); }
    uint16_t* supers(int g, int block) {
        return (uint16_t*)at(g, supers_offset() + size_t(block) / super_blocks * super_bytes(packing_));
    }
    uint8_t* scales(int g, int block) { return at(g, scales_offset() + size_t(block) * scale_bytes(packing_)); }
    int rows_in(int g) const { return rows_ - g * group_rows < group_rows ? rows_ - g * group_rows : group_rows; }
    void place_values(const uint8_t* values, uint8_t* block, int r) const;
    void place_scales(const FileBlock& from, int g, int block, int index, int r);
    void read_values(const uint8_t* block, int r, int* out) const;
    BlockScales read_scales(int g, int block, int r) const;

    Packing packing_ = Packing::floats;
    int rows_ = 0, columns_ = 0;
    size_t group_bytes_ = 0, supers_offset_ = 0, scales_offset_ = 0;
    Buffer buffer_;
};

}  // namespace llmos
