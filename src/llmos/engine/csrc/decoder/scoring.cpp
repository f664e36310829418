#include "decoder/scoring.h"

#include <limits>

#include "ops/top_logits.h"
#include "row_sums.h"

namespace llmos {

void Scoring::plan(const ScoredTokens& scored) {
    scored_ = scored;
    rows_.clear();
    row_of_.clear();
    first_token_.clear();
    for (int i = 0; i < scored.count; ++i) {
        if (i == 0 || scored.rows[i] != scored.rows[i - 1]) {
            rows_.push_back(scored.rows[i]);
            first_token_.push_back(i);
        }
        row_of_.push_back(num_rows() - 1);
    }
    first_token_.push_back(scored.count);
    num_spans_ = (num_rows() + max_span_rows - 1) / max_span_rows;
    // Spans of about the same size, of whole tiles of the product.
    span_rows_ = num_spans_ ? round_up((num_rows() + num_spans_ - 1) / num_spans_, 4) : 0;
    const size_t count = size_t(scored.count), num_top = size_t(scored.num_top);
    scores_.num_top = scored.num_top;
    scores_.logprobs.resize(count);
    scores_.entropies.resize(count);
    scores_.ranks.resize(count);
    scores_.top_ids.resize(count * num_top);
    scores_.top_logprobs.resize(count * num_top);
    reserve();
}

void Scoring::reserve() {
    if (num_rows() > row_capacity_) {
        const int capacity = std::max(num_rows(), 2 * row_capacity_);
        sums_ = Buffer(size_t(capacity) * size_t(num_blocks_) * sizeof(BlockSums));
        for (Scratch& scratch : scratch_) {
            scratch.top = Buffer(size_t(capacity) * sizeof(TopLogits));
            if (!scratch.tile.bytes()) scratch.tile = Buffer(size_t(max_span_rows) * logit_block * sizeof(float));
        }
        row_capacity_ = capacity;  // last: an allocation above may fail
    }
    if (num_tokens() > token_capacity_) {
        const int capacity = std::max(num_tokens(), 2 * token_capacity_);
        logits_ = Buffer(size_t(capacity) * sizeof(float));
        for (Scratch& scratch : scratch_) scratch.counts = Buffer(size_t(capacity) * sizeof(int32_t));
        token_capacity_ = capacity;
    }
}

void Scoring::keep_rows(const std::vector<int32_t>& kept) {
    for (int32_t& row : rows_) row = index_among(kept, row);
}

void Scoring::clear(Scratch& scratch) const {
    for (int row = 0; row < num_rows(); ++row) scratch.top_of(row).count = 0;
    for (int i = 0; i < num_tokens(); ++i) scratch.count_of(i) = 0;
}

void Scoring::reduce(const Kernels& kernels, Scratch& scratch, int row, int block, const float* logits) const {
    const int first_token = block * logit_block, size = block_size(block);
    BlockSums& block_sums = sums(row, block);
    kernels.sum_block(logits, size, block_sums);
    for (int i = first_token_[size_t(row)]; i < first_token_[size_t(row) + 1]; ++i)
        if (block_sums.highest >= logit_of(i))
            scratch.count_of(i) += kernels.count_before(logits, size, first_token, logit_of(i), token(i));
    TopLogits& top = scratch.top_of(row);
    if (scored_.num_top && belongs_to_top(top, scored_.num_top, block_sums.highest, first_token))
        kernels.update_top(logits, size, first_token, scored_.num_top, top);
}

void Scoring::finish(int row, int num_threads) {
    RowSums total;
    bool is_finite = true;
    for (int block = 0; block < num_blocks_; ++block) {
        total.add(sums(row, block));
        is_finite &= sums(row, block).is_finite;
    }
    const TopLogits top = merged_top(row, num_threads);
    const double log_total = total.log_total(), entropy = total.entropy();
    for (int i = first_token_[size_t(row)]; i < first_token_[size_t(row) + 1]; ++i) {
        if (is_finite) finish_token(i, num_threads, log_total, entropy, top);
        else refuse_token(i);
    }
}

TopLogits Scoring::merged_top(int row, int num_threads) const {
    TopLogits merged{};
    if (!scored_.num_top) return merged;
    for (int thread = 0; thread < num_threads; ++thread) {
        const TopLogits& top = scratch_[size_t(thread)].top_of(row);
        for (int i = 0; i < top.count; ++i)
            if (belongs_to_top(merged, scored_.num_top, top.logits[i], top.ids[i]))
                insert_into_top(merged, scored_.num_top, top.logits[i], top.ids[i]);
    }
    return merged;
}

void Scoring::finish_token(int index, int num_threads, double log_total, double entropy, const TopLogits& top) {
    scores_.logprobs[size_t(index)] = RowSums::logprob(logit_of(index), log_total);
    scores_.entropies[size_t(index)] = float(entropy);
    int32_t rank = 1;
    for (int thread = 0; thread < num_threads; ++thread) rank += scratch_[size_t(thread)].count_of(index);
    scores_.ranks[size_t(index)] = rank;
    const size_t first = size_t(index) * size_t(scored_.num_top);
    for (int k = 0; k < scored_.num_top; ++k) {
        scores_.top_ids[first + size_t(k)] = top.ids[k];
        scores_.top_logprobs[first + size_t(k)] = RowSums::logprob(top.logits[k], log_total);
    }
}

void Scoring::refuse_token(int index) {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    scores_.logprobs[size_t(index)] = scores_.entropies[size_t(index)] = nan;
    scores_.ranks[size_t(index)] = 0;
    const size_t first = size_t(index) * size_t(scored_.num_top), count = size_t(scored_.num_top);
    std::fill_n(scores_.top_ids.begin() + ptrdiff_t(first), count, -1);
    std::fill_n(scores_.top_logprobs.begin() + ptrdiff_t(first), count, nan);
}

}  // namespace llmos
