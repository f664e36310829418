// A decoder-only transformer and its paged KV cache: executes what engine/spec.py describes.
//
//   weights.cpp   which weights the spec asks for, and where they are kept
//   decoder.cpp   a forward pass: reserve memory, plan the work, run it on all threads
//   plan.cpp      how attention is cut into units of work, and which tokens have adapters
//   scoring.h     how given tokens are scored without their rows of logits
//   stage.cpp     a part of the layers, and the rows that go from one part to the next
//   pass.h        one thread's part of a forward pass; attention.cpp, adapters.cpp, feed_forward.cpp, experts.cpp,
//                 layer_inputs.cpp, streams.cpp, recurrence.cpp, head.cpp are its operations
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "buffer.h"
#include "decoder/adapter.h"
#include "decoder/scoring.h"
#include "decoder/spec.h"
#include "kernels.h"
#include "matrix.h"
#include "pool.h"
#include "transformer/activation_rows.h"
#include "transformer/attended_rows.h"
#include "transformer/profile.h"

namespace llmos {

// A copy of a sequence's state behind so many of its new tokens, and where it is written.
struct StateCopy {
    int32_t sequence, num_tokens, state;
};

// See engine/runner/__init__.py's Batch.
struct BatchView {
    int num_tokens, num_sequences, num_logit_rows, table_stride;
    const int32_t *tokens, *starts, *context_lengths, *block_tables, *logit_rows;
    const int32_t* adapters;  // [num_sequences], -1: none; null where no sequence has one
    const int32_t* states;    // [num_sequences], where recurrent layers keep a sequence's state; null: its index
    const int32_t* restored;  // [num_sequences], where its state is read instead, -1: where it is kept; null: all -1
    const StateCopy* copies;  // [num_copies], ascending by sequence, then by tokens
    int num_copies;
    ScoredTokens scored;
    int state(int sequence) const { return states ? states[sequence] : sequence; }
    int restored_state(int sequence) const { return restored ? restored[sequence] : -1; }
};

class Decoder {
  public:
    Decoder(Spec spec, Pool& pool, const Kernels& kernels, int num_blocks, CacheType cache_type, int num_states);

    // The shape or size that the spec asks for; zeros where it has no such weight. Layer -1 is outside the layers,
    // expert -1 is a weight that belongs to no expert.
    Shape shape(int layer, Weight which, int expert) const;
    int size(int layer, Vector which) const;
    // Equal parts of which a vector consists, each of them padded in memory: one for each expert, or a single one.
    int vector_parts(int layer, Vector which) const;

    // The weights themselves, for the caller to set, with the sizes above. forward() doesn't check that all are set.
    PackedMatrix& matrix(int layer, Weight which, int expert);
    Buffer& vector(int layer, Vector which) { return this->layer(layer).vectors[size_t(which)]; }

    // Keeps the adapter under an index from 0 on and drops the one that was there; null only drops it.
    void set_adapter(int index, std::unique_ptr<const Adapter> adapter);
    bool has_adapter(int index) const { return size_t(index) < adapters_.size() && adapters_[size_t(index)]; }

    // Returns logits [num_logit_rows][logits_stride()], overwritten by the next call.
    std::shared_ptr<const Buffer> forward(const BatchView& batch);

    // In a split model, computes the stage's layers. Home takes the batch's tokens, and `rows` is null; others take
    // the rows of the stage before, [num_tokens][row_stride(first_layer)], and never look at tokens. Writes the rows of
    // all tokens to `out`, [num_tokens][row_stride(end_layer)]; the last stage writes only the batch's logit rows.
    void advance(const BatchView& batch, const float* rows, float* out);
    // The head, at home: logits and scores of rows [num_tokens] of the last stage. The batch's logit rows and scored
    // rows are indices into them; its sequences are ignored.
    std::shared_ptr<const Buffer> finish(const BatchView& batch, const float* rows);

    // Floats of a token's row at the boundary before this layer.
    //
    //     residual stream, or all streams | inputs of the layers behind | keys, values of layers that lend them
    int row_stride(int boundary) const;

    // For each logit row of the last step: the token with the largest logit (the lowest such token; -1 where any logit
    // is not finite), and that logit.
    const std::vector<int32_t>& likeliest() const { return likeliest_; }
    const std::vector<float>& highest() const { return highest_; }

    // The scores of the last step's scored tokens.
    const Scores& scores() const { return scoring_.scores(); }

    int logits_stride() const { return spec_.has_head ? round_up(spec_.vocab_size, group_rows) : hidden_columns_; }
    int num_blocks() const { return num_blocks_; }
    int num_states() const { return num_states_; }
    // Numbers that matrices may have within a layer or outside the layers: those of experts, and of residual streams.
    int num_experts() const { return std::max(spec_.num_experts, spec_.residual_streams - 1); }
    const Spec& spec() const { return spec_; }
    Profile& profile() { return profile_; }
    size_t weight_bytes() const;
    size_t kv_bytes() const { return cache_.bytes(); }
    // Bytes of one sequence's state in all recurrent layers.
    static size_t state_bytes(const Spec& spec);
    static size_t block_bytes(const Spec& spec, CacheType cache_type);

