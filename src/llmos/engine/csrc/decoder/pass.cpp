// The order of a decoder's operations, its embedding, and how a layer's parts meet the residual stream.

#include "decoder/pass.h"

#include <algorithm>
#include <cmath>

namespace llmos {

void Decoder::Pass::run() {
    begin();
    if (layers()) end();
    enter(Region::wait);
}

void Decoder::Pass::begin() {
    embed();
    if (spec_.layer_input_size) make_layer_inputs();
    if (spec_.has_streams()) begin_streams();
}

// Computes the stage's layers. Returns false if no rows are left.
bool Decoder::Pass::layers() {
    for (int i = spec_.first_layer; i < spec_.end_layer; ++i) {
        const Layer& layer = decoder_.layers_[size_t(i)];
        if (i == decoder_.tail_layer_) {
            keep_wanted_rows();
            if (!num_tokens()) return false;
        }
        if (spec_.has_streams()) predict_streams(layer);
        if (spec_.layers[size_t(i)].is_recurrent()) recurrent(layer, i);
        else attention(layer, i);
        if (spec_.laurel_size) add_laurel(layer);
        if (spec_.norms_residual) norm_residual(layer[Vector::attn_post_norm], layer[Vector::attn_post_norm_bias]);
        const bool has_experts = spec_.layers[size_t(i)].has_experts;
        if (has_experts) experts(layer);
        if (!has_experts || spec_.shared_expert_size) feed_forward(layer, i);
        if (spec_.norms_residual) norm_residual(layer[Vector::mlp_post_norm], layer[Vector::mlp_post_norm_bias]);
        if (spec_.has_streams()) correct_streams(layer);
        if (spec_.layer_input_size) add_layer_input(layer, i);
    }
    return true;
}

void Decoder::Pass::end() {
    if (spec_.has_streams()) end_streams();
    if (spec_.has_head) {
        head();
        score();
    } else {
        output_rows();
    }
}

void Decoder::Pass::embed() {
    const int columns = decoder_.hidden_columns_;
    for_each(Region::embed, num_tokens(), 4, [&](int t) {
        const int position = plan_->token_position[size_t(t)];
        decoder_.embed_.read_row(batch_->tokens[t], x(t));
        if (spec_.embedding_multiplier != 1)
            for (int c = 0; c < columns; ++c) x(t)[c] *= spec_.embedding_multiplier;
        if (spec_.learned_positions) {
            float* row = scratch().row.as<float>();
            decoder_.positions_.read_row(position, row);
            for (int c = 0; c < columns; ++c) x(t)[c] += row[c];
        }
        if (const float* types = decoder_.outer_[Vector::types])
            for (int c = 0; c < spec_.hidden_size; ++c) x(t)[c] += types[c];
        if (spec_.embed_norm)
            norm(x(t), decoder_.outer_[Vector::embed_norm], decoder_.outer_[Vector::embed_norm_bias], x(t));
        rotate(t);
    });
}

// The cosines and sines of a token's position.
void Decoder::Pass::rotate(int token) {
    const int position = plan_->token_position[size_t(token)];
    float* rotation = decoder_.rotations_.as<float>() + size_t(token) * decoder_.rotations_stride();
    // Only the first rotation is scaled (see DecoderSpec.window_rope_theta).
    double factor = spec_.rope_attention_factor;
    for (const std::vector<double>& frequencies : spec_.inverse_frequencies) {
        const int num_pairs = int(frequencies.size());
        for (int i = 0; i < num_pairs; ++i) {
            const double angle = position * frequencies[size_t(i)];
            rotation[i] = float(std::cos(angle) * factor);
            rotation[num_pairs + i] = float(std::sin(angle) * factor);
        }
        rotation += 2 * num_pairs;
        factor = 1;
    }
}

// Leaves out the rows of which nobody wants logits or scores: no layer from here on has keys that other rows would read.
void Decoder::Pass::keep_wanted_rows() {
    const auto move = [](float* rows, size_t size, int from, int to) {
        std::copy_n(rows + size_t(from) * size, size, rows + size_t(to) * size);
    };
    // One thread moves them, in order: a row may lie where an earlier one goes.
    for_each(Region::embed, 1, 1, [&](int) {
        for (int r = 0; r < int(decoder_.wanted_rows_.size()); ++r) {
            const int from = decoder_.wanted_rows_[size_t(r)];
            move(x(0), size_t(decoder_.hidden_columns_), from, r);
            move(decoder_.rotations_.as<float>(), decoder_.rotations_stride(), from, r);
            if (spec_.layer_input_size) move(layer_inputs(0), size_t(decoder_.all_layer_inputs_columns_), from, r);
            if (spec_.has_streams()) move(stream(0, 0), size_t(stream_stride()), from, r);
        }
    });
    batch_ = &decoder_.tail_batch_;
    plan_ = &decoder_.tail_plan_;
}

void Decoder::Pass::norm(const float* in, const float* weight, const float* bias, float* out) const {
    const int size = spec_.hidden_size, columns = decoder_.hidden_columns_;
    if (spec_.layer_norm)
        kernels_.layer_norm(in, weight, bias ? bias : decoder_.zeros_.as<float>(), spec_.norm_eps, size, columns, out);
    else kernels_.rms_norm(in, weight, spec_.norm_eps, size, columns, out);
}

// Writes what attention or feed-forward reads of a token: its row of the residual stream, normalized if the spec says
// so.
void Decoder::Pass::read_input(int token, const float* weight, const float* bias, float* out) const {
    if (weight) norm(x(token), weight, bias, out);
    else std::copy_n(x(token), decoder_.hidden_columns_, out);
}

// Adds the output of a part of a layer to the residual stream, where the product didn't do so by itself, and then
// multiplies the stream by `scale`, if it isn't null.
void Decoder::Pass::add_branch(Region region, const float* weight, const float* bias, const float* scale) {
    for_each(region, num_tokens(), 4, [&](int t) {
        if (spec_.post_norm) norm(branch(t), weight, bias, branch(t));
        kernels_.add_scaled(branch(t), decoder_.hidden_columns_, spec_.residual_multiplier, x(t));
        if (scale)
            for (int c = 0; c < decoder_.hidden_columns_; ++c) x(t)[c] *= *scale;
    });
}

// Normalizes the residual stream, after a part of a layer was added to it.
void Decoder::Pass::norm_residual(const float* weight, const float* bias) {
    for_each(Region::norm, num_tokens(), 4, [&](int t) { norm(x(t), weight, bias, x(t)); });
}

// Writes the output of a model without a head: the rows that are asked for.
void Decoder::Pass::output_rows() {
    const Layer& outer = decoder_.outer_;
    const int stride = decoder_.logits_stride();
    for_each(Region::head, batch_->num_logit_rows, 4, [&](int r) {
        float* out = decoder_.logits_->as<float>() + size_t(r) * stride;
        const float* row = x(batch_->logit_rows[r]);
        if (outer[Vector::final_norm]) norm(row, outer[Vector::final_norm], outer[Vector::final_norm_bias], out);
        else std::copy_n(row, decoder_.hidden_columns_, out);
    });
}

}  // namespace llmos
