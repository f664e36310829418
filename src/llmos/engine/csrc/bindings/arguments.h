// Shared by all bindings: numpy arrays in and out, checks of sizes, and calls that run one at a time.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

#include "kernels.h"
#include "matrix.h"

namespace nb = nanobind;

namespace llmos {

template <class T> using Array1 = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T> using Array2 = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T> using Mutable2 = nb::ndarray<T, nb::ndim<2>, nb::device::cpu>;

// Limits within which every product of two sizes that a step computes in an int fits into one.
constexpr int max_size = 1 << 27, max_batch_tokens = 1 << 20;

// Memory of a numpy array, zeroed. The array frees it.
template <class T> struct OwnedMemory {
    T* data;
    nb::capsule owner;

    explicit OwnedMemory(size_t size)
        : data(new T[size + 1]()), owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); }) {}
};

inline void require(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

template <class T> T lookup(const std::map<std::string, T>& table, const std::string& name) {
    const auto found = table.find(name);
    if (found == table.end()) throw std::invalid_argument("There is no '" + name + "'.");
    return found->second;
}

inline const std::map<std::string, ActivationKind> activations_by_name = {
    {"silu", ActivationKind::silu},
    {"gelu_tanh", ActivationKind::gelu_tanh},
    {"gelu", ActivationKind::gelu},
    {"relu2", ActivationKind::relu_squared},
    {"clamped_swiglu", ActivationKind::clamped_swiglu}};

inline const std::map<std::string, Packing> packings_by_name = {
    {"bytes", Packing::bytes},   {"nibbles", Packing::nibbles}, {"affine_nibbles", Packing::affine_nibbles},
    {"floats", Packing::floats}, {"q4_k", Packing::q4_k},       {"q5_k", Packing::q5_k},
    {"q6_k", Packing::q6_k},     {"q5_0", Packing::q5_0},       {"q5_1", Packing::q5_1},
    {"iq4_nl", Packing::iq4_nl}, {"iq4_xs", Packing::iq4_xs},   {"mxfp4", Packing::mxfp4}};

// A whole number from a spec's field.
inline int size_field(nb::handle fields, const char* name, int low = 1) {
    int value;
    if (!nb::try_cast(fields.attr(name), value) || value < low || value > max_size)
        throw std::invalid_argument(std::string(name) + " must be between " + std::to_string(low) + " and " +
                                    std::to_string(max_size));
    return value;
}

// Runs one call at a time, without the GIL: Python's threads may call together.
class OneCallAtATime {
  public:
    template <class Body> void run(Body body) {
        nb::gil_scoped_release release;
        std::lock_guard lock(mutex_);
        body();
    }

  private:
    std::mutex mutex_;
};

// Each adds a part of the module llmos.engine._native.
void bind_decoder(nb::module_& m);
void bind_encoder(nb::module_& m);
void bind_packing(nb::module_& m);
void bind_sampling(nb::module_& m);

}  // namespace llmos