  private:
    // Up to so many tokens every thread prepares all inputs for itself: that costs less than a barrier.
    static constexpr int few_tokens = 4;

    struct FeedForward {
        PackedMatrix gate, up, down;
    };
    struct Layer {
        PackedMatrix q, k, v, o, router, q_gate, mix, mix_in, mix_gate, step, beta, input_gate, input_projection,
            laurel_down, laurel_up;
        FeedForward feed_forward;
        std::vector<FeedForward> experts;
        std::array<Buffer, size_t(Vector::count)> vectors;  // padded to whole blocks
        CacheLayout cache_layout;
        size_t cache_offset;  // where the keys and values that the layer attends to lie in a block of the cache
        const float* operator[](Vector v) const { return vectors[size_t(v)].as<float>(); }
    };
    // Some tokens of one sequence and some query heads of one key/value head that attend together.
    struct AttentionUnit {
        int sequence, first_token, num_tokens, first_head, num_heads;
    };
    // Facts about a batch's tokens that the threads share.
    struct TokenPlan {
        std::vector<int> token_sequence, token_position;          // [tokens]
        std::vector<std::vector<AttentionUnit>> attention_units;  // [kv_head_counts]
        // Adapters: empty where no token of the batch has one.
        std::vector<const Adapter*> token_adapter;  // [tokens]
        std::vector<int> adapted_tokens;
        bool has_gains = false;  // an adapter of the batch has gains
    };
    // An expert that a token takes, and the factor of its output.
    struct ExpertChoice {
        int expert;
        float weight;
    };
    // Some of the slots of one expert.
    struct ExpertUnit {
        int expert, first_slot, last_slot;
    };
    // A thread's working memory.
    struct Scratch {
        ActivationRows rows;  // few_tokens of them
        Buffer row;           // of floats, before it is quantized
        AttentionScratch attention;
        Buffer largest;  // [logit rows] of Largest, among the logits that this thread computed
        Buffer
            expert_scores;  // [num_experts] of one token, then their ranks [num_experts], sums of groups [num_experts]
        Buffer gate, up;    // [max_span_rows][32]
        Buffer low_rank;    // [max_rank], of one token: between an adapter's down and up
    };
    class Pass;

    Layer& layer(int index) { return index < 0 ? outer_ : layers_[size_t(index)]; }
    int attention_size(const Spec::Layer& layer, Vector which) const;
    int qk_norm_size(int heads, int head_dim) const;
    void place_caches(CacheType cache_type);

    int stream_columns() const { return spec_.residual_streams * hidden_columns_; }
    int layer_inputs_from(int boundary) const { return (spec_.num_layers - boundary) * spec_.layer_input_size; }
    // The column at which a row at this boundary has the keys of a layer before it.
    int keys_offset(int boundary, int layer) const;
    int carried_columns(int layer) const {
        const Spec::Layer& at = spec_.layers[size_t(layer)];
        return at.kv_size() * (at.has_values ? 2 : 1);
    }

    // Grows the memory that a step works on.
    void reserve(const BatchView& batch);
    void reserve_logits(int num_rows);
    void reserve_tokens(int capacity);
    void reserve_experts(int capacity);
    void reserve_recurrence(int capacity);
    void plan(const BatchView& batch, TokenPlan& plan);
    void plan_tokens(const BatchView& batch, TokenPlan& plan) const;
    void plan_attention(const BatchView& batch, TokenPlan& plan) const;
    void plan_adapters(const BatchView& batch, TokenPlan& plan);
    bool plan_tail(const BatchView& batch);
    void assign_expert_slots(int num_tokens);
    void merge_largest(int num_rows, int num_threads);

    // Floats of a token's cosines and sines.
    size_t rotations_stride() const { return size_t(spec_.rotation_offset(int(spec_.inverse_frequencies.size()))); }
    int router_stride() const { return round_up(spec_.num_experts, group_rows); }
    int max_inner_columns() const {
        return std::max({intermediate_columns_, expert_columns_, round_up(spec_.shared_expert_size, block_columns)});
    }
    // Columns of a row of gates_: of attention, or of recurrent layers.
    int gate_columns() const { return std::max(spec_.attention_gate ? q_columns_ : 0, recurrent_columns_); }
    int step_stride() const { return round_up(spec_.recurrent_heads, group_rows); }
    static int padded_value_size(const Spec& spec) { return round_up(spec.recurrent_value_size, group_rows); }
    int recurred_stride() const { return spec_.recurrent_heads * padded_value_size(spec_); }
    int inner_rows(int tokens) const { return tokens * std::max(1, spec_.experts_per_token); }

