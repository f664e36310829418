#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace llmos {
namespace {

constexpr float nothing = -std::numeric_limits<float>::infinity();

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
        : a_(args),
          k_(kernels),
          row_(row),
          size_(args.vocab_size),
          logits_(args.logits + size_t(row) * args.logits_stride),
          exps_(exps),
          found_(found) {}

    void run() {
        float highest;
        int32_t best;
        if (a_.likeliest && a_.likeliest[row_] >= 0) {
            highest = a_.highest[row_];
            best = a_.likeliest[row_];
        } else {
            k_.find_largest(logits_, size_, highest, best);
        }
        a_.logprobs[row_] = 0;
        if (best < 0) {
            a_.ids[row_] = -1;
            return;
        }
        const bool wants_logprobs = a_.num_logprobs[row_] >= 0;
        double log_total = 0;
        if (wants_logprobs) {  // of the model's own distribution: before anything is changed
            log_total = std::log(k_.exp_all(logits_, size_, highest, 1, exps_.data())) + double(highest);
            report_top(log_total);
        }
        const int first = a_.bias_starts[row_], last = a_.bias_starts[row_ + 1];
        const int seen_first = a_.seen_starts[row_], seen_last = a_.seen_starts[row_ + 1];
        changed_.clear();
        const bool penalizes = a_.repetition[row_] != 1 || a_.presence[row_] != 0 || a_.frequency[row_] != 0;
        const uint32_t* mask = a_.masks && a_.mask_rows[row_] >= 0
                                   ? a_.masks + size_t(a_.mask_rows[row_]) * size_t(a_.mask_words)
                                   : nullptr;
        if (const int32_t only = mask ? find_only(mask) : -1; only >= 0) {
            a_.ids[row_] = only;
            if (wants_logprobs) a_.logprobs[row_] = float(double(logits_[only]) - log_total);
            return;
        }
        const bool is_best_allowed = !mask || (mask[best / 32] >> (best % 32) & 1);
        const bool is_settled = is_best_allowed && a_.temperature[row_] == 0 && !penalizes && first == last;
        if (mask && !is_settled) forbid_all_but(mask);
        if (penalizes)
            for (int i = seen_first; i < seen_last; ++i) penalize(a_.seen_ids[i], a_.seen_counts[i]);
        for (int i = first; i < last; ++i) change(a_.bias_ids[i], logits_[a_.bias_ids[i]] + a_.bias_values[i]);
        if (!changed_.empty() || !is_best_allowed) k_.find_largest(logits_, size_, highest, best);
        if (best < 0 || highest == nothing) {  // everything is banned
            a_.ids[row_] = -1;
            return;
        }
        const int32_t id = a_.temperature[row_] == 0 ? best : draw(highest);
        a_.ids[row_] = id;
        if (wants_logprobs) a_.logprobs[row_] = float(double(original(id)) - log_total);
    }

  private:
    void change(int32_t id, float value) {
        changed_.emplace_back(id, logits_[id]);
        logits_[id] = value;
    }

    // The one token that a mask allows, -1 where it allows another number of them.
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

    // A token that is forbidden keeps no logprob to tell: it is never chosen, and the likeliest were reported before.
    void forbid_all_but(const uint32_t* mask) {
        for (int start = 0; start < size_; start += 32) {
            const uint32_t allowed = mask[start / 32];
            if (allowed == ~uint32_t(0)) continue;
            const int count = std::min(32, size_ - start);
            if (allowed == 0) {
                std::fill_n(logits_ + start, count, nothing);
                continue;
            }
            for (int i = 0; i < count; ++i)
                if (!(allowed >> i & 1)) logits_[start + i] = nothing;
        }
    }

    // Keskar et al. 2019 (repetition); presence and frequency as OpenAI's API has them.
    void penalize(int32_t id, int32_t count) {
        float value = logits_[id];
        value = value > 0 ? value / a_.repetition[row_] : value * a_.repetition[row_];
        if (count > 0) value -= a_.presence[row_] + a_.frequency[row_] * float(count);
        change(id, value);
    }

    float original(int32_t id) const {
        for (const auto& [changed, value] : changed_)
            if (changed == id) return value;  // the first entry is the oldest
        return logits_[id];
    }

