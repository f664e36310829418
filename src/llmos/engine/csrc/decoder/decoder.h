// A decoder-only transformer and its paged KV cache: executes what engine/spec.py describes.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "buffer.h"
#include "decoder/adapter.h"
#include "kernels.h"
#include "matrix.h"
#include "pool.h"
#include "transformer/activation_rows.h"
#include "transformer/profile.h"

namespace llmos {

// Over what queries and keys are normalized before the rotation.
enum class QKNorm { none, head, each_head, whole };

// The fields of engine/spec.py's DecoderSpec that the forward pass needs.
struct Spec {
    // What differs from layer to layer.
    struct Layer {
        int sliding_window;  // 0: none
        int rotation;        // which of inverse_frequencies; -1: none
        bool has_experts;
    };

    int vocab_size, hidden_size, num_layers, num_heads, num_kv_heads, head_dim, intermediate_size, max_positions;
    int num_experts, experts_per_token, expert_size;  // zeros without experts
    bool normalizes_experts;
    bool layer_norm;
    float norm_eps;
    ActivationKind activation;
    bool gated, learned_positions, tied_head, qkv_bias, output_bias, mlp_bias, pre_norm, post_norm, parallel_residual;
    QKNorm qk_norm;
    float embedding_multiplier, residual_multiplier, logit_multiplier, score_scale, rope_attention_factor;
    float attention_softcap, logit_softcap;  // 0: none
    std::vector<Layer> layers;
    std::vector<std::vector<double>> inverse_frequencies;  // [rotations][pairs], scaled already

    int num_pairs() const { return inverse_frequencies.empty() ? 0 : int(inverse_frequencies[0].size()); }
    // What a part of a layer gives cannot be added to the residual stream at once.
    bool has_branch() const { return post_norm || parallel_residual || residual_multiplier != 1; }
};

// See engine/runner/__init__.py's Batch.
struct BatchView {
    int num_tokens, num_sequences, num_logit_rows, table_stride;
    const int32_t *tokens, *starts, *context_lengths, *block_tables, *logit_rows;
    const int32_t* adapters;  // of each sequence, -1: none; null: nobody has one
};

// The matrices and vectors of a layer; embed, positions, head and final_norm belong to layer -1.
enum class Weight { q, k, v, o, gate, up, down, router, embed, positions, head };
enum class Vector {
    attn_norm,
    attn_norm_bias,
    attn_post_norm,
    attn_post_norm_bias,
    mlp_norm,
    mlp_norm_bias,
    mlp_post_norm,
    mlp_post_norm_bias,
    q_bias,
    k_bias,
    v_bias,
    o_bias,
    gate_bias,
    up_bias,
    down_bias,
    q_norm,
    k_norm,
    final_norm,
    final_norm_bias,
    count
};

class Decoder {
  public:
    Decoder(Spec spec, Pool& pool, const Kernels& kernels, int num_blocks, CacheType cache_type);

    // What the spec asks for in this place (layer -1 is what lies outside of the layers; the number is that of an expert,
    // -1 for what is none); zeros where it has nothing there.
    Shape shape(int layer, Weight which, int number) const;
    int size(int layer, Vector which) const;

    // The sizes must be those. Nothing checks at the next step that all is there.
    PackedMatrix& matrix(int layer, Weight which, int number);
    Buffer& vector(int layer, Vector which) { return this->layer(layer).vectors[size_t(which)]; }

    // Keeps the adapter under a number from 0 on, in the place of what was there; null takes it away.
    void set_adapter(int number, std::unique_ptr<const Adapter> adapter);
    bool has_adapter(int number) const { return size_t(number) < adapters_.size() && adapters_[size_t(number)]; }

    // Returns logits [num_logit_rows][logits_stride()], overwritten by the next call.
    std::shared_ptr<const Buffer> forward(const BatchView& batch);

    // Of each row of the last step the token with the largest logit (the lowest of equals; -1 where any is not finite),
    // and that logit.
    const std::vector<int32_t>& likeliest() const { return likeliest_; }
    const std::vector<float>& highest() const { return highest_; }

    int logits_stride() const { return round_up(spec_.vocab_size, group_rows); }
    int num_blocks() const { return num_blocks_; }
    int num_experts() const { return spec_.num_experts; }
    const Spec& spec() const { return spec_; }
    Profile& profile() { return profile_; }
    size_t weight_bytes() const;
    size_t kv_bytes() const { return cache_.bytes(); }
    static size_t block_bytes(const Spec& spec, CacheType cache_type);

