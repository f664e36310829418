// The feed-forward layer: out = down . (act(gate . x) * up . x), or down . act(up . x) without a gate.

#include <algorithm>
#include <cmath>

#include "decoder/pass.h"

namespace llmos {

void Decoder::Pass::feed_forward(const Layer& layer, int index) {
    const int rows = num_tokens();
    const Split split(rows), blocks = split.by_blocks();
    const FeedForward& weights = layer.feed_forward;
    const auto normed = [&](int t, float* out) {
        read_input(t, layer[Vector::mlp_norm], layer[Vector::mlp_norm_bias], out);
    };
    const bool is_cut = std::isfinite(spec_.layers[size_t(index)].gate_cutoff);
    InputFormats formats = input_formats(weights.up);
    if (spec_.gated && !is_cut) formats.add(weights.gate);
    // A shared expert adds to what the token's own experts have written, if it has no norm of its own.
    const bool is_shared = spec_.layers[size_t(index)].has_experts, has_norm = is_shared && spec_.norms_experts;
    float* out = has_norm ? decoder_.shared_outputs_.as<float>() : output();
    const Segment down[] = {{&weights.down, layer[Vector::down_bias], out, decoder_.hidden_columns_}};
    const Activations inner = decoder_.inner_.view(weights.down.padded_columns());
    const InputFormats inner_formats = for_adapters(input_formats(down));

    const InnerWeights from{weights,
                            layer[Vector::gate_bias],
                            layer[Vector::up_bias],
                            index,
                            is_shared && spec_.gates_shared_expert ? decoder_.shared_gates_.data() : nullptr,
                            is_cut ? decoder_.cut_gates_.as<float>() : nullptr};
    if (is_cut) cut_gates(layer, index);
    project_gate_and_up_down(layer, index);
    const Activations in = open_phase_with_inputs(Region::norm, Region::gate_up, blocks.count(weights.up.groups()),
                                                  rows, decoder_.hidden_columns_, formats, normed);
    for (int begin, end; pool_.take(thread_, blocks.grain, begin, end);)
        for (int unit = begin; unit < end; ++unit)
            inner_block(from, in, blocks.block(unit), blocks.first_row(unit), blocks.last_row(unit), inner,
                        inner_formats);
    // With a parallel residual, the output already holds that of attention.
    const bool accumulates = (!spec_.has_branch() || spec_.parallel_residual || is_shared) && !has_norm;
    if (accumulates) set_aside(index, Weight::down, out);
    open_phase(Region::down, split.count(count_groups(down)));
    project(split, inner, down, accumulates);
    add_adapters(index, {{Weight::down, inner, out, decoder_.hidden_columns_, accumulates}});
    if (has_norm)
        for_each(Region::down, rows, 4, [&](int t) {
            float* row = out + size_t(t) * decoder_.hidden_columns_;
            norm(row, layer[Vector::shared_post_norm], nullptr, row);
            kernels_.add_scaled(row, decoder_.hidden_columns_, 1, branch(t));
        });
    if (spec_.has_branch())
        add_branch(Region::down, layer[Vector::mlp_post_norm], layer[Vector::mlp_post_norm_bias],
                   scale_at_end(layer, !spec_.layer_input_size));
}

// Computes the gates of all tokens, and cuts off what isn't far above a token's mean.
void Decoder::Pass::cut_gates(const Layer& layer, int index) {
    const int rows = num_tokens(), columns = decoder_.intermediate_columns_;
    const Spec::Layer& at = spec_.layers[size_t(index)];
    const Split split(rows);
    float* gates = decoder_.cut_gates_.as<float>();
    const Segment gate[] = {{&layer.feed_forward.gate, layer[Vector::gate_bias], gates, columns}};
    const auto normed = [&](int t, float* out) {
        read_input(t, layer[Vector::mlp_norm], layer[Vector::mlp_norm_bias], out);
    };
    const Activations in = open_phase_with_inputs(Region::norm, Region::gate_up, split.count(count_groups(gate)), rows,
                                                  decoder_.hidden_columns_, for_adapters(input_formats(gate)), normed);
    project(split, in, gate, false);
    add_adapters(index, {{Weight::gate, in, gates, columns}});
    for_each(Region::gate_up, rows, 1, [&](int t) {
        float* row = gates + size_t(t) * columns;
        float mean = 0, squares = 0;
        for (int c = 0; c < at.inner_size; ++c) mean += row[c];
        mean /= float(at.inner_size);
        for (int c = 0; c < at.inner_size; ++c) squares += (row[c] - mean) * (row[c] - mean);
        const float cutoff = mean + at.gate_cutoff * std::sqrt(squares / float(at.inner_size));
        for (int c = 0; c < at.inner_size; ++c) row[c] = std::max(0.0f, row[c] - cutoff);
        std::fill(row + at.inner_size, row + round_up(at.inner_size, block_columns), 0.0f);
    });
}

// One block of 32 inner columns, activated and stored in the formats that `down` reads.
void Decoder::Pass::inner_block(const InnerWeights& from, const Activations& in, int block, int first_row, int last_row,
                                const Activations& inner, InputFormats formats) {
    const auto multiply = [&](const PackedMatrix& matrix, const float* bias, Weight which, float* out) {
        multiply_block(matrix, bias, in, block, first_row, last_row, out, [&](int first_group, int last_group) {
            if (from.index >= 0)
                add_adapters_to_block(from.index, which, first_group, last_group, first_row, last_row, out);
        });
    };
    float *gate = scratch().gate.as<float>(), *up = scratch().up.as<float>();
    if (from.gates)
        for (int row = first_row; row < last_row; ++row)
            std::copy_n(from.gates + size_t(row) * decoder_.intermediate_columns_ + size_t(block) * block_columns,
                        block_columns, gate + size_t(row - first_row) * block_columns);
    else if (spec_.gated) multiply(from.weights.gate, from.gate_bias, Weight::gate, gate);
    multiply(from.weights.up, from.up_bias, Weight::up, up);
    activate_block(spec_.activation, spec_.gated ? gate : up, spec_.gated ? up : nullptr, block, first_row, last_row,
                   inner, formats, from.factors);
}

}  // namespace llmos
