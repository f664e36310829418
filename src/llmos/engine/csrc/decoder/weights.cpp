// Which weights a spec asks for, and where the decoder keeps them.

#include "decoder/decoder.h"

namespace llmos {
namespace {

Shape shape_outside(const Spec& s, Weight which) {
    switch (which) {
        case Weight::embed: return {s.vocab_size, s.hidden_size};
        case Weight::positions: return s.learned_positions ? Shape{s.max_positions, s.hidden_size} : Shape{};
        case Weight::head: return s.tied_head ? Shape{} : Shape{s.vocab_size, s.hidden_size};
        default: return {};
    }
}

Shape feed_forward_shape(const Spec& s, Weight which, int inner_size) {
    switch (which) {
        case Weight::gate: return s.gated ? Shape{inner_size, s.hidden_size} : Shape{};
        case Weight::up: return {inner_size, s.hidden_size};
        case Weight::down: return {s.hidden_size, inner_size};
        default: return {};
    }
}

bool is_feed_forward(Weight which) { return which == Weight::gate || which == Weight::up || which == Weight::down; }

}  // namespace

Shape Decoder::shape(int layer, Weight which, int expert) const {
    const Spec& s = spec_;
    if (expert >= 0 && (layer < 0 || !is_feed_forward(which))) return {};
    if (layer < 0) return shape_outside(s, which);
    const bool has_experts = s.layers[size_t(layer)].has_experts;
    switch (which) {
        case Weight::q: return {s.num_heads * s.head_dim, s.hidden_size};
        case Weight::k:
        case Weight::v: return {s.num_kv_heads * s.head_dim, s.hidden_size};
        case Weight::o: return {s.hidden_size, s.num_heads * s.head_dim};
        case Weight::router: return has_experts ? Shape{s.num_experts, s.hidden_size} : Shape{};
        default: break;
    }
    // Either the layer has a feed-forward layer, or each of its experts has one.
    if (has_experts != (expert >= 0) || expert >= s.num_experts) return {};
    return feed_forward_shape(s, which, has_experts ? s.expert_size : s.intermediate_size);
}

int Decoder::size(int layer, Vector which) const {
    const Spec& s = spec_;
    if (layer < 0) switch (which) {
            case Vector::final_norm: return s.hidden_size;
            case Vector::final_norm_bias: return s.layer_norm ? s.hidden_size : 0;
            default: return 0;
        }
    switch (which) {
        case Vector::attn_norm:
        case Vector::mlp_norm: return s.pre_norm ? s.hidden_size : 0;
        case Vector::attn_norm_bias:
        case Vector::mlp_norm_bias: return s.pre_norm && s.layer_norm ? s.hidden_size : 0;
        case Vector::attn_post_norm:
        case Vector::mlp_post_norm: return s.post_norm ? s.hidden_size : 0;
        case Vector::attn_post_norm_bias:
        case Vector::mlp_post_norm_bias: return s.post_norm && s.layer_norm ? s.hidden_size : 0;
        case Vector::q_bias: return s.qkv_bias ? s.num_heads * s.head_dim : 0;
        case Vector::k_bias:
        case Vector::v_bias: return s.qkv_bias ? s.num_kv_heads * s.head_dim : 0;
        case Vector::o_bias: return s.output_bias ? s.hidden_size : 0;
        case Vector::gate_bias: return s.mlp_bias && s.gated ? s.intermediate_size : 0;
        case Vector::up_bias: return s.mlp_bias ? s.intermediate_size : 0;
        case Vector::down_bias: return s.mlp_bias ? s.hidden_size : 0;
        case Vector::q_norm: return qk_norm_size(s.num_heads);
        case Vector::k_norm: return qk_norm_size(s.num_kv_heads);
        default: return 0;
    }
}

int Decoder::qk_norm_size(int heads) const {
    if (spec_.qk_norm == QKNorm::none) return 0;
    return spec_.qk_norm == QKNorm::head ? spec_.head_dim : heads * spec_.head_dim;
}

PackedMatrix& Decoder::matrix(int index, Weight which, int expert) {
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
        case Weight::embed: return embed_;
        case Weight::positions: return positions_;
        default: return head_;
    }
}

size_t Decoder::weight_bytes() const {
    size_t total = embed_.bytes() + positions_.bytes() + head_.bytes();
    const auto add = [&](const FeedForward& f) { total += f.gate.bytes() + f.up.bytes() + f.down.bytes(); };
    for (const Layer& l : layers_) {
        for (const PackedMatrix* m : {&l.q, &l.k, &l.v, &l.o, &l.router}) total += m->bytes();
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
