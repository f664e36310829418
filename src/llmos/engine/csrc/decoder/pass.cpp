// The order of a decoder's operations, its embedding, and how a layer's parts meet the residual stream.

#include "decoder/pass.h"

#include <cmath>

namespace llmos {

void Decoder::Pass::run() {
    embed();
    for (int i = 0; i < spec_.num_layers; ++i) {
        const Layer& layer = decoder_.layers_[size_t(i)];
        attention(layer, i);
        if (spec_.layers[size_t(i)].has_experts) experts(layer);
        else feed_forward(layer, i);
    }
    head();
    enter(Region::wait);
}

void Decoder::Pass::embed() {
    const int num_pairs = spec_.num_pairs(), columns = decoder_.hidden_columns_;
    for_each(Region::embed, num_tokens(), 4, [&](int t) {
        const int position = decoder_.token_position_[size_t(t)];
        decoder_.embed_.read_row(batch_.tokens[t], x(t));
        if (spec_.embedding_multiplier != 1)
            for (int c = 0; c < columns; ++c) x(t)[c] *= spec_.embedding_multiplier;
        if (spec_.learned_positions) {
            float* row = scratch().row.as<float>();
            decoder_.positions_.read_row(position, row);
            for (int c = 0; c < columns; ++c) x(t)[c] += row[c];
        }
        float* rotation = decoder_.rotations_.as<float>() + size_t(t) * decoder_.rotations_stride();
        // Only the first rotation is scaled (see DecoderSpec.window_rope_theta).
        double factor = spec_.rope_attention_factor;
        for (const std::vector<double>& frequencies : spec_.inverse_frequencies) {
            for (int i = 0; i < num_pairs; ++i) {
                const double angle = position * frequencies[size_t(i)];
                rotation[i] = float(std::cos(angle) * factor);
                rotation[num_pairs + i] = float(std::sin(angle) * factor);
            }
            rotation += 2 * num_pairs;
            factor = 1;
        }
    });
}

void Decoder::Pass::norm(const float* in, const float* weight, const float* bias, float* out) const {
    const int size = spec_.hidden_size, columns = decoder_.hidden_columns_;
    if (spec_.layer_norm) kernels_.layer_norm(in, weight, bias, spec_.norm_eps, size, columns, out);
    else kernels_.rms_norm(in, weight, spec_.norm_eps, size, columns, out);
}

// Writes what attention or feed-forward reads of a token: its row of the residual stream, normalized if the spec says
// so.
void Decoder::Pass::read_input(int token, const float* weight, const float* bias, float* out) const {
    if (spec_.pre_norm) norm(x(token), weight, bias, out);
    else std::copy_n(x(token), decoder_.hidden_columns_, out);
}

// Adds the output of attention or feed-forward to the residual stream, where the product didn't do so by itself.
void Decoder::Pass::add_branch(Region region, const float* weight, const float* bias) {
    for_each(region, num_tokens(), 4, [&](int t) {
        if (spec_.post_norm) norm(branch(t), weight, bias, branch(t));
        kernels_.add_scaled(branch(t), decoder_.hidden_columns_, spec_.residual_multiplier, x(t));
    });
}

}  // namespace llmos
