// The weights that a spec asks for, and their places in the decoder.

#include "decoder/decoder.h"

namespace llmos {
namespace {

Shape shape_outside(const Spec& s, Weight which) {
    switch (which) {
        case Weight::embed: return {s.vocab_size, s.hidden_size};
        case Weight::positions: return s.learned_positions ? Shape{s.max_positions, s.hidden_size} : Shape{};
        case Weight::head: return s.tied_head || !s.has_head ? Shape{} : Shape{s.vocab_size, s.hidden_size};
        case Weight::layer_embed:
            return s.layer_input_size ? Shape{s.layer_input_vocab, s.all_layer_inputs()} : Shape{};
        case Weight::layer_embed_projection:
            return s.layer_input_size ? Shape{s.all_layer_inputs(), s.hidden_size} : Shape{};
        default: return {};
    }
}

// The shape of a weight that each residual stream but the first has.
Shape stream_shape(const Spec& s, Weight which, int index) {
    const bool is_stream = which == Weight::stream_projection || which == Weight::stream_output;
    return is_stream && index + 1 < s.residual_streams ? Shape{s.hidden_size, s.hidden_size} : Shape{};
}

Shape feed_forward_shape(const Spec& s, Weight which, int inner_size) {
    switch (which) {
        case Weight::gate: return s.gated ? Shape{inner_size, s.hidden_size} : Shape{};
        case Weight::up: return {inner_size, s.hidden_size};
        case Weight::down: return {s.hidden_size, inner_size};
        default: return {};
    }
}

Shape attention_shape(const Spec& s, const Spec::Layer& layer, Weight which) {
    const int queries = s.num_heads * layer.head_dim;
    switch (which) {
        case Weight::q: return {queries, s.hidden_size};
        case Weight::k: return layer.has_keys ? Shape{layer.kv_size(), s.hidden_size} : Shape{};
        case Weight::v: return layer.has_values ? Shape{layer.kv_size(), s.hidden_size} : Shape{};
        case Weight::q_gate: return s.attention_gate ? Shape{queries, s.hidden_size} : Shape{};
        default: return {s.hidden_size, queries};
    }
}

Shape recurrence_shape(const Spec& s, Weight which) {
    const bool is_convolution = s.recurrence == Recurrence::convolution;
    switch (which) {
        case Weight::mix: return {s.conv_channels(), s.hidden_size};
        case Weight::mix_in: return is_convolution ? Shape{s.conv_channels(), s.hidden_size} : Shape{};
        case Weight::mix_gate: return {s.recurrent_size(), s.hidden_size};
        case Weight::step: return is_convolution ? Shape{} : Shape{s.recurrent_heads, s.hidden_size};
        case Weight::beta: return s.recurrence == Recurrence::delta ? Shape{s.recurrent_heads, s.hidden_size} : Shape{};
        case Weight::o: return {s.hidden_size, s.recurrent_size()};
        default: return {};
    }
}

int recurrence_size(const Spec& s, Vector which) {
    const bool has_states = s.recurrence != Recurrence::convolution;
    switch (which) {
        case Vector::conv: return s.conv_channels() * s.conv_size;
        case Vector::conv_bias: return s.conv_bias ? s.conv_channels() : 0;
        case Vector::step_bias:
        case Vector::decay: return has_states ? s.recurrent_heads : 0;
        case Vector::skip: return s.recurrence == Recurrence::mamba ? s.recurrent_heads : 0;
        case Vector::mix_norm:
            return s.recurrence == Recurrence::delta ? s.recurrent_value_size : has_states ? s.recurrent_size() : 0;
        default: return 0;
    }
}

bool is_feed_forward(Weight which) { return which == Weight::gate || which == Weight::up || which == Weight::down; }

}  // namespace

Shape Decoder::shape(int layer, Weight which, int expert) const {
    const Spec& s = spec_;
    if (layer < 0 ? !s.is_home() : !s.computes(layer)) return {};
    if (expert >= 0 && layer < 0) return stream_shape(s, which, expert);
    if (expert >= 0 && !is_feed_forward(which)) return {};
    if (layer < 0) return shape_outside(s, which);
    const bool has_experts = s.layers[size_t(layer)].has_experts;
    const Spec::Layer& at = s.layers[size_t(layer)];
    const bool is_recurrent = at.is_recurrent();
    switch (which) {
        case Weight::q:
        case Weight::k:
        case Weight::v:
        case Weight::q_gate:
        case Weight::o: return is_recurrent ? recurrence_shape(s, which) : attention_shape(s, at, which);
        case Weight::mix:
        case Weight::mix_in:
        case Weight::mix_gate:
        case Weight::step:
        case Weight::beta: return is_recurrent ? recurrence_shape(s, which) : Shape{};
        case Weight::router: return has_experts ? Shape{s.num_experts, s.hidden_size} : Shape{};
        case Weight::input_gate: return s.layer_input_size ? Shape{s.layer_input_size, s.hidden_size} : Shape{};
        case Weight::input_projection: return s.layer_input_size ? Shape{s.hidden_size, s.layer_input_size} : Shape{};
        case Weight::laurel_down: return s.laurel_size ? Shape{s.laurel_size, s.hidden_size} : Shape{};
        case Weight::laurel_up: return s.laurel_size ? Shape{s.hidden_size, s.laurel_size} : Shape{};
        default: break;
    }
    // The layer has a feed-forward layer, or each of its experts has one, and perhaps a shared expert.
    if (expert >= s.num_experts || (expert >= 0 && !has_experts)) return {};
    if (expert >= 0) return feed_forward_shape(s, which, s.expert_size);
    const int inner_size = has_experts ? s.shared_expert_size : at.inner_size;
    return inner_size ? feed_forward_shape(s, which, inner_size) : Shape{};
}

int Decoder::size(int layer, Vector which) const {
    const Spec& s = spec_;
    const bool writes_keys = which == Vector::k_norm && layer >= 0 && s.caches(layer);
    if ((layer < 0 ? !s.is_home() : !s.computes(layer)) && !writes_keys) return 0;
    if (layer < 0) switch (which) {
            case Vector::types: return s.token_type ? s.hidden_size : 0;
            case Vector::embed_norm: return s.embed_norm ? s.hidden_size : 0;
            case Vector::embed_norm_bias: return s.embed_norm && s.has_norm_bias() ? s.hidden_size : 0;
            case Vector::final_norm: return s.norms_residual ? 0 : s.hidden_size;
            case Vector::final_norm_bias: return !s.norms_residual && s.has_norm_bias() ? s.hidden_size : 0;
            case Vector::head_bias: return s.head_bias ? s.vocab_size : 0;
            case Vector::layer_embed_norm: return s.layer_input_size;
            default: return 0;
        }
    const Spec::Layer& at = s.layers[size_t(layer)];
    const int experts = at.has_experts ? s.num_experts : 0;
    const bool has_attn_norm = s.pre_norm && !(s.skips_first_norm && layer == 0);
    // The biases of all experts, one after another.
    const int parts = vector_parts(layer, which);
    switch (which) {
        case Vector::conv:
        case Vector::conv_bias:
        case Vector::step_bias:
        case Vector::decay:
        case Vector::skip:
        case Vector::mix_norm: return at.is_recurrent() ? recurrence_size(s, which) : 0;
        case Vector::q_bias:
        case Vector::k_bias:
        case Vector::v_bias:
        case Vector::q_gate_bias:
        case Vector::o_bias:
        case Vector::sinks:
        case Vector::q_norm:
        case Vector::k_norm: return at.is_recurrent() ? 0 : attention_size(at, which);
        case Vector::gate_bias: return s.mlp_bias && s.gated ? parts * (experts ? s.expert_size : at.inner_size) : 0;
        case Vector::up_bias: return s.mlp_bias ? parts * (experts ? s.expert_size : at.inner_size) : 0;
        case Vector::down_bias: return s.mlp_bias ? parts * s.hidden_size : 0;
        case Vector::router_bias: return s.router_bias ? experts : 0;
        case Vector::router_correction: return s.corrects_router ? experts : 0;
        case Vector::shared_router: return s.gates_shared_expert && experts ? s.hidden_size : 0;
        case Vector::router_norm:
        case Vector::experts_norm:
        case Vector::experts_post_norm:
        case Vector::shared_post_norm: return s.norms_experts && experts ? s.hidden_size : 0;
        case Vector::expert_scale: return s.norms_experts ? experts : 0;
        case Vector::input_norm: return s.layer_input_size ? s.hidden_size : 0;
        case Vector::scale: return s.scales_layers ? 1 : 0;
        case Vector::laurel_norm: return s.laurel_size ? s.hidden_size : 0;
        case Vector::stream_router: return s.has_streams() ? s.residual_streams * s.hidden_size : 0;
        case Vector::stream_router_norm:
        case Vector::stream_scale: return s.has_streams() ? s.hidden_size : 0;
        case Vector::stream_predict:
            return s.has_streams() ? s.residual_streams * s.residual_streams * s.residual_streams : 0;
        case Vector::stream_correct: return s.has_streams() ? s.residual_streams * s.residual_streams : 0;
        case Vector::attn_norm: return has_attn_norm ? s.hidden_size : 0;
        case Vector::attn_norm_bias: return has_attn_norm && s.has_norm_bias() ? s.hidden_size : 0;
        case Vector::mlp_norm: return s.pre_norm ? s.hidden_size : 0;
        case Vector::mlp_norm_bias: return s.pre_norm && s.has_norm_bias() ? s.hidden_size : 0;
        case Vector::attn_post_norm:
        case Vector::mlp_post_norm: return s.post_norm || s.norms_residual ? s.hidden_size : 0;
        case Vector::attn_post_norm_bias:
        case Vector::mlp_post_norm_bias:
            return (s.post_norm || s.norms_residual) && s.has_norm_bias() ? s.hidden_size : 0;
        default: return 0;
    }
}

int Decoder::vector_parts(int layer, Vector which) const {
    const bool is_bias = which == Vector::gate_bias || which == Vector::up_bias || which == Vector::down_bias;
    return is_bias && layer >= 0 && spec_.layers[size_t(layer)].has_experts ? spec_.num_experts : 1;
}

int Decoder::attention_size(const Spec::Layer& layer, Vector which) const {
    const Spec& s = spec_;
    switch (which) {
        case Vector::q_bias: return s.qkv_bias ? s.num_heads * layer.head_dim : 0;
        case Vector::q_gate_bias: return s.qkv_bias && s.attention_gate ? s.num_heads * layer.head_dim : 0;
        case Vector::k_bias: return s.qkv_bias && layer.has_keys ? layer.kv_size() : 0;
        case Vector::v_bias: return s.qkv_bias && layer.has_values ? layer.kv_size() : 0;
        case Vector::o_bias: return s.output_bias ? s.hidden_size : 0;
        case Vector::sinks: return s.attention_sinks ? s.num_heads : 0;
        case Vector::q_norm: return qk_norm_size(s.num_heads, layer.head_dim);
        default: return layer.has_keys ? qk_norm_size(layer.num_kv_heads, layer.head_dim) : 0;
    }
}

int Decoder::qk_norm_size(int heads, int head_dim) const {
    if (spec_.qk_norm == QKNorm::none) return 0;
    return spec_.qk_norm == QKNorm::head ? head_dim : heads * head_dim;
}

PackedMatrix& Decoder::matrix(int index, Weight which, int expert) {
    if (which == Weight::stream_projection) return stream_projections_[size_t(expert)];
    if (which == Weight::stream_output) return stream_outputs_[size_t(expert)];
    Layer& at = layer(index);
    FeedForward& feed_forward = expert < 0 ? at.feed_forward : at.experts[size_t(expert)];
    switch (which) {
        case Weight::q: return at.q;
        case Weight::k: return at.k;
        case Weight::v: return at.v;
        case Weight::o: return at.o;
        case Weight::gate: return feed_forward.gate;
        case Weight::up: return feed_forward.up;
        case Weight::down: return feed_forward.down;
        case Weight::router: return at.router;
        case Weight::q_gate: return at.q_gate;
        case Weight::mix: return at.mix;
        case Weight::mix_in: return at.mix_in;
        case Weight::mix_gate: return at.mix_gate;
        case Weight::step: return at.step;
        case Weight::beta: return at.beta;
        case Weight::input_gate: return at.input_gate;
        case Weight::input_projection: return at.input_projection;
        case Weight::laurel_down: return at.laurel_down;
        case Weight::laurel_up: return at.laurel_up;
        case Weight::layer_embed: return layer_embed_;
        case Weight::layer_embed_projection: return layer_embed_projection_;
        case Weight::embed: return embed_;
        case Weight::positions: return positions_;
        default: return head_;
    }
}

size_t Decoder::weight_bytes() const {
    size_t total =
        embed_.bytes() + positions_.bytes() + head_.bytes() + layer_embed_.bytes() + layer_embed_projection_.bytes();
    const auto add = [&](const FeedForward& f) { total += f.gate.bytes() + f.up.bytes() + f.down.bytes(); };
    for (const PackedMatrix& m : stream_projections_) total += m.bytes();
    for (const PackedMatrix& m : stream_outputs_) total += m.bytes();
    for (const Layer& l : layers_) {
        for (const PackedMatrix* m :
             {&l.q, &l.k, &l.v, &l.o, &l.router, &l.q_gate, &l.mix, &l.mix_in, &l.mix_gate, &l.step, &l.beta,
              &l.input_gate, &l.input_projection, &l.laurel_down, &l.laurel_up})
            total += m->bytes();
        add(l.feed_forward);
        for (const FeedForward& expert : l.experts) add(expert);
        for (const Buffer& vector : l.vectors) total += vector.bytes();
    }
    for (const Buffer& vector : outer_.vectors) total += vector.bytes();
    return total;
}

void Decoder::set_adapter(int index, std::unique_ptr<const Adapter> adapter) {
    if (size_t(index) >= adapters_.size()) adapters_.resize(size_t(index) + 1);
    adapters_[size_t(index)] = std::move(adapter);
}

}  // namespace llmos
