// The input that each layer gets of a token besides the residual stream (per-layer embeddings, Gemma 3n and 4).

#include <algorithm>
#include <cmath>

#include "decoder/pass.h"

namespace llmos {

// Makes the inputs of all layers of all tokens, from the residual stream before the first layer and from embeddings of
// their own.
void Decoder::Pass::make_layer_inputs() {
    const int rows = num_tokens(), size = spec_.layer_input_size;
    const Split split(rows);
    const Segment projection[] = {
        {&decoder_.layer_embed_projection_, nullptr, layer_inputs(0), decoder_.all_layer_inputs_columns_}};
    const auto copied = [&](int t, float* out) { std::copy_n(x(t), decoder_.hidden_columns_, out); };
    const Activations in = open_phase_with_inputs(Region::embed, Region::embed, split.count(count_groups(projection)),
                                                  rows, decoder_.hidden_columns_, input_formats(projection), copied);
    project(split, in, projection, false);

    const float root = 1 / std::sqrt(float(spec_.hidden_size)), half = std::sqrt(0.5f);
    const float* weights = decoder_.outer_[Vector::layer_embed_norm];
    for_each(Region::embed, rows, 1, [&](int t) {
        float *embedded = scratch().row.as<float>(), *made = layer_inputs(t);
        const int token = batch_->tokens[t];
        decoder_.layer_embed_.read_row(token < spec_.layer_input_vocab ? token : 0, embedded);
        const float scale = std::sqrt(float(size));
        for (int layer = 0; layer < spec_.num_layers; ++layer, made += size, embedded += size) {
            for (int i = 0; i < size; ++i) made[i] *= root;
            norm_head(made, size, weights, made);
            for (int i = 0; i < size; ++i) made[i] = (made[i] + embedded[i] * scale) * half;
        }
    });
}

// x += norm(projection(act(gate(x)) * input)). Of several residual streams, it reads the first, scaled, and adds to the
// others.
void Decoder::Pass::add_layer_input(const Layer& layer, int index) {
    const int rows = num_tokens(), size = spec_.layer_input_size, columns = decoder_.layer_input_columns_;
    const Split split(rows);
    float* gates = decoder_.input_gates_.as<float>();
    const Segment gate[] = {{&layer.input_gate, nullptr, gates, columns}};
    const float* stream_scale = layer[Vector::stream_scale];
    const auto copied = [&](int t, float* out) {
        if (!stream_scale) std::copy_n(x(t), decoder_.hidden_columns_, out);
        else
            for (int c = 0; c < decoder_.hidden_columns_; ++c) out[c] = stream(t, 0)[c] * stream_scale[c];
    };
    const Activations in = open_phase_with_inputs(Region::norm, Region::layer_input, split.count(count_groups(gate)),
                                                  rows, decoder_.hidden_columns_, input_formats(gate), copied);
    project(split, in, gate, false);

    const Segment projection[] = {{&layer.input_projection, nullptr, output(), decoder_.hidden_columns_}};
    const auto activated = [&](int t, float* out) {
        kernels_.activate(spec_.activation, gates + size_t(t) * columns, layer_inputs(t) + size_t(index) * size,
                          round_up(size, group_rows), out);
        std::fill(out + size, out + columns, 0.0f);
    };
    const Activations inner =
        open_phase_with_inputs(Region::layer_input, Region::layer_input, split.count(count_groups(projection)), rows,
                               columns, input_formats(projection), activated);
    project(split, inner, projection, false);
    if (!stream_scale) return add_branch(Region::layer_input, layer[Vector::input_norm], nullptr, layer[Vector::scale]);
    for_each(Region::layer_input, rows, 4, [&](int t) {
        norm(branch(t), layer[Vector::input_norm], nullptr, branch(t));
        for (int s = 1; s < spec_.residual_streams; ++s)
            kernels_.add_scaled(branch(t), decoder_.hidden_columns_, 1, stream(t, s));
    });
}

}  // namespace llmos
