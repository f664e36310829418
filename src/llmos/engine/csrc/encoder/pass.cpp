// The operations of an encoder's forward pass, in their order.

#include "encoder/pass.h"

#include <algorithm>
#include <cmath>

namespace llmos {

void Encoder::Pass::run() {
    embed();
    for (const Layer& layer : encoder_.layers_) {
        attention(layer);
        feed_forward(layer);
    }
    pool_tokens();
}

void Encoder::Pass::embed() {
    const Layer& outer = encoder_.outer_;
    const float *positions = outer[Vector::positions], *types = outer[Vector::types];
    const int size = spec_.hidden_size;
    for_each(Region::embed, num_tokens(), 4, [&](int t) {
        encoder_.embed_.read_row(batch_.tokens[t], x(t));
        const float* row = positions + size_t(spec_.first_position + position(t)) * size;
        for (int c = 0; c < size; ++c) x(t)[c] += row[c];
        if (types) {
            const float* type = types + size_t(batch_.types ? batch_.types[t] : 0) * size;
            for (int c = 0; c < size; ++c) x(t)[c] += type[c];
        }
        norm(outer, Vector::embed_norm, Vector::embed_norm_bias, &encoder_.layers_[0].q, t);
    });
}

// Normalizes the token's row of x in place and stores it as input of `reader` (null: of nothing).
void Encoder::Pass::norm(const Layer& layer, Vector weight, Vector bias, const PackedMatrix* reader, int token) const {
    kernels_.layer_norm(x(token), layer[weight], layer[bias], spec_.norm_eps, spec_.hidden_size,
                        encoder_.hidden_columns_, x(token));
    if (!reader) return;
    const Activations in = encoder_.inputs_.view(encoder_.hidden_columns_);
    const InputFormats formats = input_formats(*reader);
    store_blocks(x(token), formats, in, token, 0, in.blocks());
    if (formats.int8 && is_short(batch_.length(sequence(token)))) quantize_errors(in, token);
}

void Encoder::Pass::quantize_errors(const Activations& in, int token) const {
    float* row = scratch().row.as<float>();
    for (int b = 0; b < in.blocks(); ++b) {
        const float scale = in.scales[size_t(token) * in.blocks() + b];
        const int8_t* bytes = in.quantized + size_t(token) * in.columns + size_t(b) * block_columns;
        for (int i = 0; i < block_columns; ++i)
            row[b * block_columns + i] = x(token)[b * block_columns + i] - scale * float(bytes[i]);
    }
    kernels_.quantize(row, encoder_.errors_.view(encoder_.hidden_columns_), token, 0, in.blocks());
}

// Adds the products of short texts' quantization errors to those of their hidden columns; out begins at first_row and
// first_group.
void Encoder::Pass::add_errors(const PackedMatrix& weights, int first_row, int last_row, int first_group,
                               int last_group, float* out, int out_stride) const {
    if (weights.packing() == Packing::floats) return;
    const Activations errors = encoder_.errors_.view(encoder_.hidden_columns_);
    for (const TokenRange& range : encoder_.short_texts_) {
        const int from = std::max(range.begin, first_row), to = std::min(range.end, last_row);
        if (from < to)
            kernels_.matmul({&weights, &errors, from, to, first_group, last_group, nullptr,
                             out + size_t(from - first_row) * out_stride, out_stride, true});
    }
}

void Encoder::Pass::attention(const Layer& layer) {
    const Split split(num_tokens());
    const Segment qkv[] = {{&layer.q, layer[Vector::q_bias], q(0), encoder_.q_columns_},
                           {&layer.k, layer[Vector::k_bias], k(0), encoder_.q_columns_},
                           {&layer.v, layer[Vector::v_bias], v(0), encoder_.q_columns_}};
    open_phase(Region::qkv, split.count(count_groups(qkv)));
    project(split, encoder_.inputs_.view(encoder_.hidden_columns_), qkv, false,
            [&](const Segment& s, int first_row, int last_row, int from, int to) {
                add_errors(*s.weights, first_row, last_row, from, to, s.out_at(first_row, from), s.out_stride);
            });
    for_each(Region::position, num_tokens() * spec_.num_heads, 16,
             [&](int i) { write_cache(i / spec_.num_heads, i % spec_.num_heads); });

    const Segment o[] = {{&layer.o, layer[Vector::o_bias], x(0), encoder_.hidden_columns_}};
    const AttendedRows attended{encoder_.inputs_.view(encoder_.q_columns_), input_formats(o), spec_.head_dim};
    for_each(Region::attention, int(encoder_.attention_units_.size()), 1,
             [&](int i) { attend(encoder_.attention_units_[size_t(i)], attended); });
    quantize_attended(attended, num_tokens(), spec_.num_heads);
    open_phase(Region::output, split.count(count_groups(o)));
    project(split, attended.rows, o, true);
    for_each(Region::norm, num_tokens(), 4,
             [&](int t) { norm(layer, Vector::attn_norm, Vector::attn_norm_bias, &layer.up, t); });
}

// The address of a sequence's block 0 for this head.
uint8_t* Encoder::Pass::cache_of(int sequence, int head) const {
    const size_t block = size_t(head) * encoder_.block_capacity_ + encoder_.first_block_[size_t(sequence)];
    return encoder_.cache_.as<uint8_t>() + block * encoder_.cache_layout_.bytes();
}

void Encoder::Pass::write_cache(int token, int head) {
    const CacheLayout& layout = encoder_.cache_layout_;
    const size_t at = size_t(head) * spec_.head_dim;
    float *key = scratch().attention.head(0, layout), *value = scratch().attention.head(1, layout);
    std::copy_n(k(token) + at, spec_.head_dim, key);
    std::copy_n(v(token) + at, spec_.head_dim, value);
    uint8_t* block = cache_of(sequence(token), head) + size_t(position(token) / block_positions) * layout.bytes();
    kernels_.write_kv(layout, key, value, position(token) % block_positions, block);
}

void Encoder::Pass::attend(const AttentionUnit& unit, const AttendedRows& attended) {
    const AttentionScratch& scratch = this->scratch().attention;
    const float scale = 1 / std::sqrt(float(spec_.head_dim));
    AttentionArgs args{};
    args.num_rows = unit.num_tokens;
    for (int r = 0; r < unit.num_tokens; ++r) {
        const int token = unit.first_token + r;
        float* query = scratch.head(r, encoder_.cache_layout_);
        kernels_.rotate(q(token) + size_t(unit.head) * spec_.head_dim, nullptr, nullptr, 0, spec_.head_dim, scale,
                        query);
        args.queries[r] = query;
        args.outs[r] = attended.out(token, unit.head, scratch.out(r, spec_.head_dim));
        args.first[r] = 0;
        args.positions[r] = batch_.length(unit.sequence) - 1;
    }
    args.layout = encoder_.cache_layout_;
    args.cache = cache_of(unit.sequence, unit.head);
    args.block_table = encoder_.block_table_.data();
    args.block_stride = encoder_.cache_layout_.bytes();
    args.scores = scratch.scores.as<float>();
    args.scores_stride = encoder_.score_capacity_;
    args.query_bytes = scratch.head_bytes.as<int8_t>();
    kernels_.attend(args);
    if (!attended.quantizes_heads()) return;
    for (int r = 0; r < unit.num_tokens; ++r)
        attended.quantize_head(kernels_, args.outs[r], unit.first_token + r, unit.head);
}

void Encoder::Pass::feed_forward(const Layer& layer) {
    const Split split(num_tokens()), blocks = split.by_blocks();
    const Activations in = encoder_.inputs_.view(encoder_.hidden_columns_);
    const Activations inner = encoder_.inner_.view(encoder_.intermediate_columns_);
    for_each(Region::gate_up, blocks.count(layer.up.groups()), blocks.grain, [&](int unit) {
        inner_block(layer, in, blocks.block(unit), blocks.first_row(unit), blocks.last_row(unit), inner);
    });
    const Segment down[] = {{&layer.down, layer[Vector::down_bias], x(0), encoder_.hidden_columns_}};
    open_phase(Region::down, split.count(count_groups(down)));
    project(split, inner, down, true);
    const PackedMatrix* reader = &layer == &encoder_.layers_.back() ? nullptr : &(&layer + 1)->q;
    for_each(Region::norm, num_tokens(), 4,
             [&](int t) { norm(layer, Vector::mlp_norm, Vector::mlp_norm_bias, reader, t); });
}

// One block of 32 inner columns, activated and stored in the format that `down` reads.
void Encoder::Pass::inner_block(const Layer& layer, const Activations& in, int block, int first_row, int last_row,
                                const Activations& inner) {
    float* rows = scratch().inner.as<float>();
    multiply_block(layer.up, layer[Vector::up_bias], in, block, first_row, last_row, rows,
                   [&](int first_group, int last_group) {
                       add_errors(layer.up, first_row, last_row, first_group, last_group, rows, block_columns);
                   });
    activate_block(spec_.activation, rows, nullptr, block, first_row, last_row, inner, input_formats(layer.down));
}

void Encoder::Pass::pool_tokens() {
    for_each(Region::head, batch_.num_sequences, 1, [&](int s) {
        float* out = out_ + size_t(s) * spec_.hidden_size;
        const int begin = batch_.starts[s], end = batch_.starts[s + 1];
        std::copy_n(x(begin), spec_.hidden_size, out);
        if (spec_.pooling == Pooling::first) return;
        for (int t = begin + 1; t < end; ++t)
            for (int c = 0; c < spec_.hidden_size; ++c) out[c] += x(t)[c];
        const float inverse = 1 / float(end - begin);
        for (int c = 0; c < spec_.hidden_size; ++c) out[c] *= inverse;
    });
}

}  // namespace llmos