    const Spec spec_;
    Pool& pool_;
    const Kernels& kernels_;
    const int num_blocks_;
    // Padded to whole blocks. q_columns_ and kv_columns_ are those of the layers with the largest heads.
    const int hidden_columns_, q_columns_, kv_columns_, intermediate_columns_, expert_columns_, recurrent_columns_,
        mix_columns_, layer_input_columns_, all_layer_inputs_columns_, laurel_columns_;
    std::vector<Layer> layers_;
    Layer outer_;
    PackedMatrix embed_, positions_, head_, layer_embed_, layer_embed_projection_;
    std::vector<PackedMatrix> stream_projections_, stream_outputs_;  // [residual_streams - 1]
    std::vector<std::unique_ptr<const Adapter>> adapters_;
    Buffer cache_;  // [blocks][layers with keys][key/value heads] of CacheLayout::bytes()
    size_t block_stride_;
    const int num_states_;
    Buffer states_;  // [num_states][recurrent layers] of the inputs [conv_size - 1][mix_columns_] and the state
                     // [recurrent_heads][recurrent_key_size][padded_value_size()]

    // The buffers of a step. reserve() grows it before a step; a step allocates nothing.
    int token_capacity_ = 0, logit_capacity_ = 0, score_capacity_ = 0;
    Buffer x_;               // [tokens][hidden_columns_]: the residual stream
    Buffer q_, k_, v_;       // [tokens][q_columns_], [tokens][kv_columns_]
    Buffer rotations_;       // [tokens][rotations][2][pairs]: cosines, sines
    Buffer branch_;          // [tokens][hidden_columns_]: what a part of a layer adds to x_, where it needs a buffer
    Buffer zeros_;           // [hidden_columns_], the bias of layer norms that have none
    Buffer gates_;           // [tokens][gate_columns()]
    ActivationRows inputs_;  // of products with hidden or attended columns
    ActivationRows inner_;   // of products with the feed-forward layers' inner columns
    std::shared_ptr<Buffer> logits_ = std::make_shared<Buffer>();  // a caller may hold it after it was replaced
    std::vector<Scratch> scratch_;                                 // [threads]
    TokenPlan plan_;
    std::vector<int32_t> likeliest_;
    std::vector<float> highest_;
    Scoring scoring_;

    // Layers from tail_layer_ on have no keys and values of their own, so they are computed for the rows alone of which
    // logits or scores are wanted. -1: the step has no such rows to leave out.
    int tail_layer_ = -1;
    BatchView tail_batch_{};
    TokenPlan tail_plan_;
    std::vector<int32_t> wanted_rows_, tail_starts_, tail_contexts_, tail_rows_;

    Buffer low_rank_;  // adapters: [gate, up][tokens][max_rank]
    Buffer aside_;     // [tokens][hidden_columns_]: rows of adapted tokens, while a product with a gain is computed

    // Experts. A token fills one slot for each expert that it takes; an expert's slots are neighbours.
    //
    //   choices_ [tokens][experts_per_token]     token 0: {2, 5}   token 1: {2, 7}
    //   slots, by expert                         0: token 0 (2)   1: token 1 (2)   2: token 0 (5)   3: token 1 (7)
    std::vector<ExpertChoice> choices_;  // ascending by expert for each token
    std::vector<int> slot_token_;        // [slots]
    std::vector<int> choice_slot_;       // [choices]
    std::vector<int> expert_slots_;      // [num_experts + 1], where an expert's slots begin
    std::vector<ExpertUnit> expert_units_;
    ActivationRows expert_inputs_;     // [slots][hidden_columns_]
    Buffer router_logits_;             // [tokens][router_stride()]
    Buffer expert_outputs_;            // [slots][hidden_columns_]
    std::vector<float> shared_gates_;  // [tokens], the factor of the shared expert's output

    Buffer shared_outputs_;  // [tokens][hidden_columns_], of a shared expert that has a norm of its own

    // The inputs that layers get of the tokens: [tokens][all_layer_inputs_columns_], layer after layer; and what one
    // layer makes of the residual stream for it: [tokens][layer_input_columns_].
    Buffer layer_inputs_, input_gates_;

    // Residual streams, as the layer has predicted or corrected them: [tokens][residual_streams][hidden_columns_]. The
    // layer itself works on x_.
    Buffer streams_;
    Buffer laurel_;     // [tokens][laurel_columns_]
    Buffer cut_gates_;  // [tokens][intermediate_columns_], of layers whose gates are cut off

    // Recurrent layers.
    Buffer mix_, mix_in_;          // [tokens][mix_columns_]
    Buffer decays_, corrections_;  // [tokens][step_stride()]
    Buffer recurred_;              // [tokens][recurrent_heads][padded_value_size()]

    Profile profile_;
};

}  // namespace llmos
