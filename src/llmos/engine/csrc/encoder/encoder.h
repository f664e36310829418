// A bidirectional transformer that turns texts into vectors: executes what engine/encoder_spec.py describes.
//
// Sequences lie one behind another, so that nothing is computed for padding; each attends to all of itself.
#pragma once

#include <array>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "matrix.h"
#include "pool.h"
#include "transformer/activation_rows.h"

namespace llmos {

class Encoder {
  public:
    enum class Weight { q, k, v, o, up, down, embed };
    enum class Vector {
        q_bias,
        k_bias,
        v_bias,
        o_bias,
        attn_norm,
        attn_norm_bias,
        up_bias,
        down_bias,
        mlp_norm,
        mlp_norm_bias,
        positions,
        types,
        embed_norm,
        embed_norm_bias,
        count
    };
    enum class Pooling { mean, first };

    // The fields of engine/encoder_spec.py's EncoderSpec that the forward pass needs.
    struct Spec {
        int vocab_size, hidden_size, num_layers, num_heads, head_dim, intermediate_size, num_positions, first_position;
        int num_types;  // 0: none
        float norm_eps;
        ActivationKind activation;
        Pooling pooling;
    };
    // Sequence s brings tokens[starts[s]] to tokens[starts[s + 1] - 1].
    struct Batch {
        int num_tokens, num_sequences;
        const int32_t *tokens, *starts;
    };

    // `kept` is how keys and values are held while a layer attends to them.
    Encoder(const Spec& spec, Pool& pool, const Kernels& kernels, CacheType kept);

    // What the spec asks for in this place (layer -1 is what lies outside of the layers; no expert is numbered); zeros where it has nothing there.
    Shape shape(int layer, Weight which, int number) const;
    int size(int layer, Vector which) const;

    // The sizes must be those. Nothing checks at the next step that all is there.
    PackedMatrix& matrix(int layer, Weight which, int number);
    int num_experts() const { return 0; }
    Buffer& vector(int layer, Vector which) { return this->layer(layer).vectors[size_t(which)]; }

    // Writes one vector for each sequence: out[num_sequences][hidden_size].
    void forward(const Batch& batch, float* out);

    const Spec& spec() const { return spec_; }
    size_t weight_bytes() const;

  private:
    struct Layer {
        PackedMatrix q, k, v, o, up, down;
        std::array<Buffer, size_t(Vector::count)> vectors;  // padded to whole blocks
        const float* operator[](Vector v) const { return vectors[size_t(v)].as<float>(); }
    };
    // Some tokens of one sequence whose queries of one head attend together.
    struct AttentionUnit {
        int sequence, first_token, num_tokens, head;
    };
    struct Segment {
        const PackedMatrix* weights;
        const float* bias;
        float* out;
        int out_stride;
    };
    // What one thread works on.
    struct Scratch {
        Buffer row;                              // what bytes left of a row
        Buffer heads, head_bytes, outs, scores;  // of the rows that attend together
        Buffer inner;                            // a block of 32 columns, for all tokens of a span
    };
    class Pass;

    void reserve(const Batch& batch);
    void plan(const Batch& batch);
    Layer& layer(int index) { return index < 0 ? outer_ : layers_[size_t(index)]; }

    const Spec spec_;
    Pool& pool_;
    const Kernels& kernels_;
    const CacheLayout layout_;
    const int hidden_, attention_, intermediate_;  // columns, padded
    std::vector<Layer> layers_;
    Layer outer_;
    PackedMatrix embed_;

    // What a step works on. Grown before the step begins, never within.
    int token_capacity_ = 0, block_capacity_ = 0, score_capacity_ = 0;
    Buffer x_, q_, k_, v_;
    Buffer kept_;                // keys and values of the layer at hand: [heads][blocks]
    ActivationRows remainders_;  // what the bytes of the hidden columns leave of their values, where a text is short
    ActivationRows shared_,
        inner_;  // inputs of the products: of the hidden or attention columns, of the intermediate ones
    std::vector<Scratch> own_;
    std::vector<int> token_sequence_, first_block_;
    std::vector<std::array<int, 2>> short_runs_;  // tokens [begin, end) of short texts, ascending
    std::vector<int32_t> block_table_;            // a sequence's blocks lie one behind another
    std::vector<AttentionUnit> units_;
};

}  // namespace llmos
