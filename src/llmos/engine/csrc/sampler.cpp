#include "sampler.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "row_sums.h"

namespace llmos {
namespace {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

// A number in [0, 1) that depends on the seed and the step alone (SplitMix64's finalizer, Steele et al. 2014).
double uniform(uint64_t seed, uint64_t step) {
    const auto mix = [](uint64_t z) {
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    };
    return double(mix(mix(seed + 0x9e3779b97f4a7c15u) + (step + 1) * 0x9e3779b97f4a7c15u) >> 11) * 0x1.0p-53;
}

class Row {
  public:
    Row(const SamplingArgs& args, const Kernels& kernels, int row, std::vector<float>& exps,
        std::vector<int32_t>& found)
        : args_(args),
          kernels_(kernels),
          row_(row),
          size_(args.vocab_size),
          logits_(args.logits + size_t(row) * args.logits_stride),
          exps_(exps),
          found_(found) {}

    void run() {
        float highest;
        int32_t best;
        if (args_.likeliest && args_.likeliest[row_] >= 0) {
            highest = args_.highest[row_];
            best = args_.likeliest[row_];
        } else {
            kernels_.find_largest(logits_, size_, highest, best);
        }
        args_.logprobs[row_] = 0;
        if (best < 0) {
            args_.ids[row_] = -1;
            return;
        }
        const bool wants_logprobs = args_.num_logprobs[row_] >= 0;
        double log_total = 0;
        if (wants_logprobs) {  // of the model's own distribution, before any change
            log_total = sum_logits();
            report_top(log_total);
        }
        const int first = args_.bias_starts[row_], last = args_.bias_starts[row_ + 1];
        const int seen_first = args_.seen_starts[row_], seen_last = args_.seen_starts[row_ + 1];
        original_logits_.clear();
        const bool penalizes = args_.repetition[row_] != 1 || args_.presence[row_] != 0 || args_.frequency[row_] != 0;
        const uint32_t* mask = args_.masks && args_.mask_rows[row_] >= 0
                                   ? args_.masks + size_t(args_.mask_rows[row_]) * size_t(args_.mask_words)
                                   : nullptr;
        if (const int32_t only = mask ? find_only(mask) : -1; only >= 0) {
            args_.ids[row_] = only;
            if (wants_logprobs) args_.logprobs[row_] = RowSums::logprob(logits_[only], log_total);
            return;
        }
        const bool is_best_allowed = !mask || (mask[best / 32] >> (best % 32) & 1);
        const bool is_decided = is_best_allowed && args_.temperature[row_] == 0 && !penalizes && first == last;
        if (mask && !is_decided) forbid_all_but(mask);
        if (penalizes)
            for (int i = seen_first; i < seen_last; ++i) penalize(args_.seen_ids[i], args_.seen_counts[i]);
        for (int i = first; i < last; ++i)
            set_logit(args_.bias_ids[i], logits_[args_.bias_ids[i]] + args_.bias_values[i]);
        if (!original_logits_.empty() || !is_best_allowed) kernels_.find_largest(logits_, size_, highest, best);
        if (best < 0 || highest == minus_infinity) {  // everything is banned
            args_.ids[row_] = -1;
            return;
        }
        const int32_t id = args_.temperature[row_] == 0 ? best : draw(highest);
        args_.ids[row_] = id;
        if (wants_logprobs) args_.logprobs[row_] = RowSums::logprob(original_logit(id), log_total);
    }

  private:
    // The logarithm of the sum of all exponentials, in the blocks in which the head sums the rows that it scores.
    double sum_logits() const {
        RowSums sums;
        for (int first = 0; first < size_; first += logit_block) {
            BlockSums block;
            kernels_.sum_block(logits_ + first, std::min(logit_block, size_ - first), block);
            sums.add(block);
        }
        return sums.log_total();
    }

    void set_logit(int32_t id, float value) {
        original_logits_.emplace_back(id, logits_[id]);
        logits_[id] = value;
    }

    // The token that a mask allows if it allows exactly one, else -1.
    int32_t find_only(const uint32_t* mask) const {
        int32_t only = -1;
        for (int start = 0; start < size_; start += 32) {
            const uint32_t allowed = mask[start / 32];
            if (allowed == 0) continue;
            if (only >= 0 || (allowed & (allowed - 1))) return -1;
            only = start + __builtin_ctz(allowed);
        }
        return only < size_ ? only : -1;
    }

    // Needs no record of the old logits: a forbidden token is never chosen, and the top logprobs are reported already.
    void forbid_all_but(const uint32_t* mask) {
        for (int start = 0; start < size_; start += 32) {
            const uint32_t allowed = mask[start / 32];
            if (allowed == ~uint32_t(0)) continue;
            const int count = std::min(32, size_ - start);
            if (allowed == 0) {
                std::fill_n(logits_ + start, count, minus_infinity);
                continue;
            }
            for (int i = 0; i < count; ++i)
                if (!(allowed >> i & 1)) logits_[start + i] = minus_infinity;
        }
    }

    // Keskar et al. 2019 (repetition); presence and frequency as OpenAI's API has them.
    void penalize(int32_t id, int32_t count) {
        float value = logits_[id];
        value = value > 0 ? value / args_.repetition[row_] : value * args_.repetition[row_];
        if (count > 0) value -= args_.presence[row_] + args_.frequency[row_] * float(count);
        set_logit(id, value);
    }

    float original_logit(int32_t id) const {
        for (const auto& [changed, value] : original_logits_)
            if (changed == id) return value;  // the first entry is the oldest
        return logits_[id];
    }

