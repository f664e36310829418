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
    const size_t bytes = blocks * (weight_bytes(packing) + scale_bytes(packing));
    return (bytes + blocks / super_blocks * super_bytes(packing) + 63) / 64 * 64;
}

// The place of the upper bits of the value in column k of a block; see packing.h. Values have 4 lower bits.
struct UpperBits {
    size_t byte;
    int shift;

    UpperBits(int bits, int r, int k) {
        const int quad = k % 16 / 4, quads_of_vector = 4 / bits;
        byte = 256 + size_t(quad / quads_of_vector) * 64 + size_t(4 * r + k % 4);
        shift = (k < 16 ? 4 : 0) + quad % quads_of_vector * bits;
    }
};

// The byte with the lower 4 bits of the value in column k of a block; columns 16-31 have the high nibbles.
size_t nibble_at(int r, int k) { return size_t(64 * (k % 16 / 4) + 4 * r + k % 4); }
int nibble_shift(int k) { return k < 16 ? 0 : 4; }

}  // namespace

PackedMatrix::PackedMatrix(Packing packing, int rows, int columns, Buffer memory)
    : packing_(packing),
      rows_(rows),
      columns_(columns),
      group_bytes_(bytes_of_group(packing, columns)),
      supers_offset_(size_t(blocks()) * weight_bytes(packing)),
      scales_offset_(supers_offset_ + size_t(blocks()) / super_blocks * super_bytes(packing)),
      buffer_(std::move(memory)) {}

size_t PackedMatrix::bytes_for(Packing packing, int rows, int columns) {
    return bytes_of_group(packing, columns) * (size_t(round_up(rows, group_rows)) / group_rows);
}

void PackedMatrix::pack(int g, const FileType& type, const uint8_t* data, size_t row_bytes) {
    const int blocks_at_once = type.columns / block_columns;
    FileBlock block{};
    for (int b = 0; b < blocks(); b += blocks_at_once)
        for (int r = 0; r < rows_in(g); ++r) {
            type.read(data + size_t(r) * row_bytes + size_t(b / blocks_at_once) * type.bytes, block);
            for (int i = 0; i < blocks_at_once; ++i) {
                place_values(block.values + i * block_columns, weights(g, b + i), r);
                place_scales(block, g, b + i, i, r);
            }
        }
}

// Puts the 32 values of a row's block among those of the other rows. Its memory is zero.
void PackedMatrix::place_values(const uint8_t* values, uint8_t* block, int r) const {
    if (packing_ == Packing::bytes) {
        for (int quad = 0; quad < 8; ++quad) std::memcpy(block + 64 * quad + 4 * r, values + 4 * quad, 4);
        return;
    }
    for (int k = 0; k < 16; ++k) block[nibble_at(r, k)] = uint8_t((values[k] & 15) | values[k + 16] << 4);
    if (const int bits = bits_of(packing_) - 4)
        for (int k = 0; k < block_columns; ++k) {
            const UpperBits upper(bits, r, k);
            block[upper.byte] |= uint8_t(values[k] >> 4 << upper.shift);
        }
}

// Puts the scales of a row's block, the `index`-th of its file's block, beside those of the other rows.
void PackedMatrix::place_scales(const FileBlock& from, int g, int block, int index, int r) {
    uint8_t* bytes = scales(g, block);
    uint16_t* halves = is_super(packing_) ? supers(g, block) : (uint16_t*)bytes;
    if (scales_of(packing_) != Scales::exponents) halves[r] = from.d;
    if (has_minimum(packing_)) halves[group_rows + r] = from.m;
    switch (scales_of(packing_)) {
        case Scales::bytes_and_minimums:
            bytes[r] = from.scales[index];
            bytes[group_rows + r] = from.minimums[index];
            break;
        case Scales::bytes_of_halves:
            bytes[r] = from.scales[2 * index];
            bytes[group_rows + r] = from.scales[2 * index + 1];
            break;
        case Scales::bytes:
        case Scales::exponents: bytes[r] = from.scales[index]; break;
        default: break;
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
            ((uint16_t*)scales(g, b))[r] = d;
            for (int k = 0; k < block_columns; ++k) {
                const float w = r < rows_in(g) && k < count ? std::nearbyint(x[k] * inverse) : 0;
                weights(g, b)[64 * (k / 4) + 4 * r + k % 4] = uint8_t(int(std::fmin(127, std::fmax(-128, w))) + 128);
            }
        }
}

// Reads the values of a row's block, with their offset subtracted.
void PackedMatrix::read_values(const uint8_t* block, int r, int* out) const {
    const uint8_t* table = table_of(packing_);
    const int bits = bits_of(packing_) - 4;
    for (int k = 0; k < block_columns; ++k) {
        int value;
        if (packing_ == Packing::bytes) {
            value = block[64 * (k / 4) + 4 * r + k % 4];
        } else {
            value = block[nibble_at(r, k)] >> nibble_shift(k) & 15;
            if (bits) {
                const UpperBits upper(bits, r, k);
                value |= (block[upper.byte] >> upper.shift & ((1 << bits) - 1)) << 4;
            }
            if (table) value = table[value];
        }
        out[k] = value - offset_of(packing_);
    }
}

void PackedMatrix::read_row(int row, float* out) const {
    const int r = row % group_rows, g = row / group_rows;
    const uint8_t* begin = group(g);
    if (packing_ == Packing::floats) {
        for (int c = 0; c < padded_columns(); ++c) out[c] = ((const float*)begin)[size_t(c) * group_rows + r];
        return;
    }
    for (int b = 0; b < blocks(); ++b, out += block_columns) {
        int values[block_columns];
        read_values(begin + size_t(b) * weight_bytes(packing_), r, values);
        const BlockScales scales = read_scales(g, b, r);
        for (int k = 0; k < block_columns; ++k) out[k] = scales.d[k / 16] * float(values[k]) + scales.m;
    }
}

// The factors of a row's block, for columns 0-15 and 16-31, and the number that is added.
PackedMatrix::BlockScales PackedMatrix::read_scales(int g, int block, int r) const {
    const uint8_t* bytes = group(g) + scales_offset() + size_t(block) * scale_bytes(packing_);
    const uint8_t* supers = group(g) + supers_offset() + size_t(block) / super_blocks * super_bytes(packing_);
    const uint16_t* halves = (const uint16_t*)(is_super(packing_) ? supers : bytes);
    if (scales_of(packing_) == Scales::exponents) {
        const float d = std::ldexp(1.0f, int(bytes[r]) - 128);
        return {{d, d}, 0};
    }
    const float d = float_from_half(halves[r]);
    const float m = has_minimum(packing_) ? float_from_half(halves[group_rows + r]) : 0;
    switch (scales_of(packing_)) {
        case Scales::bytes_and_minimums: {
            const float scaled = d * float(bytes[r]);
            return {{scaled, scaled}, m * float(bytes[group_rows + r])};
        }
        case Scales::bytes_of_halves:
            return {{d * float(int8_t(bytes[r])), d * float(int8_t(bytes[group_rows + r]))}, 0};
        case Scales::bytes: {
            const float scaled = d * float(int8_t(bytes[r]));
            return {{scaled, scaled}, 0};
        }
        default: return {{d, d}, m};
    }
}

}  // namespace llmos
