// What the bindings have in common: sizes that are checked, and a file's rows on their way into a model's matrices.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "matrix.h"
#include "pool.h"

namespace nb = nanobind;

namespace llmos {

template <class T> using Array1 = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T> using Array2 = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T> using Mutable2 = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;

// Every product of two sizes that a step computes in an int stays one.
constexpr int max_size = 1 << 27, max_batch_tokens = 1 << 20;

inline void require(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

template <class T> T lookup(const std::map<std::string, T>& table, const std::string& name) {
    const auto found = table.find(name);
    if (found == table.end()) throw std::invalid_argument("There is no '" + name + "'.");
    return found->second;
}

inline const std::map<std::string, ActivationKind> activations_by_name = {
    {"silu", ActivationKind::silu}, {"gelu_tanh", ActivationKind::gelu_tanh}, {"gelu", ActivationKind::gelu}};

// A size out of a spec's field.
inline int size_field(nb::handle fields, const char* name, int low = 1) {
    int value;
    if (!nb::try_cast(fields.attr(name), value) || value < low || value > max_size)
        throw std::invalid_argument(std::string(name) + " must be between " + std::to_string(low) + " and " + std::to_string(max_size));
    return value;
}

inline std::string place(int layer, const std::string& name, int number = -1) {
    std::string at = layer < 0 ? name : "layers." + std::to_string(layer) + "." + name;
    if (number >= 0) at.append(".").append(std::to_string(number));
    return at;
}

inline void check_layer(int layer, int num_layers) { require(layer >= -1 && layer < num_layers, "there is no such layer"); }

using FileBytes = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;
// Layer, name, number (of an expert, -1 for what is none), dtype, rows and columns of the whole matrix, the first row of
// these, their bytes, as_floats.
using FileRows = std::tuple<int, std::string, int, std::string, int, int, int, FileBytes, bool>;

// A file's rows on their way into a matrix. `dtype` is Q8_0, Q4_0, Q4_1 (bytes as in the file) or F32 (into bytes, or floats).
struct Rows {
    PackedMatrix* to;
    const std::string& dtype;
    Packing packing;
    int columns, first_row, num_rows;
    size_t row_bytes;
    const uint8_t* data;

    int num_groups() const { return (num_rows + group_rows - 1) / group_rows; }

    void pack(int group) const {
        const int g = first_row / group_rows + group;
        const uint8_t* from = data + size_t(group) * group_rows * row_bytes;
        if (dtype == "F32") to->pack_f32(g, (const float*)from);
        else if (dtype == "Q8_0") to->pack_q8_0(g, from, row_bytes);
        else if (dtype == "Q4_0") to->pack_q4_0(g, from, row_bytes);
        else to->pack_q4_1(g, from, row_bytes);
    }
};

inline Rows checked_rows(const std::string& dtype, int rows, int columns, int first_row, const uint8_t* data, size_t size, bool as_floats) {
    require(first_row >= 0 && first_row < rows, "the first row is outside the matrix");
    const bool is_f32 = dtype == "F32";
    const size_t block = dtype == "Q8_0" ? 34 : dtype == "Q4_0" ? 18 : 20;
    const size_t row_bytes = is_f32 ? size_t(columns) * 4 : size_t(columns) / block_columns * block;
    require(is_f32 || dtype == "Q8_0" || dtype == "Q4_0" || dtype == "Q4_1", "this dtype cannot be packed as it is");
    require(is_f32 || columns % block_columns == 0, "quantized rows must be whole blocks");
    require(size > 0 && size % row_bytes == 0 && size / row_bytes <= size_t(rows - first_row), "the data has another size than rows and columns say");
    require(!is_f32 || uintptr_t(data) % alignof(float) == 0, "floats must be aligned");
    const int num_rows = int(size / row_bytes);
    require(num_rows % group_rows == 0 || first_row + num_rows == rows, "the data has another size: all rows but the last come in groups of 16");
    const Packing packing = is_f32 ? (as_floats ? Packing::floats : Packing::bytes)
                            : dtype == "Q8_0" ? Packing::bytes : dtype == "Q4_0" ? Packing::nibbles : Packing::affine_nibbles;
    return {nullptr, dtype, packing, columns, first_row, num_rows, row_bytes, data};
}

// Gives every matrix that begins here its memory: all of them in one piece, so that small ones lie on huge pages, too.
inline void allocate(std::vector<Rows>& all, const std::vector<int>& num_matrix_rows) {
    size_t bytes = 0;
    for (size_t i = 0; i < all.size(); ++i)
        if (!all[i].first_row) bytes += PackedMatrix::bytes_for(all[i].packing, num_matrix_rows[i], all[i].columns);
    const auto memory = std::make_shared<const Buffer>(bytes);
    size_t offset = 0;
    for (size_t i = 0; i < all.size(); ++i) {
        const Rows& rows = all[i];
        if (rows.first_row) continue;
        const size_t size = PackedMatrix::bytes_for(rows.packing, num_matrix_rows[i], rows.columns);
        *rows.to = PackedMatrix(rows.packing, num_matrix_rows[i], rows.columns, Buffer(memory, offset, size));
        offset += size;
    }
}

// A thread takes the next few groups of any matrix, so that a core that is busy otherwise holds nobody up.
inline void pack(Pool& pool, const std::vector<Rows>& all) {
    std::vector<int> ends;
    int total = 0;
    for (const Rows& rows : all) ends.push_back(total += rows.num_groups());
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

// The weights of a Decoder or an Encoder, by the names that Python has for them. Layer -1 is what lies outside of the layers.
template <class Model, class Weight, class Vector> class NamedWeights {
  public:
    NamedWeights(Model& model, Pool& pool, const std::map<std::string, Weight>& matrices, const std::map<std::string, Vector>& vectors)
        : model_(model), pool_(pool), matrices_(matrices), vectors_(vectors) {}

    void add_rows(const std::vector<FileRows>& pieces) {
        std::vector<Rows> all;
        std::vector<int> num_matrix_rows;
        for (const auto& [layer, name, number, dtype, rows, columns, first_row, data, as_floats] : pieces) {
            const Weight which = lookup(matrices_, name);
            check_layer(layer, model_.spec().num_layers);
            const Shape wanted = model_.shape(layer, which, number);
            const std::string at = place(layer, name, number);
            if (!wanted.rows) throw std::invalid_argument("The spec has no " + at + ".");
            if (rows != wanted.rows || columns != wanted.columns)
                throw std::invalid_argument(at + " is " + std::to_string(rows) + " x " + std::to_string(columns) + "; the spec asks for " +
                                            std::to_string(wanted.rows) + " x " + std::to_string(wanted.columns) + ".");
            try {
                PackedMatrix& matrix = model_.matrix(layer, which, number);
                Rows piece = checked_rows(dtype, rows, columns, first_row, data.data(), data.nbytes(), as_floats);
                piece.to = &matrix;
                const auto before = std::find_if(all.rbegin(), all.rend(), [&](const Rows& other) { return other.to == &matrix; });
                require(first_row == (before == all.rend() ? matrix.num_packed() : before->first_row + before->num_rows),
                        "rows must come one after another, each once");
                require(!first_row || piece.packing == (before == all.rend() ? matrix.packing() : before->packing), "all rows must have one dtype");
                all.push_back(piece);
            } catch (const std::invalid_argument& error) {
                throw std::invalid_argument(at + ": " + error.what());
            }
            num_matrix_rows.push_back(rows);
        }
        allocate(all, num_matrix_rows);
        pack(pool_, all);
        for (const Rows& rows : all) rows.to->set_num_packed(rows.first_row + rows.num_rows);
        is_complete_ = false;
    }

    // A copy of a vector's values, padded to whole blocks.
    Buffer checked_vector(int layer, const std::string& name, Array1<float> data) const {
        check_layer(layer, model_.spec().num_layers);
        const int wanted = model_.size(layer, lookup(vectors_, name));
        if (!wanted) throw std::invalid_argument("The spec has no " + place(layer, name) + ".");
        if (data.size() != size_t(wanted))
            throw std::invalid_argument(place(layer, name) + " has " + std::to_string(data.size()) + " values; the spec asks for " +
                                        std::to_string(wanted) + ".");
        Buffer buffer(size_t(round_up(wanted, block_columns)) * sizeof(float));
        std::copy_n(data.data(), wanted, buffer.as<float>());
        return buffer;
    }

    void set_vector(int layer, const std::string& name, Buffer buffer) { model_.vector(layer, lookup(vectors_, name)) = std::move(buffer); }

    // A step reads all that the spec asks for, without looking whether it is there.
    void require_complete() {
        if (is_complete_) return;
        const auto check = [](bool is_there, int layer, const std::string& name, int number = -1) {
            if (!is_there) throw std::runtime_error(place(layer, name, number) + " was never set, or not all of it.");
        };
        for (int layer = -1; layer < model_.spec().num_layers; ++layer) {
            for (const auto& [name, which] : matrices_)
                for (int number = -1; number < model_.num_experts(); ++number)
                    check(!model_.shape(layer, which, number).rows || model_.matrix(layer, which, number).is_complete(), layer, name, number);
            for (const auto& [name, which] : vectors_)
                check(!model_.size(layer, which) || model_.vector(layer, which).bytes(), layer, name);
        }
        is_complete_ = true;
    }

  private:
    Model& model_;
    Pool& pool_;
    const std::map<std::string, Weight>& matrices_;
    const std::map<std::string, Vector>& vectors_;
    bool is_complete_ = false;
};

// llmos.engine._native.Encoder
void bind_encoder(nb::module_& m);

}  // namespace llmos
