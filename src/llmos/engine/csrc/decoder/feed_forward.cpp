// The feed-forward layer: out = down . (act(gate . x) * up . x), or down . act(up . x) without a gate.

#include "decoder/pass.h"

namespace llmos {

void Decoder::Pass::feed_forward(const Layer& layer, int index) {
    const int rows = num_tokens();
    const Split split(rows), blocks = split.by_blocks();
    const FeedForward& weights = layer.feed_forward;
    const auto normed = [&](int t, float* out) {
        read_input(t, layer[Vector::mlp_norm], layer[Vector::mlp_norm_bias], out);
    };
    InputFormats formats = input_formats(weights.up);
    if (spec_.gated) formats.add(weights.gate);
    const Segment down[] = {{&weights.down, layer[Vector::down_bias], output(), decoder_.hidden_columns_}};
    const Activations inner = decoder_.inner_.view(decoder_.intermediate_columns_);
    const InputFormats inner_formats = for_adapters(input_formats(down));

    project_gate_and_up_down(layer, index);
    const Activations in = open_phase_with_inputs(Region::norm, Region::gate_up, blocks.count(weights.up.groups()),
                                                  rows, decoder_.hidden_columns_, formats, normed);
    for (int begin, end; pool_.take(thread_, blocks.grain, begin, end);)
        for (int unit = begin; unit < end; ++unit)
            inner_block(weights, layer, index, in, blocks.block(unit), blocks.first_row(unit), blocks.last_row(unit),
                        inner, inner_formats);
    open_phase(Region::down, split.count(count_groups(down)));
    // With a parallel residual, the output already holds that of attention.
    project(split, inner, down, !spec_.has_branch() || spec_.parallel_residual);
    add_adapters(index, {{Weight::down, inner, output(), decoder_.hidden_columns_}});
    if (spec_.has_branch()) add_branch(Region::down, layer[Vector::mlp_post_norm], layer[Vector::mlp_post_norm_bias]);
}

// One block of 32 inner columns, activated and stored in the formats that `down` reads. An index of -1 says that the
// rows are not the tokens of the batch, and that no adapter adds to them.
void Decoder::Pass::inner_block(const FeedForward& weights, const Layer& layer, int index, const Activations& in,
                                int block, int first_row, int last_row, const Activations& inner,
                                InputFormats formats) {
    const auto multiply = [&](const PackedMatrix& matrix, const float* bias, Weight which, float* out) {
        multiply_block(matrix, bias, in, block, first_row, last_row, out, [&](int first_group, int last_group) {
            if (index >= 0) add_adapters_to_block(index, which, first_group, last_group, first_row, last_row, out);
        });
    };
    float *gate = scratch().gate.as<float>(), *up = scratch().up.as<float>();
    if (spec_.gated) multiply(weights.gate, layer[Vector::gate_bias], Weight::gate, gate);
    multiply(weights.up, layer[Vector::up_bias], Weight::up, up);
    activate_block(spec_.activation, spec_.gated ? gate : up, spec_.gated ? up : nullptr, block, first_row, last_row,
                   inner, formats);
}

}  // namespace llmos
