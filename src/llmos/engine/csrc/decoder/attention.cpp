// Attention of a decoder's layer: queries, keys and values, their positions, the paged cache, and the output
// projection.

#include <cmath>

#include "decoder/pass.h"

namespace llmos {

void Decoder::Pass::attention(const Layer& layer, int index) {
    const int rows = num_tokens();
    const Spec::Layer& at = spec_.layers[size_t(index)];
    project_qkv(layer, index);
    if (spec_.qk_norm == QKNorm::whole) norm_all_heads(layer);
    if (given_ && spec_.carries_keys(index, spec_.end_layer)) give_keys(index);
    if (at.has_keys)
        for_each(Region::position, rows * at.num_kv_heads, 4,
                 [&](int i) { write_cache(layer, index, i / at.num_kv_heads, i % at.num_kv_heads); });

    const Segment o[] = {{&layer.o, layer[Vector::o_bias], output(), decoder_.hidden_columns_}};
    const AttendedRows attended{decoder_.inputs_.view(layer.o.padded_columns()), for_adapters(input_formats(o)),
                                at.head_dim};
    const std::vector<AttentionUnit>& units = plan_->attention_units[size_t(at.heads_kind)];
    for_each(Region::attention, int(units.size()), 1, [&](int i) {
        attend(layer, index, units[size_t(i)], size_t(i) + 1 < units.size() ? &units[size_t(i) + 1] : nullptr,
               attended);
    });
    quantize_attended(attended, rows, spec_.num_heads);

    project_output(layer, index, attended.rows);
}

void Decoder::Pass::project_output(const Layer& layer, int index, const Activations& rows) {
    const Split split(num_tokens());
    const Segment o[] = {{&layer.o, layer[Vector::o_bias], output(), decoder_.hidden_columns_}};
    const bool accumulates = !spec_.has_branch();
    if (accumulates) set_aside(index, Weight::o, output());
    open_phase(Region::output, split.count(count_groups(o)));
    project(split, rows, o, accumulates);
    add_adapters(index, {{Weight::o, rows, output(), decoder_.hidden_columns_, accumulates}});
    if (spec_.has_branch() && !spec_.parallel_residual)
        add_branch(Region::output, layer[Vector::attn_post_norm], layer[Vector::attn_post_norm_bias]);
}

// Matrices that the layer doesn't have are empty, and so are their products.
void Decoder::Pass::project_qkv(const Layer& layer, int index) {
    const Segment qkv[] = {{&layer.q, layer[Vector::q_bias], q(0), decoder_.q_columns_},
                           {&layer.k, layer[Vector::k_bias], k(0), decoder_.kv_columns_},
                           {&layer.v, layer[Vector::v_bias], v(0), decoder_.kv_columns_},
                           {&layer.laurel_down, nullptr, decoder_.laurel_.as<float>(), decoder_.laurel_columns_}};
    const Segment gated[] = {
        qkv[0], qkv[1], qkv[2], qkv[3], {&layer.q_gate, layer[Vector::q_gate_bias], gates(0), decoder_.gate_columns()}};
    const Activations in = spec_.attention_gate ? project_input(layer, gated) : project_input(layer, qkv);
    add_adapters(index, {{Weight::q, in, q(0), decoder_.q_columns_},
                         {Weight::k, in, k(0), decoder_.kv_columns_},
                         {Weight::v, in, v(0), decoder_.kv_columns_}});
}

// The norm over all heads of a token together.
void Decoder::Pass::norm_all_heads(const Layer& layer) {
    const int q_size = layer.q.rows(), k_size = layer.k.rows();
    for_each(Region::position, num_tokens(), 1, [&](int t) {
        kernels_.rms_norm(q(t), layer[Vector::q_norm], spec_.norm_eps, q_size, decoder_.q_columns_, q(t));
        if (k_size) kernels_.rms_norm(k(t), layer[Vector::k_norm], spec_.norm_eps, k_size, decoder_.kv_columns_, k(t));
    });
}

// Without weights, they are 1.
void Decoder::Pass::norm_head(const float* head, int head_dim, const float* weight, float* out) const {
    float mean = 0, squares = 0;
    if (spec_.layer_norm) {
        for (int d = 0; d < head_dim; ++d) mean += head[d];
        mean /= float(head_dim);
    }
    for (int d = 0; d < head_dim; ++d) squares += (head[d] - mean) * (head[d] - mean);
    const float scale = 1 / std::sqrt(squares / float(head_dim) + spec_.norm_eps);
    for (int d = 0; d < head_dim; ++d) out[d] = (head[d] - mean) * scale;
    if (weight)
        for (int d = 0; d < head_dim; ++d) out[d] *= weight[d];
}

// The factor of the queries at a position, besides the scale of the scores.
float Decoder::Pass::query_scale(int position) const {
    if (!spec_.query_growth) return 1;
    return 1 + spec_.query_growth * std::log1p(float(position / spec_.query_growth_positions));
}

// The last position that a row at this position attends to.
int Decoder::Pass::last_visible(int sequence, int position, int window) const {
    if (spec_.is_causal) return position;
    const int last = batch_->context_lengths[sequence] + batch_->starts[sequence + 1] - batch_->starts[sequence] - 1;
    return window ? std::min(last, position + window - 1) : last;
}

// A query or key head at its token's position, times `scale`, padded with zeros.
void Decoder::Pass::position_head(const Spec::Layer& at, const float* all_heads, int head_index,
                                  const float* norm_weights, int token, float scale, float* out) const {
    const int num_pairs = spec_.num_pairs(at.rotation), head_dim = at.head_dim;
    const float* cosine = decoder_.rotations_.as<float>() + size_t(token) * decoder_.rotations_stride() +
                          spec_.rotation_offset(at.rotation);
    const float* head = all_heads + size_t(head_index) * head_dim;
    std::fill(out + head_dim, out + round_up(head_dim, group_rows), 0.0f);
    if (spec_.norms_rotated_heads) {
        kernels_.rotate(head, cosine, cosine + num_pairs, num_pairs, head_dim, 1, out);
        norm_head(out, head_dim, norm_weights, out);
        for (int d = 0; d < head_dim; ++d) out[d] *= scale;
        return;
    }
    if (spec_.qk_norm == QKNorm::head || spec_.qk_norm == QKNorm::each_head) {
        const size_t first_weight = spec_.qk_norm == QKNorm::head ? 0 : size_t(head_index) * head_dim;
        norm_head(head, head_dim, norm_weights + first_weight, out);
        head = out;
    }
    kernels_.rotate(head, cosine, cosine + num_pairs, num_pairs, head_dim, scale, out);
}

void Decoder::Pass::write_cache(const Layer& layer, int index, int token, int kv_head) {
    const CacheLayout& layout = layer.cache_layout;
    const Spec::Layer& at = spec_.layers[size_t(index)];
    float *key = scratch().attention.head(0, layout), *value = scratch().attention.head(1, layout);
    position_head(at, k(token), kv_head, layer[Vector::k_norm], token, 1, key);
    const float* from = (at.has_values ? v(token) : k(token)) + size_t(kv_head) * at.head_dim;
    if (spec_.norms_values) norm_head(from, at.head_dim, nullptr, value);
    else std::copy_n(from, at.head_dim, value);
    std::fill(value + at.head_dim, value + layout.padded_head_dim(), 0.0f);
    const int position = plan_->token_position[size_t(token)];
    const int sequence = plan_->token_sequence[size_t(token)];
    const int block = batch_->block_tables[int64_t(sequence) * batch_->table_stride + position / block_positions];
    uint8_t* to = cache_of(layer, kv_head) + size_t(block) * decoder_.block_stride_;
    kernels_.write_kv(layout, key, value, position % block_positions, to);
}

// `next`: the unit after this one, or null.
void Decoder::Pass::attend(const Layer& layer, int index, const AttentionUnit& unit, const AttentionUnit* next,
                           const AttendedRows& attended) {
    const AttentionScratch& scratch = this->scratch().attention;
    const Spec::Layer& at = spec_.layers[size_t(index)];
    const int window = at.sliding_window;
    const auto for_each_row = [&](auto body) {
        int r = 0;
        for (int t = unit.first_token; t < unit.first_token + unit.num_tokens; ++t)
            for (int h = unit.first_head; h < unit.first_head + unit.num_heads; ++h) body(r++, t, h);
    };
    AttentionArgs args;
    args.num_rows = unit.num_tokens * unit.num_heads;
    args.softcap = spec_.attention_softcap;
    args.has_sinks = spec_.attention_sinks;
    for_each_row([&](int r, int t, int h) {
        const int position = plan_->token_position[size_t(t)];
        float* query = scratch.head(r, layer.cache_layout);
        position_head(at, q(t), h, layer[Vector::q_norm], t, spec_.score_scale * query_scale(position), query);
        args.queries[r] = query;
        if (args.has_sinks) args.sinks[r] = layer[Vector::sinks][h];
        args.outs[r] = attended.out(t, h, scratch.out(r, at.head_dim));
        args.positions[r] = last_visible(unit.sequence, position, window);
        args.first[r] = window ? std::max(0, position + 1 - window) : 0;
    });
    const int group = spec_.num_heads / at.num_kv_heads;
    args.layout = layer.cache_layout;
    args.cache = cache_of(layer, unit.first_head / group);
    args.block_table = batch_->block_tables + int64_t(unit.sequence) * batch_->table_stride;
    args.block_stride = decoder_.block_stride_;
    args.scores = scratch.scores.as<float>();
    args.scores_stride = decoder_.score_capacity_;
    args.query_bytes = scratch.head_bytes.as<int8_t>();
    // A single token reads its keys and values once, from memory: fetch the next unit's meanwhile. The tokens of a
    // prompt find them in the CPU's cache, where the first of them has put them.
    if (unit.num_tokens > 1) next = nullptr;
    args.next_cache = next ? cache_of(layer, next->first_head / group) : nullptr;
    if (next) {
        args.next_block_table = batch_->block_tables + int64_t(next->sequence) * batch_->table_stride;
        args.next_num_blocks = plan_->token_position[size_t(next->first_token)] / block_positions + 1;
    }
    kernels_.attend(args);
    if (spec_.attention_gate)
        for_each_row([&](int r, int t, int h) {
            kernels_.multiply_sigmoid(gates(t) + size_t(h) * at.head_dim, at.head_dim, args.outs[r]);
        });
    if (!attended.quantizes_heads()) return;
    for_each_row([&](int r, int t, int h) { attended.quantize_head(kernels_, args.outs[r], t, h); });
}

}  // namespace llmos
