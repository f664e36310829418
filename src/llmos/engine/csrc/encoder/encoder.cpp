// A forward pass as the caller sees it: memory is reserved and the work is planned, then all threads run it.

#include "encoder/encoder.h"

#include <algorithm>

#include "encoder/pass.h"

namespace llmos {
namespace {

int blocks_of(int positions) { return (positions + block_positions - 1) / block_positions; }

}  // namespace

Encoder::Encoder(const Spec& spec, Pool& pool, const Kernels& kernels, CacheType cache_type)
    : spec_(spec),
      pool_(pool),
      kernels_(kernels),
      cache_layout_{cache_type, spec.head_dim},
      hidden_columns_(round_up(spec.hidden_size, block_columns)),
      q_columns_(round_up(spec.num_heads * spec.head_dim, block_columns)),
      intermediate_columns_(round_up(spec.intermediate_size, block_columns)),
      layers_(size_t(spec.num_layers)),
      scratch_(size_t(pool.size())) {
    for (Scratch& scratch : scratch_) {
        scratch.attention.reserve_heads(cache_layout_);
        scratch.row = Buffer(size_t(hidden_columns_) * sizeof(float));
        scratch.inner = Buffer(size_t(max_span_rows) * block_columns * sizeof(float));
    }
}

void Encoder::forward(const Batch& batch, float* out) {
    reserve(batch);
    plan(batch);
    pool_.run([&](int thread) { Pass(*this, batch, out, thread).run(); });
}

void Encoder::reserve(const Batch& batch) {
    if (batch.num_tokens > token_capacity_) {
        const int capacity = std::max(batch.num_tokens, 2 * token_capacity_);
        const size_t n = size_t(capacity);
        x_ = Buffer(n * hidden_columns_ * sizeof(float));
        q_ = Buffer(n * q_columns_ * sizeof(float));
        k_ = Buffer(n * q_columns_ * sizeof(float));
        v_ = Buffer(n * q_columns_ * sizeof(float));
        inputs_.reserve(capacity, std::max(hidden_columns_, q_columns_));
        inner_.reserve(capacity, intermediate_columns_);
        errors_.reserve(capacity, hidden_columns_);
        token_capacity_ = capacity;  // last: an allocation above may fail
    }
    int num_blocks = 0, longest = 0;
    for (int s = 0; s < batch.num_sequences; ++s) {
        num_blocks += blocks_of(batch.length(s));
        longest = std::max(longest, batch.length(s));
    }
    if (num_blocks > block_capacity_) {
        const int capacity = std::max(num_blocks, 2 * block_capacity_);
        cache_ = Buffer(size_t(capacity) * spec_.num_heads * cache_layout_.bytes());
        block_capacity_ = capacity;
    }
    if (longest > score_capacity_) {
        const int capacity = round_up(std::max(longest, 2 * score_capacity_), block_positions);
        for (Scratch& scratch : scratch_) scratch.attention.reserve_scores(capacity);
        block_table_.resize(size_t(capacity / block_positions));
        for (size_t b = 0; b < block_table_.size(); ++b) block_table_[b] = int32_t(b);
        score_capacity_ = capacity;
    }
}

void Encoder::plan(const Batch& batch) {
    token_sequence_.resize(size_t(batch.num_tokens));
    first_block_.resize(size_t(batch.num_sequences));
    attention_units_.clear();
    short_texts_.clear();
    for (int s = 0, block = 0; s < batch.num_sequences; ++s) {
        const int begin = batch.starts[s], end = batch.starts[s + 1];
        std::fill(token_sequence_.begin() + begin, token_sequence_.begin() + end, s);
        first_block_[size_t(s)] = block;
        if (is_short(batch.length(s))) {
            if (short_texts_.empty() || short_texts_.back().end != begin) short_texts_.push_back({begin, begin});
            short_texts_.back().end = end;
        }
        block += blocks_of(batch.length(s));
        plan_attention(s, begin, end);
    }
}

// Head by head: a head's keys and values stay in the CPU's cache while all tokens attend to them.
void Encoder::plan_attention(int sequence, int begin, int end) {
    for (int head = 0; head < spec_.num_heads; ++head)
        for (int t = begin; t < end; t += AttentionArgs::max_rows)
            attention_units_.push_back({sequence, t, std::min(AttentionArgs::max_rows, end - t), head});
}

}  // namespace llmos
