// A mixture of experts: rows are gathered by expert, and a token's outputs are added in the order of its experts.

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "decoder/pass.h"

namespace llmos {
namespace {

constexpr float taken = -std::numeric_limits<float>::infinity();

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

void Decoder::Pass::experts(const Layer& layer) {
    const FeedForward& first = layer.experts[0];  // all experts are packed alike
    InputFormats formats = input_formats(first.up);
    if (spec_.gated) formats.add(first.gate);
    const Activations inputs = decoder_.inputs_.view(decoder_.hidden_columns_);
    const Activations in = decoder_.expert_inputs_.view(decoder_.hidden_columns_);
    const Activations inner = decoder_.inner_.view(decoder_.expert_columns_);
    route(layer, inputs, formats);
    for_each(Region::route, num_tokens() * spec_.experts_per_token, 4,
             [&](int slot) { copy_row(inputs, decoder_.slot_token_[size_t(slot)], in, slot, formats); });

    const InputFormats inner_formats = input_formats(first.down);
    const int num_units = int(decoder_.expert_units_.size()), num_blocks = inner.blocks();
    for_each(Region::gate_up, num_units * num_blocks, 2, [&](int i) {
        const ExpertUnit& unit = decoder_.expert_units_[size_t(i / num_blocks)];
        const int columns = decoder_.expert_columns_;
        const InnerWeights from{layer.experts[size_t(unit.expert)],
                                expert_bias(layer, Vector::gate_bias, unit.expert, columns),
                                expert_bias(layer, Vector::up_bias, unit.expert, columns),
                                -1,
                                nullptr,
                                nullptr};
        inner_block(from, in, i % num_blocks, unit.first_slot, unit.last_slot, inner, inner_formats);
    });
    const int num_groups = first.down.groups(), group_step = 4;
    const int num_steps = (num_groups + group_step - 1) / group_step;
    for_each(Region::down, num_units * num_steps, 1, [&](int i) {
        const ExpertUnit& unit = decoder_.expert_units_[size_t(i / num_steps)];
        const int from = i % num_steps * group_step, to = std::min(from + group_step, num_groups);
        kernels_.matmul({&layer.experts[size_t(unit.expert)].down, &inner, unit.first_slot, unit.last_slot, from, to,
                         expert_bias(layer, Vector::down_bias, unit.expert, decoder_.hidden_columns_),
                         expert_output(unit.first_slot) + size_t(from) * group_rows, decoder_.hidden_columns_, false});
    });
    for_each(Region::down, num_tokens(), 4, [&](int t) {
        add_expert_outputs(t);
        if (spec_.norms_experts) norm(branch(t), layer[Vector::experts_post_norm], nullptr, branch(t));
    });
    if (spec_.has_branch() && !spec_.shared_expert_size)
        add_branch(Region::down, layer[Vector::mlp_post_norm], layer[Vector::mlp_post_norm_bias],
                   scale_at_end(layer, !spec_.layer_input_size));
}

// Normalizes the tokens' rows, chooses each token's experts, and gives every choice a slot.
void Decoder::Pass::route(const Layer& layer, const Activations& inputs, InputFormats formats) {
    const int rows = num_tokens();
    const auto input = [&](int t) { return inputs.values + size_t(t) * inputs.columns; };  // the router reads floats
    const auto quantize = [&](int t) {
        if (formats.int8) kernels_.quantize(input(t), inputs, t, 0, inputs.blocks());
    };
    const float root = 1 / std::sqrt(float(spec_.hidden_size));
    for_each(Region::norm, rows, 4, [&](int t) {
        if (spec_.norms_experts) {
            norm(x(t), layer[Vector::router_norm], nullptr, input(t));
            for (int c = 0; c < inputs.columns; ++c) input(t)[c] *= root;
            return;
        }
        read_input(t, layer[Vector::mlp_norm], layer[Vector::mlp_norm_bias], input(t));
        quantize(t);
    });
    const Split split(rows);
    const Segment router[] = {
        {&layer.router, layer[Vector::router_bias], decoder_.router_logits_.as<float>(), decoder_.router_stride()}};
    open_phase(Region::route, split.count(layer.router.groups()));
    project(split, inputs, router, false);
    for_each(Region::route, rows, 4, [&](int t) {
        choose_experts(layer, input(t), t);
        if (!spec_.norms_experts) return;
        norm(x(t), layer[Vector::experts_norm], nullptr, input(t));
        quantize(t);
    });
    for_each(Region::route, 1, 1, [&](int) { decoder_.assign_expert_slots(rows); });
}

// Takes the experts of the highest rank, of equal ones the first. Their weights are their scores, relative to the total
// of all experts, or of the chosen ones where the spec normalizes them; sigmoids are weights as they are.
void Decoder::Pass::choose_experts(const Layer& layer, const float* input, int token) {
    const float* logits = decoder_.router_logits_.as<float>() + size_t(token) * decoder_.router_stride();
    const int count = spec_.num_experts;
    float *scores = scratch().expert_scores.as<float>(), *ranks = scores + count;
    const float highest = *std::max_element(logits, logits + count);
    float total = 0, chosen = 0;
    for (int e = 0; e < count; ++e)
        total += scores[e] = spec_.is_router_sigmoid ? sigmoid(logits[e]) : std::exp(logits[e] - highest);
    rank_experts(layer, scores, ranks);
    ExpertChoice* choices = decoder_.choices_.data() + size_t(token) * spec_.experts_per_token;
    for (int c = 0; c < spec_.experts_per_token; ++c) {
        const int best = int(std::max_element(ranks, ranks + count) - ranks);
        choices[c] = {best, scores[best]};
        chosen += scores[best];
        ranks[best] = taken;
    }
    std::sort(choices, choices + spec_.experts_per_token,
              [](const ExpertChoice& a, const ExpertChoice& b) { return a.expert < b.expert; });
    const float divisor = spec_.normalizes_experts ? chosen : spec_.is_router_sigmoid ? 1 : total;
    for (int c = 0; c < spec_.experts_per_token; ++c)
        choices[c].weight = choices[c].weight / divisor * spec_.expert_multiplier;
    if (const float* scales = layer[Vector::expert_scale])
        for (int c = 0; c < spec_.experts_per_token; ++c) choices[c].weight *= scales[choices[c].expert];
    if (!spec_.gates_shared_expert) return;
    float gate = 0;
    for (int c = 0; c < spec_.hidden_size; ++c) gate += layer[Vector::shared_router][c] * input[c];
    decoder_.shared_gates_[size_t(token)] = sigmoid(gate);
}

// The rank is the score and the expert's correction; `taken` for the experts of groups that are not chosen.
void Decoder::Pass::rank_experts(const Layer& layer, const float* scores, float* ranks) const {
    const int count = spec_.num_experts, size = count / spec_.expert_groups;
    const float* corrections = layer[Vector::router_correction];
    for (int e = 0; e < count; ++e) ranks[e] = corrections ? scores[e] + corrections[e] : scores[e];
    if (spec_.expert_groups == 1) return;
    float* groups = ranks + count;
    for (int g = 0; g < spec_.expert_groups; ++g) {
        float first = taken, second = taken;
        for (int e = g * size; e < (g + 1) * size; ++e)
            if (ranks[e] > first) second = std::exchange(first, ranks[e]);
            else second = std::max(second, ranks[e]);
        groups[g] = size > 1 ? first + second : first;
    }
    for (int dropped = spec_.chosen_groups; dropped < spec_.expert_groups; ++dropped) {
        // Among equal groups, the last is dropped.
        int worst = 0;
        for (int g = 1; g < spec_.expert_groups; ++g)
            if (groups[g] <= groups[worst]) worst = g;
        groups[worst] = std::numeric_limits<float>::infinity();
        std::fill_n(ranks + worst * size, size, taken);
    }
}

void Decoder::Pass::copy_row(const Activations& from, int row, const Activations& to, int slot,
                             InputFormats formats) const {
    const size_t columns = size_t(from.columns), blocks = size_t(from.blocks());
    const auto copy = [&](const auto* source, auto* target, size_t count) {
        std::copy_n(source + size_t(row) * count, count, target + size_t(slot) * count);
    };
    if (formats.float32) copy(from.values, to.values, columns);
    if (!formats.int8) return;
    copy(from.quantized, to.quantized, columns);
    copy(from.scales, to.scales, blocks);
    copy(from.scaled_sums, to.scaled_sums, blocks);
    copy(from.sums, to.sums, blocks);
    copy(from.half_sums, to.half_sums, blocks);
}

void Decoder::Pass::add_expert_outputs(int token) {
    const int per_token = spec_.experts_per_token, columns = decoder_.hidden_columns_;
    float* out = output() + size_t(token) * columns;
    // With a parallel residual, the output already holds that of attention.
    if (spec_.has_branch() && !spec_.parallel_residual) std::fill_n(out, columns, 0.0f);
    for (int i = token * per_token; i < (token + 1) * per_token; ++i)
        kernels_.add_scaled(expert_output(decoder_.choice_slot_[size_t(i)]), columns,
                            decoder_.choices_[size_t(i)].weight, out);
}

// Gives every choice a slot, so that an expert's slots are neighbours, and cuts the slots into units of work.
void Decoder::assign_expert_slots(int num_tokens) {
    const int per_token = spec_.experts_per_token, num_slots = num_tokens * per_token;
    std::fill(expert_slots_.begin(), expert_slots_.end(), 0);
    for (int i = 0; i < num_slots; ++i) ++expert_slots_[size_t(choices_[size_t(i)].expert) + 1];
    expert_units_.clear();
    for (int e = 0; e < spec_.num_experts; ++e) {
        const int begin = expert_slots_[size_t(e)], end = expert_slots_[size_t(e) + 1] += begin;
        for (int first = begin; first < end; first += span_rows)
            expert_units_.push_back({e, first, std::min(first + span_rows, end)});
    }
    for (int i = 0; i < num_slots; ++i) {
        const int slot = expert_slots_[size_t(choices_[size_t(i)].expert)]++;
        slot_token_[size_t(slot)] = i / per_token;
        choice_slot_[size_t(i)] = slot;
    }
}

}  // namespace llmos