  private:
    struct FeedForward {
        PackedMatrix gate, up, down;
    };
    struct Layer {
        PackedMatrix q, k, v, o, router;
        FeedForward feed_forward;
        std::vector<FeedForward> experts;
        std::array<Buffer, size_t(Vector::count)> vectors;  // padded to whole blocks
        const float* operator[](Vector v) const { return vectors[size_t(v)].as<float>(); }
    };
    // Some rows of one sequence's tokens and heads that attend together.
    struct AttentionUnit {
        int sequence, first_token, num_tokens, first_head, num_heads;
    };
    // An expert that a row takes, and how much of what it gives.
    struct Choice {
        int expert;
        float weight;
    };
    // Some of the rows that go through one expert: of the choices, sorted by expert.
    struct ExpertUnit {
        int expert, first_slot, last_slot;
    };
    struct Segment {
        const PackedMatrix* weights;
        const float* bias;
        float* out;
        int out_stride;
    };
    // What reads a row of activations: products of bytes, of floats, or both.
    struct Readers {
        bool bytes, floats;
    };
    // What one thread works on.
    struct Scratch {
        ActivationRows rows;             // few_tokens of them
        Buffer row;                      // of floats, on its way to bytes
        Buffer scores;                   // of attention
        Buffer heads, head_bytes, outs;  // of the rows that attend together
        Buffer largest;                  // of each row of logits, among those that this thread computed
        Buffer scores_of_experts;        // of one row
        Buffer gate, up;                 // a block of 32 columns, for all tokens of a span
        Buffer narrow;                   // what an adapter makes of a row, before it is widened again
    };
    class Pass;

    int qk_norm_size(int heads) const;
    size_t rotations_stride() const {
        return spec_.inverse_frequencies.size() * size_t(spec_.num_pairs()) * 2;
    }  // of a token
    void reserve(const BatchView& batch);
    int widest_inner() const { return std::max(intermediate_, expert_); }
    int inner_rows(int tokens) const { return tokens * std::max(1, spec_.experts_per_token); }
    void plan_attention(const BatchView& batch);
    void plan_adapters(const BatchView& batch);
    void sort_choices(int num_tokens);
    int router_stride() const { return round_up(spec_.num_experts, group_rows); }
    void merge_largest(int num_rows);
    Layer& layer(int index) { return index < 0 ? outer_ : layers_[size_t(index)]; }

    const Spec spec_;
    Pool& pool_;
    const Kernels& kernels_;
    const int num_blocks_;
    const CacheLayout layout_;
    const int hidden_, attention_, kv_, intermediate_, expert_;  // columns, padded
    std::vector<Layer> layers_;
    Layer outer_;
    PackedMatrix embed_, positions_, head_;
    Buffer cache_;
    size_t
        block_stride_;  // bytes of a block: all its layers and key/value heads together, so that few streams touch few pages

    // What a step works on. Grown before the step begins, never within.
    int token_capacity_ = 0, logit_capacity_ = 0, score_capacity_ = 0;
    Buffer x_, q_, k_, v_, rotations_;
    // With experts, a row is in as many slots as it takes experts.
    ActivationRows slots_;          // inputs of the experts, in the order of the slots
    Buffer router_logits_, given_;  // [tokens][experts, padded], [slots][hidden_]
    std::vector<Choice> choices_;   // [tokens][experts_per_token], ascending by expert
    std::vector<int> slot_token_, choice_slot_, expert_starts_;
    std::vector<ExpertUnit> expert_units_;
    Buffer branch_;                                                // what a part of a layer gives, on its way to x_
    std::shared_ptr<Buffer> logits_ = std::make_shared<Buffer>();  // outlives its capacity while a caller holds it
    ActivationRows shared_,
        inner_;  // inputs of the products: of the hidden or attention columns, of the intermediate ones
    std::vector<Scratch> own_;
    std::vector<int> token_sequence_, token_position_;
    std::vector<std::unique_ptr<const Adapter>> adapters_;
    std::vector<const Adapter*> token_adapter_;  // empty where no token of the batch has one
    std::vector<int> adapted_;                   // the tokens that have one
    Buffer narrow_;                              // [gate, up][tokens][max_rank]
    std::vector<AttentionUnit> units_;
    std::vector<int32_t> likeliest_;
    std::vector<float> highest_;
    Profile profile_;
};

}  // namespace llmos
