// The layouts in which a matrix's weights are packed, and their sizes.
//
// For each group of 16 rows, all blocks of 32 columns one after another, then what is kept for 256 columns, then the
// scales of all blocks. A block's weights are unsigned integers u:
//
//   8 bits   512 bytes: [8 quads][16 rows][4 columns]
//   4 bits   256 bytes: [4 quads][16 rows][4 columns], low nibble columns 0-15, high nibble columns 16-31
//   5 bits   256 bytes as for 4 bits, then a vector of 64 bytes with the fifth bits: bit 4 + i of byte j belongs to the
//            low nibble of byte j of quad i, and bit i to its high nibble
//   6 bits   256 bytes as for 4 bits, then two vectors for quads 0-1 and 2-3 with the upper two bits: bits 4 + 2i of
//            byte j belong to the low nibble of byte j of the vector's quad i, and bits 2i to its high nibble
//
// The value of a weight, with d and m as 16-bit floats as the file formats have them, and [16] of everything:
//
//                                  of 256 columns   of a block
//   bytes            d (u - 128)                    d
//   nibbles, q5_0    d (u - 8 or 16)                d
//   affine_nibbles,
//   q5_1             d u + m                        d, m
//   q4_k, q5_k       d s u + m n    d, m            s, n: unsigned bytes; the file's minimum is -m
//   q6_k             d s (u - 32)   d               s: signed bytes, of columns 0-15, then of columns 16-31
//   iq4_nl           d table[u]                     d
//   iq4_xs           d s table[u]   d               s: signed bytes
//   mxfp4            2^(e - 128) table[u]           e: bytes
//   floats           no blocks: [columns][16 rows] of float
#pragma once

#include <cstddef>
#include <cstdint>

namespace llmos {

enum class Packing { bytes, nibbles, affine_nibbles, floats, q4_k, q5_k, q6_k, q5_0, q5_1, iq4_nl, iq4_xs, mxfp4 };

// The parts of a block's scales; see above.
enum class Scales { none, half, half_and_minimum, bytes_and_minimums, bytes, bytes_of_halves, exponents };

constexpr int super_blocks = 8;  // blocks of the 256 columns that share a scale of scales

constexpr Scales scales_of(Packing p) {
    switch (p) {
        case Packing::floats: return Scales::none;
        case Packing::affine_nibbles:
        case Packing::q5_1: return Scales::half_and_minimum;
        case Packing::q4_k:
        case Packing::q5_k: return Scales::bytes_and_minimums;
        case Packing::q6_k: return Scales::bytes_of_halves;
        case Packing::iq4_xs: return Scales::bytes;
        case Packing::mxfp4: return Scales::exponents;
        default: return Scales::half;
    }
}

constexpr bool has_minimum(Packing p) {
    return scales_of(p) == Scales::half_and_minimum || scales_of(p) == Scales::bytes_and_minimums;
}

constexpr bool is_super(Packing p) {
    return scales_of(p) == Scales::bytes_and_minimums || scales_of(p) == Scales::bytes ||
           scales_of(p) == Scales::bytes_of_halves;
}

constexpr int bits_of(Packing p) {
    switch (p) {
        case Packing::floats: return 32;
        case Packing::bytes: return 8;
        case Packing::q6_k: return 6;
        case Packing::q5_k:
        case Packing::q5_0:
        case Packing::q5_1: return 5;
        default: return 4;
    }
}

// The values of 4-bit codes, raised by their offset so that they are unsigned; null where codes are the values.
constexpr uint8_t iq4_table[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
constexpr uint8_t fp4_table[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

constexpr const uint8_t* table_of(Packing p) {
    if (p == Packing::iq4_nl || p == Packing::iq4_xs) return iq4_table;
    return p == Packing::mxfp4 ? fp4_table : nullptr;
}

// The number that is subtracted from u, or from table[u].
constexpr int offset_of(Packing p) {
    switch (p) {
        case Packing::bytes:
        case Packing::iq4_nl:
        case Packing::iq4_xs: return 128;
        case Packing::q6_k: return 32;
        case Packing::q5_0: return 16;
        case Packing::mxfp4: return 12;
        case Packing::nibbles: return 8;
        default: return 0;
    }
}

// Bytes of a block of 16 rows.
constexpr size_t weight_bytes(Packing p) { return size_t(bits_of(p)) * 64; }

// Bytes of its scales.
constexpr size_t scale_bytes(Packing p) {
    switch (scales_of(p)) {
        case Scales::none: return 0;
        case Scales::half_and_minimum: return 64;
        case Scales::bytes:
        case Scales::exponents: return 16;
        default: return 32;
    }
}

// Bytes of what is kept for 256 columns of 16 rows.
constexpr size_t super_bytes(Packing p) { return !is_super(p) ? 0 : has_minimum(p) ? 64 : 32; }

}  // namespace llmos
