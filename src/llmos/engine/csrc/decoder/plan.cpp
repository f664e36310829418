// What the threads share in a step, decided before it begins: the tokens' sequences, units of attention, adapted
// tokens.

#include <algorithm>

#include "decoder/decoder.h"

namespace llmos {

void Decoder::plan_tokens(const BatchView& batch) {
    token_sequence_.resize(size_t(batch.num_tokens));
    token_position_.resize(size_t(batch.num_tokens));
    for (int s = 0; s < batch.num_sequences; ++s)
        for (int t = batch.starts[s]; t < batch.starts[s + 1]; ++t) {
            token_sequence_[size_t(t)] = s;
            token_position_[size_t(t)] = batch.context_lengths[s] + t - batch.starts[s];
        }
}

// A unit has as many query heads of one key/value head as the kernel takes rows, then as many tokens as still fit.
// Where there is too little work for all threads, every query head is a unit.
void Decoder::plan_attention(const BatchView& batch) {
    attention_units_.resize(spec_.kv_head_counts.size());
    for (size_t kind = 0; kind < attention_units_.size(); ++kind) {
        const int num_kv_heads = spec_.kv_head_counts[kind], group = spec_.num_heads / num_kv_heads;
        const bool is_little = batch.num_tokens * num_kv_heads < 4 * pool_.size();
        const int heads = is_little ? 1 : std::min(group, AttentionArgs::max_rows);
        const int tokens = AttentionArgs::max_rows / heads;
        std::vector<AttentionUnit>& units = attention_units_[kind];
        units.clear();
        for (int s = 0; s < batch.num_sequences; ++s)
            for (int t = batch.starts[s]; t < batch.starts[s + 1]; t += tokens)
                for (int kv_head = 0; kv_head < num_kv_heads; ++kv_head)
                    for (int h = 0; h < group; h += heads)
                        units.push_back({s, t, std::min(tokens, batch.starts[s + 1] - t), kv_head * group + h,
                                         std::min(heads, group - h)});
    }
}

void Decoder::plan_adapters(const BatchView& batch) {
    token_adapter_.clear();
    adapted_tokens_.clear();
    has_gains_ = false;
    if (!batch.adapters) return;
    token_adapter_.resize(size_t(batch.num_tokens));
    for (int t = 0; t < batch.num_tokens; ++t) {
        const int index = batch.adapters[token_sequence_[size_t(t)]];
        if (index < 0) continue;
        token_adapter_[size_t(t)] = adapters_[size_t(index)].get();
        adapted_tokens_.push_back(t);
        has_gains_ |= token_adapter_[size_t(t)]->has_gains;
    }
    const size_t bytes = 2 * size_t(token_capacity_) * Adapter::max_rank * sizeof(float);
    if (low_rank_.bytes() < bytes) low_rank_ = Buffer(bytes);
    const size_t aside_bytes = has_gains_ ? size_t(token_capacity_) * hidden_columns_ * sizeof(float) : 0;
    if (aside_.bytes() < aside_bytes) aside_ = Buffer(aside_bytes);
}

}  // namespace llmos
