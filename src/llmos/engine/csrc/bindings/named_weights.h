// What the bindings have in common: sizes that are checked, and the memory that a model's matrices lie in.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
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
constexpr size_t cache_line = 64;

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
        throw std::invalid_argument(std::string(name) + " must be between " + std::to_string(low) + " and " +
                                    std::to_string(max_size));
    return value;
}

inline std::string place_name(int layer, const std::string& name, int number = -1) {
    std::string at = layer < 0 ? name : "layers." + std::to_string(layer) + "." + name;
    if (number >= 0) at.append(".").append(std::to_string(number));
    return at;
}

inline void check_layer(int layer, int num_layers) {
    require(layer >= -1 && layer < num_layers, "there is no such layer");
}

using FileBytes = nb::ndarray<const uint8_t, nb::c_contig, nb::device::cpu>;

inline const std::map<std::string, Packing> packings_by_name = {{"bytes", Packing::bytes},
                                                                {"nibbles", Packing::nibbles},
                                                                {"affine_nibbles", Packing::affine_nibbles},
                                                                {"floats", Packing::floats}};

// Layer, name, number (of an expert, -1 for what is none), packing, rows, columns, where it begins in the memory.
using Placement = std::tuple<int, std::string, int, std::string, int, int, size_t>;

// The weights of a Decoder or an Encoder, by the names that Python has for them. Layer -1 is what lies outside of the layers.
template <class Model, class Weight, class Vector> class NamedWeights {
  public:
    NamedWeights(Model& model, const std::map<std::string, Weight>& matrices,
                 const std::map<std::string, Vector>& vectors)
        : model_(model), matrices_(matrices), vectors_(vectors) {}

    // Takes the matrices out of memory in which they lie packed, or are about to be.
    void place(const Array1<uint8_t>& memory, const std::vector<Placement>& placements) {
        const auto whole = std::make_shared<const Array1<uint8_t>>(memory);
        for (const auto& [layer, name, number, packing_name, rows, columns, offset] : placements) {
            const Weight which = lookup(matrices_, name);
            check_layer(layer, model_.spec().num_layers);
            const Shape wanted = model_.shape(layer, which, number);
            const std::string at = place_name(layer, name, number);
            if (!wanted.rows) throw std::invalid_argument("The spec has no " + at + ".");
            if (rows != wanted.rows || columns != wanted.columns)
                throw std::invalid_argument(at + " is " + std::to_string(rows) + " x " + std::to_string(columns) +
                                            "; the spec asks for " + std::to_string(wanted.rows) + " x " +
                                            std::to_string(wanted.columns) + ".");
            const Packing packing = lookup(packings_by_name, packing_name);
            const size_t bytes = PackedMatrix::bytes_for(packing, rows, columns);
            if (offset % cache_line || offset > memory.size() || bytes > memory.size() - offset ||
                uintptr_t(memory.data()) % cache_line)
                throw std::invalid_argument(at + " lies outside the memory, or across its cache lines.");
            model_.matrix(layer, which, number) =
                PackedMatrix(packing, rows, columns, Buffer(whole, memory.data() + offset, bytes));
        }
        is_complete_ = false;
    }

    // A copy of a vector's values, padded to whole blocks.
    Buffer checked_vector(int layer, const std::string& name, Array1<float> data) const {
        check_layer(layer, model_.spec().num_layers);
        const int wanted = model_.size(layer, lookup(vectors_, name));
        if (!wanted) throw std::invalid_argument("The spec has no " + place_name(layer, name) + ".");
        if (data.size() != size_t(wanted))
            throw std::invalid_argument(place_name(layer, name) + " has " + std::to_string(data.size()) +
                                        " values; the spec asks for " + std::to_string(wanted) + ".");
        Buffer buffer(size_t(round_up(wanted, block_columns)) * sizeof(float));
        std::copy_n(data.data(), wanted, buffer.as<float>());
        return buffer;
    }

    void set_vector(int layer, const std::string& name, Buffer buffer) {
        model_.vector(layer, lookup(vectors_, name)) = std::move(buffer);
    }

    // A step reads all that the spec asks for, without looking whether it is there.
    void require_complete() {
        if (is_complete_) return;
        const auto check = [](bool is_there, int layer, const std::string& name, int number = -1) {
            if (!is_there) throw std::runtime_error(place_name(layer, name, number) + " was never set.");
        };
        for (int layer = -1; layer < model_.spec().num_layers; ++layer) {
            for (const auto& [name, which] : matrices_)
                for (int number = -1; number < model_.num_experts(); ++number)
                    check(!model_.shape(layer, which, number).rows || model_.matrix(layer, which, number).rows(), layer,
                          name, number);
            for (const auto& [name, which] : vectors_)
                check(!model_.size(layer, which) || model_.vector(layer, which).bytes(), layer, name);
        }
        is_complete_ = true;
    }

  private:
    Model& model_;
    const std::map<std::string, Weight>& matrices_;
    const std::map<std::string, Vector>& vectors_;
    bool is_complete_ = false;
};

// llmos.engine._native.Encoder
void bind_encoder(nb::module_& m);
// What turns a file's rows into packed ones.
void bind_packing(nb::module_& m);

}  // namespace llmos
