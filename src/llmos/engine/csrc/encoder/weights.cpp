// The weights that a spec asks for, and their places in the encoder.

#include <algorithm>

#include "encoder/encoder.h"

namespace llmos {

Shape Encoder::shape(int layer, Weight which, int expert) const {
    const Spec& s = spec_;
    if (expert >= 0) return {};
    if (layer < 0) return which == Weight::embed ? Shape{s.vocab_size, s.hidden_size} : Shape{};
    switch (which) {
        case Weight::q:
        case Weight::k:
        case Weight::v: return {s.num_heads * s.head_dim, s.hidden_size};
        case Weight::o: return {s.hidden_size, s.num_heads * s.head_dim};
        case Weight::up: return {s.intermediate_size, s.hidden_size};
        case Weight::down: return {s.hidden_size, s.intermediate_size};
        default: return {};
    }
}

int Encoder::size(int layer, Vector which) const {
    const Spec& s = spec_;
    const bool is_outside = layer < 0;
    switch (which) {
        case Vector::positions: return is_outside ? s.num_positions * s.hidden_size : 0;
        case Vector::types: return is_outside ? s.num_types * s.hidden_size : 0;
        case Vector::embed_norm:
        case Vector::embed_norm_bias: return is_outside ? s.hidden_size : 0;
        case Vector::q_bias:
        case Vector::k_bias:
        case Vector::v_bias: return is_outside ? 0 : s.num_heads * s.head_dim;
        case Vector::up_bias: return is_outside ? 0 : s.intermediate_size;
        case Vector::count: return 0;
        default: return is_outside ? 0 : s.hidden_size;
    }
}

PackedMatrix& Encoder::matrix(int index, Weight which, int) {
    Layer& at = layer(index);
    switch (which) {
        case Weight::q: return at.q;
        case Weight::k: return at.k;
        case Weight::v: return at.v;
        case Weight::o: return at.o;
        case Weight::up: return at.up;
        case Weight::down: return at.down;
        default: return embed_;
    }
}

size_t Encoder::weight_bytes() const {
    size_t total = embed_.bytes();
    const auto add = [&](const Layer& l) {
        for (const PackedMatrix* m : {&l.q, &l.k, &l.v, &l.o, &l.up, &l.down}) total += m->bytes();
        for (const Buffer& vector : l.vectors) total += vector.bytes();
    };
    add(outer_);
    std::for_each(layers_.begin(), layers_.end(), add);
    return total;
}

}  // namespace llmos
