// A decoder-only transformer, described: the fields of engine/spec.py's DecoderSpec that the forward pass needs.
#pragma once

#include <cmath>
#include <vector>

#include "kernels.h"

namespace llmos {

// The columns over which queries and keys are normalized before the rotation: none, a head with weights that all heads
// share, a head with weights of its own, or all heads together.
enum class QKNorm { none, head, each_head, whole };

// The operation of recurrent layers in place of attention; see engine/spec.py.
enum class Recurrence { none, convolution, delta, mamba };

struct Spec {
    // The settings that differ from layer to layer.
    struct Layer {
        int sliding_window;  // 0: none
        int rotation;        // index into inverse_frequencies; -1: none
        bool has_experts;
        int num_kv_heads, head_dim, inner_size;
        float gate_cutoff;          // in standard deviations above the mean; minus infinity: none
        int keys_of;                // the layer whose keys and values it attends to
        bool has_keys, has_values;  // whether it has matrices for them
        int heads_kind;             // index of num_kv_heads among kv_head_counts
        int recurrent_index;        // among the recurrent layers; -1: a layer with attention

        bool is_recurrent() const { return recurrent_index >= 0; }
        int kv_size() const { return num_kv_heads * head_dim; }
    };

    int vocab_size, hidden_size, num_layers, num_heads, intermediate_size, max_positions;
    int head_dim, kv_size;                            // of the layers that have the largest
    int num_experts, experts_per_token, expert_size;  // zeros without experts
    bool norms_experts, normalizes_experts, router_bias, corrects_router, is_router_sigmoid, gates_shared_expert;
    int expert_groups, chosen_groups, shared_expert_size;
    float expert_multiplier;
    bool layer_norm;
    float norm_eps;
    ActivationKind activation;
    bool gated, learned_positions, tied_head, qkv_bias, output_bias, mlp_bias, pre_norm, post_norm, parallel_residual;
    bool norm_bias, norms_residual, embed_norm, skips_first_norm, token_type, is_causal, has_head;
    bool head_bias, norms_rotated_heads, norms_values, attention_sinks, attention_gate, scales_layers;
    QKNorm qk_norm;
    float embedding_multiplier, residual_multiplier, logit_multiplier, score_scale, rope_attention_factor;
    float attention_softcap, logit_softcap;  // 0: none
    float
        query_growth;  // queries are multiplied by 1 + query_growth * ln(1 + floor(position / query_growth_positions))
    int query_growth_positions;
    Recurrence recurrence;
    int num_recurrent_layers, conv_size;  // those of the stage
    int first_recurrent_layer;            // recurrent layers before the stage
    int recurrent_heads, recurrent_key_heads, recurrent_key_size, recurrent_value_size;  // zeros for a convolution
    bool conv_bias, tiles_key_heads;
    float least_step, greatest_step;
    int layer_input_size, layer_input_vocab, laurel_size;  // zeros without
    static constexpr int max_streams = 16;
    int residual_streams;
    // The stage, which is all layers unless the model is split: the layers [first_layer, end_layer). The stage of the
    // first layer is home: it embeds the tokens, and has the final norm and the head.
    int first_layer, end_layer;
    std::vector<Layer> layers;
    std::vector<int> kv_head_counts;                       // of all layers, each once
    std::vector<std::vector<double>> inverse_frequencies;  // [rotations][pairs], scaled already

    bool is_split() const { return end_layer - first_layer < num_layers; }
    bool is_home() const { return first_layer == 0; }
    bool is_last() const { return end_layer == num_layers; }
    bool computes(int layer) const { return layer >= first_layer && layer < end_layer; }
    // True if a layer from `first` on and before `end` attends to keys that layer `from` computes.
    bool lends_keys(int from, int first, int end) const {
        for (int i = first; i < end; ++i)
            if (i != from && !layers[size_t(i)].is_recurrent() && layers[size_t(i)].keys_of == from) return true;
        return false;
    }
    // True if the stage writes the layer's keys and values into its cache: its own, or those of an earlier stage that a
    // layer of this one attends to.
    bool caches(int layer) const {
        const Layer& at = layers[size_t(layer)];
        if (at.is_recurrent() || !at.has_keys) return false;
        return computes(layer) || (layer < first_layer && lends_keys(layer, first_layer, end_layer));
    }
    // True if a layer before this boundary has keys that layers behind it attend to.
    bool carries_keys(int layer, int boundary) const {
        return layer < boundary && !layers[size_t(layer)].is_recurrent() && layers[size_t(layer)].has_keys &&
               lends_keys(layer, boundary, num_layers);
    }
    void restrict_to(int first, int end);

    int num_pairs(int rotation) const { return rotation < 0 ? 0 : int(inverse_frequencies[size_t(rotation)].size()); }
    // Floats of the cosines and sines of all rotations before this one.
    int rotation_offset(int rotation) const {
        int offset = 0;
        for (int r = 0; r < rotation; ++r) offset += 2 * num_pairs(r);
        return offset;
    }
    // True if the outputs of attention and feed-forward need a buffer before they are added to the residual stream.
    bool has_branch() const {
        return post_norm || parallel_residual || residual_multiplier != 1 || shared_expert_size > 0;
    }
    int recurrent_keys() const { return recurrent_key_heads * recurrent_key_size; }
    // Columns of a recurrent layer's output projection, and channels of its convolution.
    int recurrent_size() const {
        return recurrence == Recurrence::convolution ? hidden_size : recurrent_heads * recurrent_value_size;
    }
    bool has_norm_bias() const { return layer_norm && norm_bias; }
    int num_outputs() const { return has_head ? vocab_size : hidden_size; }
    bool has_streams() const { return residual_streams > 1; }
    bool cuts_gates() const {
        for (const Layer& layer : layers)
            if (std::isfinite(layer.gate_cutoff)) return true;
        return false;
    }
    int all_layer_inputs() const { return num_layers * layer_input_size; }
    int conv_channels() const { return recurrent_size() + 2 * recurrent_keys(); }
};

// The matrices of a layer, and embed, positions and head outside the layers.
enum class Weight {
    q,
    k,
    v,
    o,
    gate,
    up,
    down,
    router,
    q_gate,
    mix,
    mix_in,
    mix_gate,
    step,
    beta,
    input_gate,
    input_projection,
    laurel_down,
    laurel_up,
    stream_projection,
    stream_output,
    layer_embed,
    layer_embed_projection,
    embed,
    positions,
    head
};

// The vectors of a layer, and final_norm and final_norm_bias outside the layers.
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
    head_bias,
    types,
    embed_norm,
    embed_norm_bias,
    sinks,
    q_gate_bias,
    router_bias,
    router_correction,
    shared_router,
    conv,
    conv_bias,
    step_bias,
    decay,
    skip,
    mix_norm,
    router_norm,
    experts_norm,
    experts_post_norm,
    shared_post_norm,
    expert_scale,
    input_norm,
    scale,
    layer_embed_norm,
    laurel_norm,
    stream_router,
    stream_router_norm,
    stream_predict,
    stream_correct,
    stream_scale,
    count
};

}  // namespace llmos
