// A recurrent layer, in place of attention: a short convolution, and a state of each head that every token changes.
//
// Channels and heads are independent of each other, so the threads share these; a thread takes the tokens of a sequence
// one after another. A sequence's state is zero before its first token, or it begins with a copy of an earlier state.

#include <algorithm>
#include <cmath>

#include "decoder/pass.h"

namespace llmos {
namespace {

float softplus(float x) { return x > 20 ? x : std::log1p(std::exp(x)); }

// Scales a head to length 1.
void to_unit_length(float* head, int size, float scale) {
    float squares = 0;
    for (int i = 0; i < size; ++i) squares += head[i] * head[i];
    const float factor = scale / std::sqrt(squares + 1e-6f);
    for (int i = 0; i < size; ++i) head[i] *= factor;
}

void clear_rows(float* rows, int num_rows, int size, int stride) {
    for (int i = 0; i < num_rows; ++i) std::fill_n(rows + size_t(i) * stride, size, 0.0f);
}

void copy_rows(const float* from, float* to, int num_rows, int size, int stride) {
    for (int i = 0; i < num_rows; ++i) std::copy_n(from + size_t(i) * stride, size, to + size_t(i) * stride);
}

}  // namespace

void Decoder::Pass::recurrent(const Layer& layer, int index) {
    project_mix(layer);
    const int num_groups = decoder_.mix_columns_ / group_rows;
    for_each(Region::position, batch_->num_sequences * num_groups, 4,
             [&](int i) { convolve(layer, index, i / num_groups, i % num_groups * group_rows); });
    const bool has_states = spec_.recurrence != Recurrence::convolution;
    if (has_states) {
        for_each(Region::position, num_tokens(), 1, [&](int t) { prepare_recurrence(layer, t); });
        const int num_parts =
            (spec_.recurrent_value_size + RecurrenceArgs::max_columns - 1) / RecurrenceArgs::max_columns;
        const int per_sequence = spec_.recurrent_heads * num_parts;
        for_each(Region::attention, batch_->num_sequences * per_sequence, 1, [&](int i) {
            const int head = i % per_sequence / num_parts, part = i % num_parts;
            recur(layer, index, i / per_sequence, head, part * RecurrenceArgs::max_columns);
        });
    }
    const Activations rows = decoder_.inputs_.view(decoder_.recurrent_columns_);
    const InputFormats formats = for_adapters(input_formats(layer.o));
    for_each(Region::norm, num_tokens(), 1, [&](int t) {
        float* row = mix(t);
        if (has_states) gated_norm(layer, t, row = scratch().row.as<float>());
        store_blocks(row, formats, rows, t, 0, rows.blocks());
    });
    project_output(layer, index, rows);
}

void Decoder::Pass::project_mix(const Layer& layer) {
    float *step = decoder_.decays_.as<float>(), *beta = decoder_.corrections_.as<float>();
    const int stride = decoder_.step_stride();
    const Segment mixed{&layer.mix, nullptr, mix(0), decoder_.mix_columns_};
    const Segment gate{&layer.mix_gate, nullptr, gates(0), decoder_.gate_columns()};
    const Segment steps{&layer.step, layer[Vector::step_bias], step, stride};
    switch (spec_.recurrence) {
        case Recurrence::convolution:
            project_input(layer,
                          {mixed, gate, {&layer.mix_in, nullptr, decoder_.mix_in_.as<float>(), decoder_.mix_columns_}});
            break;
        case Recurrence::delta: project_input(layer, {mixed, gate, steps, {&layer.beta, nullptr, beta, stride}}); break;
        default: project_input(layer, {mixed, gate, steps});
    }
}

// The last inputs of a layer's convolution in the state of this index; the state of the heads lies behind them.
float* Decoder::Pass::conv_inputs(int index, int state) const {
    const size_t bytes = decoder_.states_.bytes() / size_t(decoder_.num_states_);
    const size_t per_layer = bytes / size_t(spec_.num_recurrent_layers);
    return reinterpret_cast<float*>(decoder_.states_.as<uint8_t>() + size_t(state) * bytes +
                                    size_t(spec_.layers[size_t(index)].recurrent_index - spec_.first_recurrent_layer) *
                                        per_layer);
}

// The state of a head, [recurrent_key_size][padded_value_size], from this column on.
float* Decoder::Pass::head_state(int index, int state, int head, int first_column) const {
    return conv_inputs(index, state) + size_t(spec_.conv_size - 1) * decoder_.mix_columns_ +
           size_t(head) * spec_.recurrent_key_size * padded_value_size(spec_) + first_column;
}

void Decoder::Pass::convolve(const Layer& layer, int index, int sequence, int first_channel) {
    ConvolutionArgs args{};
    const int first = batch_->starts[sequence], count = std::min(group_rows, spec_.conv_channels() - first_channel);
    args.num_taps = spec_.conv_size;
    args.stride = decoder_.mix_columns_;
    args.is_activated = spec_.recurrence != Recurrence::convolution;
    for (int c = 0; c < count; ++c) {
        for (int j = 0; j < args.num_taps; ++j)
            args.taps[j][c] = layer[Vector::conv][(first_channel + c) * args.num_taps + j];
        if (layer[Vector::conv_bias]) args.bias[c] = layer[Vector::conv_bias][first_channel + c];
    }
    args.before = conv_inputs(index, batch_->state(sequence)) + first_channel;
    args.before_stride = decoder_.mix_columns_;
    const auto copy = [&](const float* from, float* to) {
        copy_rows(from, to, args.num_taps - 1, group_rows, args.before_stride);
    };
    if (!batch_->context_lengths[sequence]) clear_rows(args.before, args.num_taps - 1, group_rows, args.before_stride);
    else if (const int state = batch_->restored_state(sequence); state >= 0)
        copy(conv_inputs(index, state) + first_channel, args.before);
    const auto run = [&](int done, int num_tokens) {
        args.num_tokens = num_tokens;
        args.x = mix(first + done) + first_channel;
        if (!args.is_activated) {
            args.in_gate = decoder_.mix_in_.as<float>() + size_t(first + done) * args.stride + first_channel;
            args.out_gate = gates(first + done) + first_channel;
        }
        kernels_.convolve(args);
    };
    in_parts(sequence, run, [&](int state) { copy(args.before, conv_inputs(index, state) + first_channel); });
}

// The token's keys and queries, the decay of each head's state, and the factor of what is added to it.
void Decoder::Pass::prepare_recurrence(const Layer& layer, int token) {
    const size_t first = size_t(token) * decoder_.step_stride();
    float *decay = decoder_.decays_.as<float>() + first, *correction = decoder_.corrections_.as<float>() + first;
    const bool is_delta = spec_.recurrence == Recurrence::delta;
    for (int h = 0; h < spec_.recurrent_heads; ++h) {
        float step = softplus(decay[h]);
        if (!is_delta) step = std::clamp(step, spec_.least_step, spec_.greatest_step);
        decay[h] = std::exp(layer[Vector::decay][h] * step);
        correction[h] = is_delta ? 1 / (1 + std::exp(-correction[h])) : step;
    }
    if (!is_delta) return;
    const int size = spec_.recurrent_key_size;
    for (int h = 0; h < spec_.recurrent_key_heads; ++h) {
        to_unit_length(mix(token) + size_t(h) * size, size, 1 / std::sqrt(float(size)));
        to_unit_length(mix(token) + spec_.recurrent_keys() + size_t(h) * size, size, 1);
    }
}

void Decoder::Pass::recur(const Layer& layer, int index, int sequence, int head, int first_column) {
    const bool is_delta = spec_.recurrence == Recurrence::delta;
    const int first = batch_->starts[sequence], keys = spec_.recurrent_keys(), stride = padded_value_size(spec_);
    const int key_head = spec_.tiles_key_heads ? head % spec_.recurrent_key_heads
                                               : head / (spec_.recurrent_heads / spec_.recurrent_key_heads);
    const size_t key = size_t(key_head) * spec_.recurrent_key_size;
    const size_t value = size_t(head) * spec_.recurrent_value_size + size_t(first_column);
    RecurrenceArgs args{};
    args.key_size = spec_.recurrent_key_size;
    args.num_columns = std::min(stride - first_column, RecurrenceArgs::max_columns);
    args.subtracts_prediction = is_delta;
    args.key_stride = args.value_stride = decoder_.mix_columns_;
    args.factor_stride = decoder_.step_stride();
    args.skip = is_delta ? 0 : layer[Vector::skip][head];
    args.state = head_state(index, batch_->state(sequence), head, first_column);
    args.state_stride = stride;
    args.out_stride = decoder_.recurred_stride();
    const auto copy = [&](const float* from, float* to) {
        copy_rows(from, to, args.key_size, args.num_columns, stride);
    };
    if (!batch_->context_lengths[sequence]) clear_rows(args.state, args.key_size, args.num_columns, stride);
    else if (const int state = batch_->restored_state(sequence); state >= 0)
        copy(head_state(index, state, head, first_column), args.state);
    const auto run = [&](int done, int num_tokens) {
        args.num_tokens = num_tokens;
        // delta: queries, keys, values; mamba: values, keys, queries
        const float* row = mix(first + done);
        args.queries = row + key + (is_delta ? 0 : spec_.recurrent_size() + keys);
        args.keys = row + key + (is_delta ? keys : spec_.recurrent_size());
        args.values = row + value + (is_delta ? 2 * keys : 0);
        const size_t factor = size_t(first + done) * decoder_.step_stride() + size_t(head);
        args.decays = decoder_.decays_.as<float>() + factor;
        args.corrections = decoder_.corrections_.as<float>() + factor;
        args.out = decoder_.recurred_.as<float>() + size_t(first + done) * args.out_stride + size_t(head) * stride +
                   first_column;
        kernels_.recur(args);
    };
    in_parts(sequence, run, [&](int state) { copy(args.state, head_state(index, state, head, first_column)); });
}

// delta: each head is normalized, then gated. mamba: gated, then each group of heads with one key is normalized.
void Decoder::Pass::gated_norm(const Layer& layer, int token, float* out) {
    const int size = spec_.recurrent_value_size, columns = decoder_.recurrent_columns_;
    const float* recurred = decoder_.recurred_.as<float>() + size_t(token) * decoder_.recurred_stride();
    const float* weight = layer[Vector::mix_norm];
    std::fill(out + spec_.recurrent_size(), out + columns, 0.0f);
    for (int h = 0; h < spec_.recurrent_heads; ++h)
        std::copy_n(recurred + size_t(h) * padded_value_size(spec_), size, out + size_t(h) * size);
    const auto normalize = [&](float* values, int count, const float* weights) {
        float squares = 0;
        for (int i = 0; i < count; ++i) squares += values[i] * values[i];
        const float scale = 1 / std::sqrt(squares / float(count) + spec_.norm_eps);
        for (int i = 0; i < count; ++i) values[i] *= scale * weights[i];
    };
    if (spec_.recurrence == Recurrence::delta)
        for (int h = 0; h < spec_.recurrent_heads; ++h) normalize(out + size_t(h) * size, size, weight);
    kernels_.activate(ActivationKind::silu, gates(token), out, columns, out);
    if (spec_.recurrence == Recurrence::delta) return;
    const int group = spec_.recurrent_size() / spec_.recurrent_key_heads;
    for (int g = 0; g < spec_.recurrent_key_heads; ++g) normalize(out + g * group, group, weight + g * group);
}

}  // namespace llmos
