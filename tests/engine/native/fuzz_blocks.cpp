// A target of libFuzzer: rows of every block type, of any bytes, are packed and read back; so are floats, and memory as a
// file of packed weights has it. All of it lies in memory of exactly its size, where AddressSanitizer sees a byte too far.
//
//   input    kind · rows - 1 · blocks - 1 · bytes, repeated as often as they are needed
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "fit_q4_1.h"
#include "matrix.h"

using namespace llmos;

namespace {

struct Kind {
    const char* dtype;  // null: floats
    Packing packing;
};

constexpr std::array kinds = {
    Kind{"Q8_0", Packing::bytes},    Kind{"Q4_0", Packing::nibbles},  Kind{"Q4_1", Packing::affine_nibbles},
    Kind{"Q5_0", Packing::q5_0},     Kind{"Q5_1", Packing::q5_1},     Kind{"Q3_K", Packing::q6_k},
    Kind{"Q4_K", Packing::q4_k},     Kind{"Q5_K", Packing::q5_k},     Kind{"Q6_K", Packing::q6_k},
    Kind{"IQ4_NL", Packing::iq4_nl}, Kind{"IQ4_XS", Packing::iq4_xs}, Kind{"MXFP4", Packing::mxfp4},
    Kind{nullptr, Packing::bytes},   Kind{nullptr, Packing::floats}};

constexpr int max_rows = 40, max_blocks = 4;

// Bytes of the input, from its beginning again when it ends.
class Bytes {
  public:
    Bytes(const uint8_t* data, size_t size) : data_(data), size_(size) {}

    void fill(void* out, size_t count) {
        for (size_t i = 0; i < count; ++i) ((uint8_t*)out)[i] = size_ ? data_[position_++ % size_] : 0;
    }

  private:
    const uint8_t* data_;
    size_t size_, position_ = 0;
};

std::shared_ptr<uint8_t> allocate(size_t bytes) {
    auto* memory = (uint8_t*)std::aligned_alloc(64, bytes);
    std::fill(memory, memory + bytes, uint8_t(0));
    return {memory, std::free};
}

void read_all(const PackedMatrix& matrix) {
    std::vector<float> row(size_t(matrix.padded_columns()));
    for (int r = 0; r < matrix.rows(); ++r) matrix.read_row(r, row.data());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size < 3) return 0;
    const Kind kind = kinds[data[0] % kinds.size()];
    const int rows = 1 + data[1] % max_rows, blocks = 1 + data[2] % max_blocks;
    Bytes input(data + 3, size - 3);
    const FileType* type = kind.dtype ? find_file_type(kind.dtype) : nullptr;
    const int columns = blocks * (type ? type->columns : block_columns);
    const size_t bytes = PackedMatrix::bytes_for(kind.packing, rows, columns);
    const auto memory = allocate(bytes);
    PackedMatrix matrix(kind.packing, rows, columns, Buffer(memory, memory.get(), bytes));
    if (type) {
        const size_t row_bytes = size_t(blocks) * type->bytes;
        std::vector<uint8_t> file(size_t(rows) * row_bytes);
        input.fill(file.data(), file.size());
        for (int g = 0; g < matrix.groups(); ++g)
            matrix.pack(g, *type, file.data() + size_t(g) * group_rows * row_bytes, row_bytes);
    } else {
        std::vector<float> values(size_t(rows) * size_t(columns));
        input.fill(values.data(), values.size() * sizeof(float));
        for (int g = 0; g < matrix.groups(); ++g)
            matrix.pack_f32(g, values.data() + size_t(g) * group_rows * size_t(columns));
        std::vector<uint8_t> fitted(values.size() / block_columns * q4_1_bytes);
        fit_q4_1(values.data(), values.size() / block_columns, fitted.data());
    }
    read_all(matrix);
    input.fill(memory.get(), bytes);  // as a damaged file of packed weights
    read_all(matrix);
    return 0;
}