    void report_top(double log_total) {
        const int count = std::min(a_.num_logprobs[row_], size_);
        if (count <= 0) return;
        candidates_above_enough(count);
        std::partial_sort(found_.begin(), found_.begin() + count, found_.end(),
                          [&](int32_t x, int32_t y) { return before(x, y); });
        for (int i = 0; i < count; ++i) {
            a_.top_ids[size_t(row_) * a_.num_top + i] = found_[size_t(i)];
            a_.top_logprobs[size_t(row_) * a_.num_top + i] = float(double(logits_[found_[size_t(i)]]) - log_total);
        }
    }

    bool before(int32_t x, int32_t y) const { return logits_[x] > logits_[y] || (logits_[x] == logits_[y] && x < y); }

    // Fills found_ with at least `count` tokens, everything above some bound: a few hundred of a vocabulary, mostly.
    void candidates_above_enough(int count) {
        float highest;
        int32_t best;
        k_.find_largest(logits_, size_, highest, best);
        for (float reach = 8;; reach *= 2) {
            find(reach < 1000 ? highest - reach : nothing);
            if (int(found_.size()) >= count || reach >= 1000) break;
        }
        for (int32_t id = 0; int(found_.size()) < count; ++id)  // only banned ones are left
            if (logits_[id] == nothing) found_.push_back(id);
    }

    void find(float bound) {
        found_.clear();
        k_.find_above(logits_, size_, bound, found_);
    }

    int32_t draw(float highest) {
        const double u = uniform(a_.seeds[row_], a_.steps[row_]);
        const float inverse_temperature = 1 / a_.temperature[row_];
        const int top_k = a_.top_k[row_] > 0 && a_.top_k[row_] < size_ ? a_.top_k[row_] : 0;
        const float top_p = a_.top_p[row_], min_p = a_.min_p[row_];
        if (!top_k && top_p >= 1 && min_p <= 0) return draw_from_all(highest, inverse_temperature, u);
        if (!top_k && top_p >= 1) {  // min_p alone needs no order, only a bound
            find(min_p_bound(highest, min_p));
            return draw_from_found(found_.size(), highest, inverse_temperature, u);
        }
        const double all = top_k ? 0 : k_.exp_all(logits_, size_, highest, inverse_temperature, exps_.data());
        // Widen the reach until it holds all that top_k or top_p can want. What lies beyond the last one weighs less than
        // e^-128 of the likeliest, which no sum notices.
        for (float reach = 8;; reach *= 4) {
            const bool is_everything = reach > 100;
            find(std::min(highest - reach * a_.temperature[row_], std::nextafter(highest, nothing)));
            std::sort(found_.begin(), found_.end(), [&](int32_t x, int32_t y) { return before(x, y); });
            size_t count = found_.size();
            if (top_k) {
                if (int(count) < top_k && !is_everything) continue;
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
                if (!top_k && kept == count && reached < double(top_p) * total && !is_everything) continue;
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
        return std::nextafter(highest + std::log(min_p) * a_.temperature[row_], nothing);
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
        double left = u * k_.exp_all(logits_, size_, highest, inverse_temperature, exps_.data());
        int32_t last = 0;
        for (int32_t i = 0; i < size_; ++i) {
            if (logits_[i] == nothing) continue;
            left -= double(exps_[size_t(i)]);
            last = i;
            if (left < 0) return i;
        }
        return last;
    }

    const SamplingArgs& a_;
    const Kernels& k_;
    const int row_, size_;
    float* const logits_;
    std::vector<float>& exps_;
    std::vector<int32_t>& found_;
    std::vector<std::pair<int32_t, float>> changed_;
};

}  // namespace

void sample(Pool& pool, const Kernels& kernels, const SamplingArgs& args) {
    pool.run([&](int thread) {
        thread_local std::vector<float> exps;
        thread_local std::vector<int32_t> found;
        exps.resize(size_t(args.vocab_size));
        for (int row = thread; row < args.num_rows; row += pool.size()) Row(args, kernels, row, exps, found).run();
    });
}

}  // namespace llmos
