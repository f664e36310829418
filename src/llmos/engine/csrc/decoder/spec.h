// A decoder-only transformer, described: the fields of engine/spec.py's DecoderSpec that the forward pass needs.
#pragma once

#include <vector>

#include "kernels.h"

namespace llmos {

// What queries and keys are normalized over before the rotation: nothing, a head with weights that all heads share, a
// head with weights of its own, or all heads together.
enum class QKNorm { none, head, each_head, whole };

struct Spec {
    // What differs from layer to layer.
    struct Layer {
        int sliding_window;  // 0: none
        int rotation;        // index into inverse_frequencies; -1: none
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

    int heads_per_kv_head() const { return num_heads / num_kv_heads; }
    int num_pairs() const { return inverse_frequencies.empty() ? 0 : int(inverse_frequencies[0].size()); }
    // Whether the outputs of attention and feed-forward need a buffer before they are added to the residual stream.
    bool has_branch() const { return post_norm || parallel_residual || residual_multiplier != 1; }
};

// The matrices of a layer, and embed, positions and head outside the layers.
enum class Weight { q, k, v, o, gate, up, down, router, embed, positions, head };

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
    count
};

}  // namespace llmos
