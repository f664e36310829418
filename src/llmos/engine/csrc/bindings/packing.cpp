// Packing: rows as a file has them in, the kernels' layout out; and floats into Q4_1 blocks. Knows no model.

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <tuple>

#include "bindings/arguments.h"
#include "bindings/named_weights.h"
#include "fit_q4_1.h"
#include "pool.h"

using namespace nb::literals;

namespace llmos {
namespace {

using FileBytes = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;
using Memory = nb::ndarray<uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// A name for error messages, dtype, packing, columns, the rows as a file has them, the byte offset of their first
// group.
using Piece = std::tuple<std::string, std::string, std::string, int, FileBytes, size_t>;

// Rows of a file and the groups that they become. The last rows of a matrix may leave the last group unfilled.
struct Rows {
    PackedMatrix to;
    const FileType* type;  // null: floats
    size_t row_bytes;
    const uint8_t* data;

    void pack(int group) {
        const uint8_t* from = data + size_t(group) * group_rows * row_bytes;
        if (type) to.pack(group, *type, from, row_bytes);
        else to.pack_f32(group, (const float*)from);
    }
};

// The packings that keep the values of a file's type.
const std::map<std::string, Packing> packings_by_dtype = {
    {"Q8_0", Packing::bytes},    {"Q4_0", Packing::nibbles},  {"Q4_1", Packing::affine_nibbles},
    {"Q5_0", Packing::q5_0},     {"Q5_1", Packing::q5_1},     {"Q3_K", Packing::q6_k},
    {"Q4_K", Packing::q4_k},     {"Q5_K", Packing::q5_k},     {"Q6_K", Packing::q6_k},
    {"IQ4_NL", Packing::iq4_nl}, {"IQ4_XS", Packing::iq4_xs}, {"MXFP4", Packing::mxfp4}};

bool can_pack(const std::string& dtype, Packing packing) {
    if (dtype == "F32") return packing == Packing::bytes || packing == Packing::floats;
    const auto found = packings_by_dtype.find(dtype);
    return found != packings_by_dtype.end() && found->second == packing;
}

Rows checked_rows(const Piece& piece, const std::shared_ptr<const void>& owner, uint8_t* memory, size_t memory_bytes) {
    const auto& [name, dtype, packing_name, columns, data, offset] = piece;
    // The capture by name is for clang 14, which captures no structured binding otherwise.
    const auto check = [&name = name](bool holds, const char* message) {
        if (!holds) throw std::invalid_argument(name + ": " + message);
    };
    const Packing packing = lookup(packings_by_name, packing_name);
    const FileType* type = find_file_type(dtype);
    check(columns > 0 && columns <= max_size, "there are no columns, or too many");
    check(can_pack(dtype, packing), "this dtype cannot be packed that way");
    check(!type || columns % type->columns == 0, "quantized rows must be whole blocks");
    const size_t row_bytes = type ? size_t(columns / type->columns) * type->bytes : size_t(columns) * 4;
    const size_t num_rows = data.nbytes() / row_bytes;
    check(num_rows > 0 && num_rows <= size_t(max_size) && data.nbytes() % row_bytes == 0,
          "the data has another size than the columns say");
    check(type || uintptr_t(data.data()) % alignof(float) == 0, "floats must be aligned");
    const size_t bytes = PackedMatrix::bytes_for(packing, int(num_rows), columns);
    check(offset % cache_line == 0 && offset <= memory_bytes && bytes <= memory_bytes - offset,
          "the memory has no room for the rows");
    return {PackedMatrix(packing, int(num_rows), columns, Buffer(owner, memory + offset, bytes)), type, row_bytes,
            data.data()};
}

// Each thread takes the next few groups of any matrix, so that a slow core delays nobody.
void pack_rows(Pool& pool, const std::vector<Piece>& pieces, Memory memory) {
    nb::gil_scoped_release release;
    const std::shared_ptr<const void> owner = std::make_shared<int>(0);  // the caller keeps the memory while we fill it
    std::vector<Rows> all;
    std::vector<int> ends;
    int total = 0;
    for (const Piece& piece : pieces) {
        all.push_back(checked_rows(piece, owner, memory.data(), memory.size()));
        ends.push_back(total += all.back().to.groups());
    }
    std::atomic<int> next{0};
    constexpr int grain = 4;
    pool.run([&](int) {
        for (int begin; (begin = next.fetch_add(grain, std::memory_order_relaxed)) < total;)
            for (int unit = begin; unit < std::min(begin + grain, total); ++unit) {
                const size_t i = size_t(std::upper_bound(ends.begin(), ends.end(), unit) - ends.begin());
                all[i].pack(unit - (i ? ends[i - 1] : 0));
            }
    });
}

nb::ndarray<nb::numpy, uint8_t> make_memory(size_t bytes) {
    auto buffer = std::make_unique<Buffer>(std::max<size_t>(bytes, 1));
    uint8_t* data = buffer->as<uint8_t>();
    nb::capsule owner(buffer.get(), [](void* p) noexcept { delete static_cast<Buffer*>(p); });
    buffer.release();
    return nb::ndarray<nb::numpy, uint8_t>(data, {bytes}, owner);
}

size_t packed_bytes(const std::string& packing, int rows, int columns) {
    require(rows > 0 && rows <= max_size && columns > 0 && columns <= max_size,
            "a matrix has between 1 and 134217728 rows and columns");
    const Packing found = lookup(packings_by_name, packing);
    require(PackedMatrix::can_have(found, columns), "rows of this packing must be whole blocks of 256");
    return PackedMatrix::bytes_for(found, rows, columns);
}

nb::object fit_rows(Pool& pool, Array2<float> values) {
    require(values.shape(1) && values.shape(1) % block_columns == 0, "rows must be whole blocks of 32");
    const size_t num_blocks = values.size() / block_columns;
    const size_t row_bytes = values.shape(1) / block_columns * q4_1_bytes;
    OwnedMemory<uint8_t> blocks(num_blocks * q4_1_bytes);
    {
        nb::gil_scoped_release release;
        std::atomic<size_t> next{0};
        constexpr size_t grain = 1024;
        pool.run([&](int) {
            for (size_t begin; (begin = next.fetch_add(grain, std::memory_order_relaxed)) < num_blocks;)
                fit_q4_1(values.data() + begin * block_columns, std::min(grain, num_blocks - begin),
                         blocks.data + begin * q4_1_bytes);
        });
    }
    return nb::cast(nb::ndarray<nb::numpy, uint8_t>(blocks.data, {values.shape(0), row_bytes}, blocks.owner));
}

}  // namespace

void bind_packing(nb::module_& m) {
    m.def("memory", &make_memory, "bytes"_a,
          "Zeros that start on a cache line, on huge pages where the system allows it.");
    m.def("packed_bytes", &packed_bytes, "packing"_a, "rows"_a, "columns"_a,
          "Bytes that a matrix takes when it is packed.");
    m.def("pack_rows", &pack_rows, "pool"_a, "pieces"_a, "memory"_a.noconvert(),
          "Pack rows as a file has them into memory that is zero: quantized types unchanged, F32 as floats or as\n"
          "bytes with a scale for 32. A piece is (name, dtype, packing, columns, data, byte offset); it has whole\n"
          "groups of 16 rows, or is the end of its matrix.");
    m.def("fit_q4_1", &fit_rows, "pool"_a, "values"_a.noconvert(),
          "Turn rows of floats into Q4_1 blocks as a file has them, with scales and minimums of the least squared\n"
          "error. A block with a value that is not finite gets NaN as its scale.");
}

}  // namespace llmos
