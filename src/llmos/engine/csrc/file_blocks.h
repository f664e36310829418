// Blocks of quantized values as GGUF files have them, taken apart: integers, and the scales that belong to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace llmos {

// The values of 32 or 256 columns of a row. Which fields count depends on the packing; see packing.h.
struct FileBlock {
    uint8_t values[256];  // u
    uint16_t d, m;        // 16-bit floats
    uint8_t scales[16];   // one for 32 columns, or for 16
    uint8_t minimums[8];  // one for 32 columns
};

// A type of GGUF: how many values a block has, how many bytes, and how to take one apart.
struct FileType {
    int columns;
    size_t bytes;
    void (*read)(const uint8_t* block, FileBlock& out);
};

// The type of this name; null where there is none that is packed as it is.
const FileType* find_file_type(const std::string& name);

}  // namespace llmos
