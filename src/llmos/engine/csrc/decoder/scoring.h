// The scores of given tokens: how the work is shared, what the threads find, and how that becomes the results.
//
// No row of logits is kept. A unit of work is a span of rows by a block of the vocabulary: the product goes to a tile of
// the thread's own, which stays in its cache, and is reduced there.
//
//   sums         of each row and block, by whichever thread computed them; added up in the order of the blocks
//   top logits   of each row, one list for each thread
//   ranks        of each token: the tokens that come before it, one count for each thread
//
// Lists and counts are the same in whatever order the blocks are seen. So all results are the same to the bit whatever
// else is in the step, and with any number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "buffer.h"
#include "kernels.h"

namespace llmos {

// See engine/runner/__init__.py's Batch.
struct ScoredTokens {
    int count;
    const int32_t *rows, *tokens;  // [count]
    int num_top;
};

// See engine/runner/__init__.py's Scores. A row with a logit that is not finite has NaN, rank 0 and tokens -1.
struct Scores {
    int num_top = 0;
    std::vector<float> logprobs, entropies;  // [count]
    std::vector<int32_t> ranks;              // [count]
    std::vector<int32_t> top_ids;            // [count][num_top]
    std::vector<float> top_logprobs;         // [count][num_top]
};

// The index of a value that is among these.
inline int32_t index_among(const std::vector<int32_t>& ascending, int32_t value) {
    return int32_t(std::lower_bound(ascending.begin(), ascending.end(), value) - ascending.begin());
}

class Scoring {
  public:
    // Rows of a tile, which is 128 kB with them. More would not be faster: a block's weights stay in the cache.
    static constexpr int max_span_rows = 32;

    struct Unit {
        int first_row, last_row, block;
    };

    // A thread's working memory.
    struct Scratch {
        Buffer tile;    // [max_span_rows][logit_block]
        Buffer top;     // [rows] of TopLogits
        Buffer counts;  // [tokens]

        float* logits(int row_of_span) const { return tile.as<float>() + size_t(row_of_span) * logit_block; }
        TopLogits& top_of(int row) const { return top.as<TopLogits>()[row]; }
        int32_t& count_of(int token) const { return counts.as<int32_t>()[token]; }
    };

    Scoring(int vocab_size, int num_threads)
        : vocab_size_(vocab_size),
          num_blocks_((vocab_size + logit_block - 1) / logit_block),
          scratch_(size_t(num_threads)) {}

    // Before a step: decides how the work is shared, and grows the memory that it needs.
    void plan(const ScoredTokens& scored);
    // Replaces the rows' indices by those among `kept`, ascending indices, where the other rows are left out.
    void keep_rows(const std::vector<int32_t>& kept);

    // The rows to compute, each once, as ascending indices into the batch's tokens.
    const std::vector<int32_t>& rows() const { return rows_; }
    int num_rows() const { return int(rows_.size()); }

    // The tokens to score, in the order of the batch.
    int num_tokens() const { return scored_.count; }
    int token(int index) const { return scored_.tokens[index]; }
    int row_of(int index) const { return row_of_[size_t(index)]; }
    float& logit_of(int index) const { return logits_.as<float>()[index]; }

    int num_units() const { return num_spans_ * num_blocks_; }
    // Units that follow one another have the same block, whose weights are in the cache from the second on.
    Unit unit(int index) const {
        const int span = index % num_spans_;
        return {span * span_rows_, std::min((span + 1) * span_rows_, num_rows()), index / num_spans_};
    }
    int block_size(int block) const { return std::min(logit_block, vocab_size_ - block * logit_block); }

    Scratch& scratch(int thread) { return scratch_[size_t(thread)]; }
    // Empties what a thread finds in this step.
    void clear(Scratch& scratch) const;
    // Adds a row's logits of a block to what a thread finds.
    void reduce(const Kernels& kernels, Scratch& scratch, int row, int block, const float* logits) const;
    // Makes a row's results of what the first `num_threads` threads found.
    void finish(int row, int num_threads);

    const Scores& scores() const { return scores_; }

  private:
    void reserve();
    BlockSums& sums(int row, int block) const {
        return sums_.as<BlockSums>()[size_t(row) * size_t(num_blocks_) + size_t(block)];
    }
    TopLogits merged_top(int row, int num_threads) const;
    void finish_token(int index, int num_threads, double log_total, double entropy, const TopLogits& top);
    void refuse_token(int index);

    const int vocab_size_, num_blocks_;
    ScoredTokens scored_{};
    std::vector<int32_t> rows_;
    std::vector<int> row_of_;       // [tokens], the index into rows_
    std::vector<int> first_token_;  // [rows + 1], the index of a row's first token
    int num_spans_ = 0, span_rows_ = 0;

    int row_capacity_ = 0, token_capacity_ = 0;
    Buffer sums_;    // [rows][num_blocks_] of BlockSums
    Buffer logits_;  // [tokens], each token's own
    std::vector<Scratch> scratch_;
    Scores scores_;
};

}  // namespace llmos
