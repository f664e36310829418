// LoRA adapters, in phases of their own that only a step with adapted tokens has: y = gain * y + up . (down . x), token by
// token, where only DoRA has a gain.

#include <algorithm>

#include "decoder/pass.h"

namespace llmos {
namespace {

// out = matrix . x for one row, or out += matrix . x, for some groups of the matrix.
void multiply_row(const Kernels& kernels, const PackedMatrix& matrix, const float* x, int first_group, int last_group,
                  float* out, bool accumulate) {
    Activations in{};
    in.values = const_cast<float*>(x);
    in.columns = matrix.padded_columns();
    kernels.matmul({&matrix, &in, 0, 1, first_group, last_group, nullptr, out, 0, accumulate});
}

// Scales the products of some groups of a matrix with one row; out begins at first_group.
void scale_products(const LowRank& added, int first_group, int last_group, float* out) {
    if (!added.gain.bytes()) return;
    const float *gain = added.gain.as<float>() + size_t(first_group) * group_rows,
                *shift = added.shift.as<float>() + size_t(first_group) * group_rows;
    for (int c = 0; c < (last_group - first_group) * group_rows; ++c) out[c] = gain[c] * out[c] + shift[c];
}

}  // namespace

// Adapters read floats.
InputFormats Decoder::Pass::for_adapters(InputFormats formats) const {
    return {formats.int8, formats.float32 || has_adapted_tokens()};
}

// The product that the token's adapter adds to a matrix, or null.
const LowRank* Decoder::Pass::low_rank(int token, int layer, Weight which) const {
    const Adapter* adapter = plan_->token_adapter[size_t(token)];
    if (!adapter) return nullptr;
    const LowRank& found = adapter->layers[size_t(layer)][size_t(which)];
    return found ? &found : nullptr;
}

void Decoder::Pass::project_down(const LowRank& added, const float* x, float* out) const {
    multiply_row(kernels_, added.down, x, 0, added.down.groups(), out, false);
}

void Decoder::Pass::add_up(const LowRank& added, const float* low_rank, int first_group, int last_group,
                           float* out) const {
    multiply_row(kernels_, added.up, low_rank, first_group, last_group, out, true);
}

// Before products are added to what their rows hold: sets that aside, since a gain is for the products alone.
void Decoder::Pass::set_aside(int layer, Weight which, float* out) {
    if (!plan_->has_gains) return;
    for_each(Region::adapters, int(plan_->adapted_tokens.size()), 1, [&](int i) {
        const int token = plan_->adapted_tokens[size_t(i)];
        const LowRank* added = low_rank(token, layer, which);
        if (!added || !added->gain.bytes()) return;
        float* row = out + size_t(token) * decoder_.hidden_columns_;
        std::copy_n(row, decoder_.hidden_columns_, aside(token));
        std::fill_n(row, decoder_.hidden_columns_, 0.0f);
    });
}

// Adds to the products of all adapted tokens. Complete when the next phase opens.
void Decoder::Pass::add_adapters(int layer, std::initializer_list<AdaptedProduct> products) {
    if (!has_adapted_tokens()) return;
    const size_t count = products.size();
    for_each(Region::adapters, int(plan_->adapted_tokens.size() * count), 1, [&](int i) {
        const AdaptedProduct& product = products.begin()[size_t(i) % count];
        const int token = plan_->adapted_tokens[size_t(i) / count];
        const LowRank* added = low_rank(token, layer, product.which);
        if (!added) return;
        float* row = scratch().low_rank.as<float>();
        project_down(*added, product.in.values + size_t(token) * product.in.columns, row);
        float* out = product.out + size_t(token) * product.out_stride;
        scale_products(*added, 0, added->up.groups(), out);
        add_up(*added, row, 0, added->up.groups(), out);
        if (product.is_aside && added->gain.bytes())
            for (int c = 0; c < decoder_.hidden_columns_; ++c) out[c] += aside(token)[c];
    });
}

float* Decoder::Pass::gate_or_up_low_rank(Weight which, int token) const {
    const size_t first_row = which == Weight::gate ? 0 : size_t(decoder_.token_capacity_);
    return decoder_.low_rank_.as<float>() + (first_row + size_t(token)) * Adapter::max_rank;
}

// Gate and up are activated as soon as they are computed, block by block: `down` of their adapters comes before.
void Decoder::Pass::project_gate_and_up_down(const Layer& layer, int index) {
    if (!has_adapted_tokens()) return;
    for_each(Region::adapters, int(plan_->adapted_tokens.size()), 1, [&](int i) {
        const int token = plan_->adapted_tokens[size_t(i)];
        float* row = scratch().row.as<float>();
        read_input(token, layer[Vector::mlp_norm], layer[Vector::mlp_norm_bias], row);
        for (const Weight which : {Weight::gate, Weight::up})
            if (const LowRank* added = low_rank(token, index, which))
                project_down(*added, row, gate_or_up_low_rank(which, token));
    });
}

void Decoder::Pass::add_adapters_to_block(int layer, Weight which, int first_group, int last_group, int first_row,
                                          int last_row, float* out) const {
    if (!has_adapted_tokens()) return;
    for (int token = first_row; token < last_row; ++token, out += block_columns)
        if (const LowRank* added = low_rank(token, layer, which)) {
            scale_products(*added, first_group, last_group, out);
            add_up(*added, gate_or_up_low_rank(which, token), first_group, last_group, out);
        }
}

}  // namespace llmos
