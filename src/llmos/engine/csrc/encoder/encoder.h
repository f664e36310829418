// A bidirectional transformer that turns texts into vectors: executes what engine/encoder_spec.py describes.
//
// Sequences lie one behind another, so that nothing is computed for padding; each attends to all of itself.
//
//   weights.cpp   which weights the spec asks for, and where they are kept
//   encoder.cpp   a forward pass: reserve memory, plan the work, run it on all threads
//   pass.h        one thread's part of a forward pass; pass.cpp has its operations
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "buffer.h"
#include "kernels.h"
#include "matrix.h"
#include "pool.h"
#include "transformer/activation_rows.h"
#include "transformer/attended_rows.h"

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
    // Sequence s brings tokens[starts[s]] to tokens[starts[s + 1] - 1]. Each has a type; null: all have the first.
    struct Batch {
        int num_tokens, num_sequences;
        const int32_t *tokens, *starts, *types;

        int length(int sequence) const { return starts[sequence + 1] - starts[sequence]; }
    };

    // `cache_type` is the format of keys and values while a layer attends to them.
    Encoder(const Spec& spec, Pool& pool, const Kernels& kernels, CacheType cache_type);

    // The shape or size that the spec asks for; zeros where it has no such weight. Layer -1 is outside the layers; an
    // encoder has no experts.
    Shape shape(int layer, Weight which, int expert) const;
    int size(int layer, Vector which) const;
    int vector_parts(int, Vector) const { return 1; }

    // The weights themselves, for the caller to set, with the sizes above. forward() doesn't check that all are set.
    PackedMatrix& matrix(int layer, Weight which, int expert);
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
    // Tokens [begin, end).
    struct TokenRange {
        int begin, end;
    };
    // A thread's working memory.
    struct Scratch {
        Buffer row;  // the quantization errors of a row
        AttentionScratch attention;
        Buffer inner;  // [max_span_rows][32]
    };
    class Pass;

    void reserve(const Batch& batch);
    void plan(const Batch& batch);
    void plan_attention(int sequence, int begin, int end);
    Layer& layer(int index) { return index < 0 ? outer_ : layers_[size_t(index)]; }

    const Spec spec_;
    Pool& pool_;
    const Kernels& kernels_;
    const CacheLayout cache_layout_;
    const int hidden_columns_, q_columns_, intermediate_columns_;  // padded to whole blocks
    std::vector<Layer> layers_;
    Layer outer_;
    PackedMatrix embed_;

    // The buffers of a step. reserve() grows it before a step; a step allocates nothing.
    int token_capacity_ = 0, block_capacity_ = 0, score_capacity_ = 0;
    Buffer x_;                         // [tokens][hidden_columns_]: the residual stream
    Buffer q_, k_, v_;                 // [tokens][q_columns_]
    Buffer cache_;                     // [heads][blocks] of CacheLayout::bytes(): keys and values of the layer at hand
    ActivationRows inputs_;            // of products with hidden or attended columns
    ActivationRows inner_;             // of products with the feed-forward layers' inner columns
    ActivationRows errors_;            // quantization errors of the hidden columns of short texts, quantized in turn
    std::vector<Scratch> scratch_;     // [threads]
    std::vector<int> token_sequence_;  // [tokens]
    std::vector<int> first_block_;     // [sequences]
    std::vector<TokenRange> short_texts_;  // ascending; neighbours are one range
    std::vector<int32_t> block_table_;     // 0, 1, 2, ...: a sequence's blocks lie one behind another
    std::vector<AttentionUnit> attention_units_;
};

}  // namespace llmos
