// Checks a spec from Python; knows no weights.
#include "bindings/decoder_spec.h"

#include <nanobind/stl/pair.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace llmos {
namespace {

Spec::Layer layer_from(nb::handle fields, int index) {
    const nb::object window = fields.attr("window_of")(index), rotation = fields.attr("rotation_of")(index);
    const auto number = [&](const char* name) { return nb::cast<int>(fields.attr(name)(index)); };
    const auto flag = [&](const char* name) { return nb::cast<bool>(fields.attr(name)(index)); };
    Spec::Layer layer{};
    layer.sliding_window = window.is_none() ? 0 : nb::cast<int>(window);
    layer.rotation = rotation.is_none() ? -1 : nb::cast<int>(rotation);
    layer.has_experts = flag("has_experts");
    layer.num_kv_heads = number("kv_heads_of");
    layer.head_dim = number("head_dim_of");
    layer.inner_size = number("inner_size_of");
    layer.gate_cutoff = nb::cast<float>(fields.attr("gate_cutoff_of")(index));
    layer.keys_of = number("keys_of");
    layer.has_keys = flag("has_keys");
    layer.has_values = flag("has_values");
    layer.recurrent_index = -1;
    require(layer.sliding_window >= 0 && layer.sliding_window <= max_size, "a sliding window must be positive");
    require(layer.num_kv_heads > 0 && layer.num_kv_heads <= max_size && layer.head_dim > 0 && layer.head_dim <= 65536,
            "a layer's heads have no valid size");
    require(layer.inner_size > 0 && layer.inner_size <= max_size, "intermediate_size must be positive");
    require(layer.keys_of >= 0 && layer.keys_of <= index && layer.has_keys == (layer.keys_of == index),
            "a layer attends to its own keys or those of an earlier layer");
    return layer;
}

// Reads the settings that all layers have in common, and how the layers' heads relate to each other.
void read_layers(nb::handle fields, Spec& spec) {
    for (int i = 0; i < spec.num_layers; ++i) {
        Spec::Layer layer = layer_from(fields, i);
        const auto found = std::find(spec.kv_head_counts.begin(), spec.kv_head_counts.end(), layer.num_kv_heads);
        layer.heads_kind = int(found - spec.kv_head_counts.begin());
        if (found == spec.kv_head_counts.end()) spec.kv_head_counts.push_back(layer.num_kv_heads);
        require(spec.num_heads % layer.num_kv_heads == 0, "num_heads must be a multiple of num_kv_heads");
        require(layer.inner_size <= spec.intermediate_size, "intermediate_size must be that of the largest layer");
        spec.head_dim = std::max(spec.head_dim, layer.head_dim);
        spec.kv_size = std::max(spec.kv_size, layer.kv_size());
        spec.layers.push_back(layer);
        const Spec::Layer& keys = spec.layers[size_t(layer.keys_of)];
        require(keys.has_keys && keys.num_kv_heads == layer.num_kv_heads && keys.head_dim == layer.head_dim,
                "a layer's queries must fit the keys that they attend to");
    }
}

void read_layer_inputs(nb::handle fields, Spec& spec) {
    spec.scales_layers = nb::cast<bool>(fields.attr("scales_layers"));
    if (!nb::cast<int>(fields.attr("layer_input_size"))) return;
    spec.layer_input_size = size_field(fields, "layer_input_size");
    spec.layer_input_vocab = size_field(fields, "layer_input_vocab");
    require(int64_t(spec.num_layers) * spec.layer_input_size <= max_size, "layer_input_size is too large");
}

void read_streams(nb::handle fields, Spec& spec) {
    if (nb::cast<int>(fields.attr("laurel_size"))) spec.laurel_size = size_field(fields, "laurel_size");
    spec.residual_streams = size_field(fields, "residual_streams");
    require(spec.residual_streams <= Spec::max_streams, "there are too many residual streams");
    require(int64_t(spec.residual_streams) * spec.hidden_size <= max_size, "residual_streams is too large");
    require(!spec.has_streams() || spec.layer_input_size, "residual streams go with inputs of layers");
    require(!spec.laurel_size || spec.has_streams(), "a product of low rank goes with several residual streams");
    require(!spec.has_streams() || (!spec.scales_layers && !spec.num_experts), "residual streams have dense layers");
}

QKNorm qk_norm_from(nb::handle field) {
    if (field.is_none()) return QKNorm::none;
    return lookup<QKNorm>({{"head", QKNorm::head}, {"each_head", QKNorm::each_head}, {"whole", QKNorm::whole}},
                          nb::cast<std::string>(field));
}

void read_experts(nb::handle fields, Spec& spec) {
    spec.normalizes_experts = nb::cast<bool>(fields.attr("normalizes_experts"));
    if (!nb::cast<int>(fields.attr("num_experts"))) return;
    spec.num_experts = size_field(fields, "num_experts");
    spec.experts_per_token = size_field(fields, "experts_per_token");
    spec.expert_size = size_field(fields, "expert_size");
    require(spec.num_experts <= 65536 && spec.experts_per_token <= spec.num_experts,
            "a token takes some of the experts");
    require(int64_t(spec.experts_per_token) * max_batch_tokens <= INT32_MAX, "experts_per_token is too large");
    spec.router_bias = nb::cast<bool>(fields.attr("router_bias"));
    spec.corrects_router = nb::cast<bool>(fields.attr("corrects_router"));
    spec.is_router_sigmoid =
        lookup<bool>({{"softmax", false}, {"sigmoid", true}}, nb::cast<std::string>(fields.attr("router_score")));
    spec.gates_shared_expert = nb::cast<bool>(fields.attr("gates_shared_expert"));
    spec.norms_experts = nb::cast<bool>(fields.attr("norms_experts"));
    spec.expert_groups = size_field(fields, "expert_groups");
    spec.chosen_groups = size_field(fields, "chosen_groups");
    spec.expert_multiplier = nb::cast<float>(fields.attr("expert_multiplier"));
    if (nb::cast<int>(fields.attr("shared_expert_size")))
        spec.shared_expert_size = size_field(fields, "shared_expert_size");
    require(!(spec.gates_shared_expert || spec.norms_experts) || spec.shared_expert_size, "there is no shared expert");
    require(spec.num_experts % spec.expert_groups == 0 && spec.chosen_groups <= spec.expert_groups &&
                spec.experts_per_token <= spec.num_experts / spec.expert_groups * spec.chosen_groups,
            "a token's experts are in the chosen groups");
}

void read_recurrence(nb::handle fields, Spec& spec) {
    const nb::object layers = fields.attr("recurrent_layers");
    if (!nb::len(layers)) return;
    for (const int layer : nb::cast<std::vector<int>>(layers)) {
        require(layer >= 0 && layer < spec.num_layers && !spec.layers[size_t(layer)].is_recurrent(),
                "recurrent_layers are indexes of layers");
        spec.layers[size_t(layer)].recurrent_index = spec.num_recurrent_layers++;
    }
    spec.recurrence = lookup<Recurrence>(
        {{"conv", Recurrence::convolution}, {"delta", Recurrence::delta}, {"mamba", Recurrence::mamba}},
        nb::cast<std::string>(fields.attr("recurrence")));
    spec.conv_size = size_field(fields, "conv_size");
    spec.tiles_key_heads = nb::cast<bool>(fields.attr("tiles_key_heads"));
    spec.conv_bias = nb::cast<bool>(fields.attr("conv_bias"));
    require(spec.conv_size <= ConvolutionArgs::max_taps, "conv_size is too large");
    if (spec.recurrence == Recurrence::convolution) return;
    spec.recurrent_heads = size_field(fields, "recurrent_heads");
    spec.recurrent_key_heads = size_field(fields, "recurrent_key_heads");
    spec.recurrent_key_size = size_field(fields, "recurrent_key_size");
    spec.recurrent_value_size = size_field(fields, "recurrent_value_size");
    std::tie(spec.least_step, spec.greatest_step) = nb::cast<std::pair<float, float>>(fields.attr("step_limits"));
    require(spec.recurrent_heads % spec.recurrent_key_heads == 0,
            "recurrent_heads must be a multiple of the key heads");
    for (const int heads : {spec.recurrent_heads, spec.recurrent_key_heads})
        require(heads <= 65536 && spec.recurrent_key_size <= 65536 && spec.recurrent_value_size <= 65536 &&
                    int64_t(heads) * std::max(spec.recurrent_key_size, spec.recurrent_value_size) <= max_size / 4,
                "the states are too large");
}

void check(const Spec& spec) {
    require(!spec.norms_residual || !(spec.pre_norm || spec.post_norm || spec.parallel_residual || spec.has_head),
            "a normalized residual stream has no other norms");
    require(spec.is_causal || !spec.num_recurrent_layers, "a recurrence is causal");
    require(!spec.shared_expert_size || !spec.mlp_bias, "a shared expert has no biases");
    require(spec.num_recurrent_layers < spec.num_layers, "one layer at least has attention");
    require(!spec.num_recurrent_layers || !spec.has_streams(), "recurrent layers have one residual stream");
    require(spec.activation != ActivationKind::clamped_swiglu || spec.gated, "clamped_swiglu has a gate");
    require(!spec.cuts_gates() || spec.gated, "a gate that is cut off needs a gate");
    require(!spec.post_norm || !spec.parallel_residual,
            "norms after the parts of a layer need one part after the other");
    require(spec.qk_norm != QKNorm::whole || !spec.layer_norm, "a norm over all heads is an RMS norm");
    require(!spec.norms_rotated_heads || spec.qk_norm == QKNorm::head, "a norm after the rotation is over each head");
    require(!spec.norms_experts || (spec.post_norm && !spec.layer_norm),
            "norms of experts go with RMS norms of layers");
    require(!spec.layer_input_size || (spec.post_norm && !spec.layer_norm), "inputs of layers go with RMS norms");
    require(!spec.scales_layers || spec.post_norm, "scaled layers have norms after their parts");
    require(!spec.norms_values || !spec.layer_norm, "values are normalized by an RMS norm");
    require(int64_t(spec.num_heads) * spec.head_dim <= max_size, "num_heads * head_dim is too large");
    for (const Spec::Layer& layer : spec.layers) {
        require(layer.has_values || !layer.has_keys || spec.qk_norm != QKNorm::whole,
                "keys that are values are normalized head by head");
        require(!layer.is_recurrent() || layer.has_keys, "a recurrent layer shares no keys");
        require(!spec.layers[size_t(layer.keys_of)].is_recurrent() || layer.is_recurrent(),
                "a recurrent layer has no keys");
    }
    require(int64_t(spec.num_heads) * max_batch_tokens <= INT32_MAX, "num_heads is too large");
}

}  // namespace

