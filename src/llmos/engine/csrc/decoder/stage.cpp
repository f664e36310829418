// A part of a model's layers: the stage takes rows from the one before it, and gives rows to the one behind it.
//
// A row has all that the layers behind a boundary read of a token, as floats, so that a split model computes the same to
// the bit.

#include <algorithm>

#include "decoder/pass.h"

namespace llmos {

void Spec::restrict_to(int first, int end) {
    first_layer = first;
    end_layer = end;
    num_recurrent_layers = first_recurrent_layer = 0;
    for (int i = 0; i < end; ++i)
        if (layers[size_t(i)].is_recurrent()) ++(i < first ? first_recurrent_layer : num_recurrent_layers);
}

int Decoder::row_stride(int boundary) const { return keys_offset(boundary, boundary); }

int Decoder::keys_offset(int boundary, int layer) const {
    int offset = stream_columns() + layer_inputs_from(boundary);
    for (int i = 0; i < layer; ++i)
        if (spec_.carries_keys(i, boundary)) offset += carried_columns(i);
    return offset;
}

void Decoder::advance(const BatchView& batch, const float* rows, float* out) {
    reserve(batch);
    plan(batch, plan_);
    scoring_.plan({});
    if (plan_tail(batch)) plan(tail_batch_, tail_plan_);
    if (profile_.is_on) profile_.start();
    pool_.run([&](int thread) { Pass(*this, batch, thread).advance(rows, out); });
}

std::shared_ptr<const Buffer> Decoder::finish(const BatchView& batch, const float* rows) {
    if (batch.num_tokens > token_capacity_) reserve_tokens(std::max(batch.num_tokens, 2 * token_capacity_));
    reserve_logits(batch.num_logit_rows);
    scoring_.plan(batch.scored);
    if (profile_.is_on) profile_.start();
    const int num_threads = pool_.run([&](int thread) { Pass(*this, batch, thread).finish(rows); });
    merge_largest(batch.num_logit_rows, num_threads);
    return logits_;
}

void Decoder::Pass::advance(const float* rows, float* out) {
    if (!spec_.is_last()) given_ = out;
    if (rows) take_rows(rows);
    else begin();
    if (layers()) give_rows(out);
    enter(Region::wait);
}

void Decoder::Pass::finish(const float* rows) {
    const int stride = decoder_.row_stride(spec_.num_layers);
    for_each(Region::embed, num_tokens(), 4, [&](int t) { set_residual(t, rows + size_t(t) * stride); });
    end();
    enter(Region::wait);
}

void Decoder::Pass::take_rows(const float* rows) {
    const int boundary = spec_.first_layer, stride = decoder_.row_stride(boundary);
    for_each(Region::embed, num_tokens(), 4, [&](int t) {
        const float* row = rows + size_t(t) * stride;
        set_residual(t, row);
        if (spec_.layer_input_size)
            std::copy_n(row + decoder_.stream_columns(), decoder_.layer_inputs_from(boundary),
                        layer_inputs(t) + size_t(boundary) * spec_.layer_input_size);
        rotate(t);
    });
    for (int i = 0; i < boundary; ++i) {
        if (!spec_.carries_keys(i, boundary)) continue;
        if (spec_.caches(i)) take_keys(rows, i);
        if (given_ && spec_.carries_keys(i, spec_.end_layer)) pass_keys(rows, i);
    }
}

// Writes the keys and values that a layer of an earlier stage has computed.
void Decoder::Pass::take_keys(const float* rows, int layer) {
    const Spec::Layer& at = spec_.layers[size_t(layer)];
    const int stride = decoder_.row_stride(spec_.first_layer), offset = decoder_.keys_offset(spec_.first_layer, layer);
    for_each(Region::position, num_tokens(), 4, [&](int t) {
        const float* keys = rows + size_t(t) * stride + offset;
        std::copy_n(keys, at.kv_size(), k(t));
        if (at.has_values) std::copy_n(keys + at.kv_size(), at.kv_size(), v(t));
    });
    for_each(Region::position, num_tokens() * at.num_kv_heads, 4, [&](int i) {
        write_cache(decoder_.layers_[size_t(layer)], layer, i / at.num_kv_heads, i % at.num_kv_heads);
    });
}

// Gives the next stage the keys and values that the stage before this one has given.
void Decoder::Pass::pass_keys(const float* rows, int layer) {
    const int from_stride = decoder_.row_stride(spec_.first_layer), to_stride = decoder_.row_stride(spec_.end_layer);
    const float* from = rows + decoder_.keys_offset(spec_.first_layer, layer);
    float* to = given_ + decoder_.keys_offset(spec_.end_layer, layer);
    for_each(Region::position, num_tokens(), 4, [&](int t) {
        std::copy_n(from + size_t(t) * from_stride, decoder_.carried_columns(layer), to + size_t(t) * to_stride);
    });
}

// Gives the next stage the keys and values that this layer has just computed.
void Decoder::Pass::give_keys(int layer) {
    const Spec::Layer& at = spec_.layers[size_t(layer)];
    const int stride = decoder_.row_stride(spec_.end_layer), offset = decoder_.keys_offset(spec_.end_layer, layer);
    for_each(Region::position, num_tokens(), 4, [&](int t) {
        float* keys = given_ + size_t(t) * stride + offset;
        std::copy_n(k(t), at.kv_size(), keys);
        if (at.has_values) std::copy_n(v(t), at.kv_size(), keys + at.kv_size());
    });
}

void Decoder::Pass::give_rows(float* out) {
    const int boundary = spec_.end_layer, stride = decoder_.row_stride(boundary);
    if (spec_.is_last()) {
        for_each(Region::head, batch_->num_logit_rows, 4,
                 [&](int r) { copy_residual(batch_->logit_rows[r], out + size_t(r) * stride); });
        return;
    }
    for_each(Region::head, num_tokens(), 4, [&](int t) {
        float* row = out + size_t(t) * stride;
        copy_residual(t, row);
        if (spec_.layer_input_size)
            std::copy_n(layer_inputs(t) + size_t(boundary) * spec_.layer_input_size,
                        decoder_.layer_inputs_from(boundary), row + decoder_.stream_columns());
    });
}

// Between two layers, several residual streams are complete without x().
void Decoder::Pass::copy_residual(int token, float* to) const {
    std::copy_n(spec_.has_streams() ? stream(token, 0) : x(token), decoder_.stream_columns(), to);
}

void Decoder::Pass::set_residual(int token, const float* from) {
    std::copy_n(from, decoder_.stream_columns(), spec_.has_streams() ? stream(token, 0) : x(token));
}

}  // namespace llmos