    void report_top(double log_total) {
        const int count = std::min(args_.num_logprobs[row_], size_);
        if (count <= 0) return;
        find_top_candidates(count);
        std::partial_sort(found_.begin(), found_.begin() + count, found_.end(),
                          [&](int32_t x, int32_t y) { return is_likelier(x, y); });
        for (int i = 0; i < count; ++i) {
            args_.top_ids[size_t(row_) * args_.num_top + i] = found_[size_t(i)];
            args_.top_logprobs[size_t(row_) * args_.num_top + i] =
                RowSums::logprob(logits_[found_[size_t(i)]], log_total);
        }
    }

    bool is_likelier(int32_t x, int32_t y) const {
        return logits_[x] > logits_[y] || (logits_[x] == logits_[y] && x < y);
    }

    // Fills found_ with all tokens above some bound, at least `count`: mostly a few hundred of a vocabulary.
    void find_top_candidates(int count) {
        float highest;
        int32_t best;
        kernels_.find_largest(logits_, size_, highest, best);
        for (float distance = 8;; distance *= 2) {
            find_above(distance < 1000 ? highest - distance : minus_infinity);
            if (int(found_.size()) >= count || distance >= 1000) break;
        }
        for (int32_t id = 0; int(found_.size()) < count; ++id)  // only banned tokens are left
            if (logits_[id] == minus_infinity) found_.push_back(id);
    }

    void find_above(float bound) {
        found_.clear();
        kernels_.find_above(logits_, size_, bound, found_);
    }

    int32_t draw(float highest) {
        const double u = uniform(args_.seeds[row_], args_.steps[row_]);
        const float inverse_temperature = 1 / args_.temperature[row_];
        const int top_k = args_.top_k[row_] > 0 && args_.top_k[row_] < size_ ? args_.top_k[row_] : 0;
        const float top_p = args_.top_p[row_], min_p = args_.min_p[row_];
        if (!top_k && top_p >= 1 && min_p <= 0) return draw_from_all(highest, inverse_temperature, u);
        if (!top_k && top_p >= 1) {  // min_p alone needs no sorting, only a bound
            find_above(min_p_bound(highest, min_p));
            return draw_from_found(found_.size(), highest, inverse_temperature, u);
        }
        const double all = top_k ? 0 : kernels_.exp_all(logits_, size_, highest, inverse_temperature, exps_.data());
        // Lower the bound until all candidates of top_k or top_p are above it. Tokens below the last bound have less
        // than e^-128 of the likeliest token's probability, which changes no sum.
        for (float distance = 8;; distance *= 4) {
            const bool has_all = distance > 100;
            find_above(std::min(highest - distance * args_.temperature[row_], std::nextafter(highest, minus_infinity)));
            std::sort(found_.begin(), found_.end(), [&](int32_t x, int32_t y) { return is_likelier(x, y); });
            size_t count = found_.size();
            if (top_k) {
                if (int(count) < top_k && !has_all) continue;
                count = std::min(count, size_t(top_k));
            }
            double total = all;
            if (top_k && top_p < 1) {
                total = 0;
                for (size_t i = 0; i < count; ++i) total += weight(found_[i], highest, inverse_temperature);
            }
            if (top_p < 1) {
                double reached = 0;
                size_t kept = 0;
                while (kept < count && (kept == 0 || reached < double(top_p) * total))
                    reached += weight(found_[kept++], highest, inverse_temperature);
                if (!top_k && kept == count && reached < double(top_p) * total && !has_all) continue;
                count = kept;
            }
            if (min_p > 0) {
                const float bound = min_p_bound(highest, min_p);
                while (count > 1 && !(logits_[found_[count - 1]] > bound)) --count;
            }
            return draw_from_found(count, highest, inverse_temperature, u);
        }
    }

    // Just under the logit whose probability is min_p of the likeliest token's.
    float min_p_bound(float highest, float min_p) const {
        return std::nextafter(highest + std::log(min_p) * args_.temperature[row_], minus_infinity);
    }

    double weight(int32_t id, float highest, float inverse_temperature) const {
        return std::exp(double((logits_[id] - highest) * inverse_temperature));
    }

    int32_t draw_from_found(size_t count, float highest, float inverse_temperature, double u) const {
        double total = 0;
        for (size_t i = 0; i < count; ++i) total += weight(found_[i], highest, inverse_temperature);
        double left = u * total;
        for (size_t i = 0; i < count; ++i) {
            left -= weight(found_[i], highest, inverse_temperature);
            if (left < 0) return found_[i];
        }
        return found_[count - 1];
    }

    int32_t draw_from_all(float highest, float inverse_temperature, double u) {
        double left = u * kernels_.exp_all(logits_, size_, highest, inverse_temperature, exps_.data());
        int32_t last = 0;
        for (int32_t i = 0; i < size_; ++i) {
            if (logits_[i] == minus_infinity) continue;
            left -= double(exps_[size_t(i)]);
            last = i;
            if (left < 0) return i;
        }
        return last;
    }

    const SamplingArgs& args_;
    const Kernels& kernels_;
    const int row_, size_;
    float* const logits_;
    std::vector<float>& exps_;
    std::vector<int32_t>& found_;
    std::vector<std::pair<int32_t, float>> original_logits_;
};

}  // namespace

void sample(Pool& pool, const Kernels& kernels, const SamplingArgs& args) {
    std::atomic<int> next_row{0};
    pool.run([&](int) {
        thread_local std::vector<float> exps;
        thread_local std::vector<int32_t> found;
        exps.resize(size_t(args.vocab_size));
        for (int row; (row = next_row.fetch_add(1, std::memory_order_relaxed)) < args.num_rows;)
            Row(args, kernels, row, exps, found).run();
    });
}

}  // namespace llmos