Spec decoder_spec_from(nb::handle fields, const Stage& stage) {
    const auto number = [&](const char* name) { return size_field(fields, name); };
    const auto flag = [&](const char* name) { return nb::cast<bool>(fields.attr(name)); };
    const auto real = [&](const char* name) { return nb::cast<float>(fields.attr(name)); };
    const auto real_or_zero = [&](const char* name) { return fields.attr(name).is_none() ? 0 : real(name); };
    const auto text = [&](const char* name) { return nb::cast<std::string>(fields.attr(name)); };
    Spec spec{};
    spec.vocab_size = number("vocab_size");
    spec.hidden_size = number("hidden_size");
    spec.num_layers = number("num_layers");
    spec.num_heads = number("num_heads");
    for (const char* size : {"num_kv_heads", "head_dim"}) number(size);  // those of a layer are read with the layer
    spec.intermediate_size = number("intermediate_size");
    spec.max_positions = number("max_positions");
    read_experts(fields, spec);
    spec.layer_norm = lookup<bool>({{"rmsnorm", false}, {"layernorm", true}}, text("norm"));
    spec.norm_eps = real("norm_eps");
    spec.activation = lookup(activations_by_name, text("activation"));
    spec.gated = flag("gated");
    spec.learned_positions = flag("learned_positions");
    spec.pre_norm = flag("pre_norm");
    spec.post_norm = flag("post_norm");
    spec.parallel_residual = flag("parallel_residual");
    spec.qk_norm = qk_norm_from(fields.attr("qk_norm"));
    spec.embedding_multiplier = real("embedding_multiplier");
    spec.residual_multiplier = real("residual_multiplier");
    spec.logit_multiplier = real("logit_multiplier");
    spec.logit_softcap = real_or_zero("logit_softcap");
    spec.score_scale = real("score_scale");
    spec.attention_softcap = real_or_zero("attention_softcap");
    spec.rope_attention_factor = real("rope_attention_factor");
    spec.tied_head = flag("tied_head");
    spec.qkv_bias = flag("qkv_bias");
    spec.output_bias = flag("output_bias");
    spec.mlp_bias = flag("mlp_bias");
    spec.head_bias = flag("head_bias");
    spec.norm_bias = flag("norm_bias");
    spec.norms_residual = flag("norms_residual");
    spec.embed_norm = flag("embed_norm");
    spec.skips_first_norm = flag("skips_first_norm");
    spec.token_type = flag("token_type");
    spec.is_causal = flag("is_causal");
    spec.has_head = flag("has_head");
    spec.norms_rotated_heads = flag("norms_rotated_heads");
    spec.norms_values = flag("norms_values");
    spec.attention_sinks = flag("attention_sinks");
    spec.attention_gate = flag("attention_gate");
    spec.query_growth = real("query_growth");
    spec.query_growth_positions = number("query_growth_positions");
    read_layers(fields, spec);
    read_layer_inputs(fields, spec);
    read_streams(fields, spec);
    read_recurrence(fields, spec);
    check(spec);
    const auto [first, end] = stage.value_or(std::pair(0, spec.num_layers));
    require(0 <= first && first < end && end <= spec.num_layers, "a stage is a range of layers");
    require(!stage || (spec.has_head && spec.is_causal), "only models with a head are split");
    spec.restrict_to(first, end);
    return spec;
}

Spec decoder_spec_from(nb::handle fields, std::vector<std::vector<double>> inverse_frequencies, const Stage& stage) {
    Spec spec = decoder_spec_from(fields, stage);
    for (const Spec::Layer& layer : spec.layers) {
        require(layer.rotation < int(inverse_frequencies.size()), "a layer's rotation is not in inverse_frequencies");
        require(layer.rotation < 0 || inverse_frequencies[size_t(layer.rotation)].size() * 2 <= size_t(layer.head_dim),
                "more rotated pairs than half of head_dim");
    }
    spec.inverse_frequencies = std::move(inverse_frequencies);
    return spec;
}

}  // namespace llmos
