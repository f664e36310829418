// The weights of a Decoder or an Encoder, by the names that Python uses for them.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>

#include "bindings/arguments.h"
#include "buffer.h"
#include "matrix.h"

namespace llmos {

constexpr size_t cache_line = 64;

inline std::string weight_name(int layer, const std::string& name, int expert = -1) {
    std::string full = layer < 0 ? name : "layers." + std::to_string(layer) + "." + name;
    if (expert >= 0) full.append(".").append(std::to_string(expert));
    return full;
}

inline void check_layer(int layer, int num_layers) {
    require(layer >= -1 && layer < num_layers, "there is no such layer");
}

// The place of a matrix: layer (-1: outside the layers), name, expert (-1: none), packing, rows, columns, byte offset.
using Placement = std::tuple<int, std::string, int, std::string, int, int, size_t>;

template <class Model, class Weight, class Vector> class NamedWeights {
  public:
    NamedWeights(Model& model, const std::map<std::string, Weight>& matrices,
                 const std::map<std::string, Vector>& vectors)
        : model_(model), matrices_(matrices), vectors_(vectors) {}

    // Takes matrices from memory that holds them packed, or will before the next step.
    void place(const Array1<uint8_t>& memory, const std::vector<Placement>& placements) {
        const auto owner = std::make_shared<const Array1<uint8_t>>(memory);
        for (const auto& [layer, name, expert, packing_name, rows, columns, offset] : placements) {
            const Weight which = lookup(matrices_, name);
            check_shape(layer, name, expert, {rows, columns});
            const Packing packing = lookup(packings_by_name, packing_name);
            if (!PackedMatrix::can_have(packing, columns))
                throw std::invalid_argument(weight_name(layer, name, expert) + " has rows of " +
                                            std::to_string(columns) + " columns, not whole blocks of 256.");
            const size_t bytes = PackedMatrix::bytes_for(packing, rows, columns);
            if (offset % cache_line || offset > memory.size() || bytes > memory.size() - offset ||
                uintptr_t(memory.data()) % cache_line)
                throw std::invalid_argument(weight_name(layer, name, expert) +
                                            " lies outside the memory, or across its cache lines.");
            model_.matrix(layer, which, expert) =
                PackedMatrix(packing, rows, columns, Buffer(owner, memory.data() + offset, bytes));
        }
        is_complete_ = false;
    }

    // A copy of a vector's values, each of its parts padded to whole blocks.
    Buffer checked_vector(int layer, const std::string& name, Array1<float> data) const {
        check_layer(layer, model_.spec().num_layers);
        const int size = model_.size(layer, lookup(vectors_, name));
        if (!size) throw std::invalid_argument("The spec has no " + weight_name(layer, name) + ".");
        if (data.size() != size_t(size))
            throw std::invalid_argument(weight_name(layer, name) + " has " + std::to_string(data.size()) +
                                        " values; the spec asks for " + std::to_string(size) + ".");
        const int parts = model_.vector_parts(layer, lookup(vectors_, name)), part = size / parts;
        const size_t padded = size_t(round_up(part, block_columns));
        Buffer buffer(parts * padded * sizeof(float));
        for (int i = 0; i < parts; ++i)
            std::copy_n(data.data() + size_t(i) * size_t(part), part, buffer.as<float>() + size_t(i) * padded);
        return buffer;
    }

    void set_vector(int layer, const std::string& name, Buffer buffer) {
        model_.vector(layer, lookup(vectors_, name)) = std::move(buffer);
    }

    // Throws where a weight is missing: a step reads all that the spec asks for and checks nothing.
    void require_complete() {
        if (is_complete_) return;
        const auto check = [](bool is_there, int layer, const std::string& name, int expert = -1) {
            if (!is_there) throw std::runtime_error(weight_name(layer, name, expert) + " was never set.");
        };
        for (int layer = -1; layer < model_.spec().num_layers; ++layer) {
            for (const auto& [name, which] : matrices_)
                for (int expert = -1; expert < model_.num_experts(); ++expert)
                    check(!model_.shape(layer, which, expert).rows || model_.matrix(layer, which, expert).rows(), layer,
                          name, expert);
            for (const auto& [name, which] : vectors_)
                check(!model_.size(layer, which) || model_.vector(layer, which).bytes(), layer, name);
        }
        is_complete_ = true;
    }

  private:
    void check_shape(int layer, const std::string& name, int expert, Shape found) const {
        check_layer(layer, model_.spec().num_layers);
        const Shape asked = model_.shape(layer, lookup(matrices_, name), expert);
        const std::string full = weight_name(layer, name, expert);
        if (!asked.rows) throw std::invalid_argument("The spec has no " + full + ".");
        if (found.rows != asked.rows || found.columns != asked.columns)
            throw std::invalid_argument(full + " is " + std::to_string(found.rows) + " x " +
                                        std::to_string(found.columns) + "; the spec asks for " +
                                        std::to_string(asked.rows) + " x " + std::to_string(asked.columns) + ".");
    }

    Model& model_;
    const std::map<std::string, Weight>& matrices_;
    const std::map<std::string, Vector>& vectors_;
    bool is_complete_ = false;
};

}  // namespace llmos
