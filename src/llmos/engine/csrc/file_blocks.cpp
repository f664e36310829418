#include "file_blocks.h"

#include <cstring>
#include <map>

namespace llmos {
namespace {

void read_half(const uint8_t* from, uint16_t& out) { std::memcpy(&out, from, 2); }

// `count` bytes hold values i (low nibble) and i + count (high nibble).
void read_nibbles(const uint8_t* from, int count, uint8_t* out) {
    for (int i = 0; i < count; ++i) {
        out[i] = from[i] & 15;
        out[i + count] = from[i] >> 4;
    }
}

// Bit i of the 32 is the fifth bit of value i.
void read_fifth_bits(const uint8_t* from, uint8_t* out) {
    for (int i = 0; i < 32; ++i) out[i] |= uint8_t((from[i / 8] >> i % 8 & 1) << 4);
}

void read_q8_0(const uint8_t* block, FileBlock& out) {
    read_half(block, out.d);
    for (int i = 0; i < 32; ++i) out.values[i] = uint8_t(block[2 + i] ^ 0x80);
}

void read_q4_0(const uint8_t* block, FileBlock& out) {  // IQ4_NL, too
    read_half(block, out.d);
    read_nibbles(block + 2, 16, out.values);
}

void read_q4_1(const uint8_t* block, FileBlock& out) {
    read_half(block + 2, out.m);
    read_half(block, out.d);
    read_nibbles(block + 4, 16, out.values);
}

void read_q5_0(const uint8_t* block, FileBlock& out) {
    read_half(block, out.d);
    read_nibbles(block + 6, 16, out.values);
    read_fifth_bits(block + 2, out.values);
}

void read_q5_1(const uint8_t* block, FileBlock& out) {
    read_half(block, out.d);
    read_half(block + 2, out.m);
    read_nibbles(block + 8, 16, out.values);
    read_fifth_bits(block + 4, out.values);
}

void read_mxfp4(const uint8_t* block, FileBlock& out) {
    out.scales[0] = block[0];
    read_nibbles(block + 1, 16, out.values);
}

// Q4_K and Q5_K begin with d, the minimums' scale, and twelve bytes with eight scales and eight minimums of 6 bits: the
// low 6 bits of bytes 0-3 and 4-7 are those of blocks 0-3; their upper 2 bits are the upper bits of blocks 4-7, whose
// lower 4 bits are in bytes 8-11. A value is d * scale * u - m * minimum; the sign goes into m.
void read_k_scales(const uint8_t* block, FileBlock& out) {
    read_half(block, out.d);
    read_half(block + 2, out.m);
    out.m ^= 0x8000;
    const uint8_t* packed = block + 4;
    for (int i = 0; i < 4; ++i) {
        out.scales[i] = packed[i] & 63;
        out.minimums[i] = packed[4 + i] & 63;
        out.scales[4 + i] = uint8_t((packed[8 + i] & 15) | (packed[i] >> 6) << 4);
        out.minimums[4 + i] = uint8_t(packed[8 + i] >> 4 | (packed[4 + i] >> 6) << 4);
    }
}

void read_q4_k(const uint8_t* block, FileBlock& out) {
    read_k_scales(block, out);
    for (int pair = 0; pair < 4; ++pair) read_nibbles(block + 16 + 32 * pair, 32, out.values + 64 * pair);
}

void read_q5_k(const uint8_t* block, FileBlock& out) {
    read_k_scales(block, out);
    for (int pair = 0; pair < 4; ++pair) read_nibbles(block + 48 + 32 * pair, 32, out.values + 64 * pair);
    // Bit b of byte i is the fifth bit of value i of block b.
    for (int i = 0; i < 256; ++i) out.values[i] |= uint8_t((block[16 + i % 32] >> i / 32 & 1) << 4);
}

void read_q6_k(const uint8_t* block, FileBlock& out) {
    const uint8_t* upper = block + 128;
    for (int half = 0; half < 2; ++half) {
        read_nibbles(block + 64 * half, 64, out.values + 128 * half);
        for (int i = 0; i < 128; ++i)
            out.values[128 * half + i] |= uint8_t((upper[32 * half + i % 32] >> 2 * (i / 32) & 3) << 4);
    }
    std::memcpy(out.scales, block + 192, 16);
    read_half(block + 208, out.d);
}

// A value is d * (scale - 32) * (u - 4), with u of 3 bits: as Q6_K, with u + 28.
void read_q3_k(const uint8_t* block, FileBlock& out) {
    const uint8_t *high = block, *low = block + 32, *packed = block + 96;
    for (int i = 0; i < 256; ++i) {
        const int two = low[i / 128 * 32 + i % 32] >> 2 * (i / 32 % 4) & 3, third = high[i % 32] >> i / 32 & 1;
        out.values[i] = uint8_t(28 + (two | third << 2));
    }
    for (int i = 0; i < 16; ++i) {
        const int lower = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4, upper = packed[8 + i % 4] >> 2 * (i / 4) & 3;
        out.scales[i] = uint8_t((lower | upper << 4) - 32);
    }
    read_half(block + 108, out.d);
}

// A value is d * (scale - 32) * table[u], with scales of 6 bits: the lower four in nibbles, the upper two in a word.
void read_iq4_xs(const uint8_t* block, FileBlock& out) {
    read_half(block, out.d);
    uint16_t upper;
    read_half(block + 2, upper);
    for (int i = 0; i < 8; ++i) {
        const int lower = block[4 + i / 2] >> 4 * (i % 2) & 15;
        out.scales[i] = uint8_t((lower | (upper >> 2 * i & 3) << 4) - 32);
        read_nibbles(block + 8 + 16 * i, 16, out.values + 32 * i);
    }
}

const std::map<std::string, FileType> file_types = {
    {"Q8_0", {32, 34, read_q8_0}},   {"Q4_0", {32, 18, read_q4_0}},   {"Q4_1", {32, 20, read_q4_1}},
    {"Q5_0", {32, 22, read_q5_0}},   {"Q5_1", {32, 24, read_q5_1}},   {"IQ4_NL", {32, 18, read_q4_0}},
    {"MXFP4", {32, 17, read_mxfp4}}, {"Q4_K", {256, 144, read_q4_k}}, {"Q5_K", {256, 176, read_q5_k}},
    {"Q6_K", {256, 210, read_q6_k}}, {"Q3_K", {256, 110, read_q3_k}}, {"IQ4_XS", {256, 136, read_iq4_xs}}};

}  // namespace

const FileType* find_file_type(const std::string& name) {
    const auto found = file_types.find(name);
    return found == file_types.end() ? nullptr : &found->second;
}

}  // namespace llmos
