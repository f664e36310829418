// The plan that the threads share in a step, decided before it begins: the tokens' sequences, units of attention,
// adapted tokens.

#include <algorithm>
#include <iterator>

#include "decoder/decoder.h"

namespace llmos {

void Decoder::plan(const BatchView& batch, TokenPlan& plan) {
    plan_tokens(batch, plan);
    plan_attention(batch, plan);
    plan_adapters(batch, plan);
}

// Returns whether the last layers need fewer rows than the batch has: logits and scores are wanted only of the last
// tokens of each sequence, if of any. Only the last stage leaves rows out: the others' keys may be wanted behind them.
bool Decoder::plan_tail(const BatchView& batch) {
    const auto has_keys = [](const Spec::Layer& layer) { return layer.has_keys; };
    const int first =
        std::max(int(std::find_if(spec_.layers.rbegin(), spec_.layers.rend(), has_keys).base() - spec_.layers.begin()),
                 spec_.first_layer);
    tail_layer_ = -1;
    if (!spec_.is_last() || first == spec_.num_layers || !spec_.is_causal) return false;
    const int32_t *logit_rows = batch.logit_rows, *end_of_rows = logit_rows + batch.num_logit_rows;
    wanted_rows_.clear();
    std::set_union(logit_rows, end_of_rows, scoring_.rows().begin(), scoring_.rows().end(),
                   std::back_inserter(wanted_rows_));
    const int num_wanted = int(wanted_rows_.size());
    if (num_wanted == batch.num_tokens) return false;
    tail_starts_.assign(1, 0);
    tail_contexts_.clear();
    int row = 0;
    for (int s = 0; s < batch.num_sequences; ++s) {
        const int end = batch.starts[s + 1], first_row = row;
        while (row < num_wanted && wanted_rows_[size_t(row)] < end) ++row;
        const int count = row - first_row;
        if (count && wanted_rows_[size_t(first_row)] != end - count) return false;
        tail_starts_.push_back(row);
        tail_contexts_.push_back(batch.context_lengths[s] + end - batch.starts[s] - count);
    }
    tail_rows_.clear();
    for (const int32_t* r = logit_rows; r != end_of_rows; ++r) tail_rows_.push_back(index_among(wanted_rows_, *r));
    scoring_.keep_rows(wanted_rows_);
    tail_layer_ = first;
    tail_batch_ = batch;
    tail_batch_.num_tokens = num_wanted;
    tail_batch_.starts = tail_starts_.data();
    tail_batch_.context_lengths = tail_contexts_.data();
    tail_batch_.logit_rows = tail_rows_.data();
    return true;
}

void Decoder::plan_tokens(const BatchView& batch, TokenPlan& plan) const {
    plan.token_sequence.resize(size_t(batch.num_tokens));
    plan.token_position.resize(size_t(batch.num_tokens));
    for (int s = 0; s < batch.num_sequences; ++s)
        for (int t = batch.starts[s]; t < batch.starts[s + 1]; ++t) {
            plan.token_sequence[size_t(t)] = s;
            plan.token_position[size_t(t)] = batch.context_lengths[s] + t - batch.starts[s];
        }
}

// A unit has as many query heads of one key/value head as the kernel takes rows, then as many tokens as still fit.
// If there is too little work for all threads, every query head is a unit.
void Decoder::plan_attention(const BatchView& batch, TokenPlan& plan) const {
    plan.attention_units.resize(spec_.kv_head_counts.size());
    for (size_t kind = 0; kind < plan.attention_units.size(); ++kind) {
        const int num_kv_heads = spec_.kv_head_counts[kind], group = spec_.num_heads / num_kv_heads;
        const bool is_little = batch.num_tokens * num_kv_heads < 4 * pool_.size();
        const int heads = is_little ? 1 : std::min(group, AttentionArgs::max_rows);
        const int tokens = AttentionArgs::max_rows / heads;
        std::vector<AttentionUnit>& units = plan.attention_units[kind];
        units.clear();
        for (int s = 0; s < batch.num_sequences; ++s)
            for (int t = batch.starts[s]; t < batch.starts[s + 1]; t += tokens)
                for (int kv_head = 0; kv_head < num_kv_heads; ++kv_head)
                    for (int h = 0; h < group; h += heads)
                        units.push_back({s, t, std::min(tokens, batch.starts[s + 1] - t), kv_head * group + h,
                                         std::min(heads, group - h)});
    }
}

void Decoder::plan_adapters(const BatchView& batch, TokenPlan& plan) {
    plan.token_adapter.clear();
    plan.adapted_tokens.clear();
    plan.has_gains = false;
    if (!batch.adapters) return;
    plan.token_adapter.resize(size_t(batch.num_tokens));
    for (int t = 0; t < batch.num_tokens; ++t) {
        const int index = batch.adapters[plan.token_sequence[size_t(t)]];
        if (index < 0) continue;
        plan.token_adapter[size_t(t)] = adapters_[size_t(index)].get();
        plan.adapted_tokens.push_back(t);
        plan.has_gains |= plan.token_adapter[size_t(t)]->has_gains;
    }
    const size_t bytes = 2 * size_t(token_capacity_) * Adapter::max_rank * sizeof(float);
    if (low_rank_.bytes() < bytes) low_rank_ = Buffer(bytes);
    const size_t aside_bytes = plan.has_gains ? size_t(token_capacity_) * hidden_columns_ * sizeof(float) : 0;
    if (aside_.bytes() < aside_bytes) aside_ = Buffer(aside_bytes);
}

}  // namespace llmos
