// The sampler's passes over a row of logits.
#include "comparison.h"
#include "inputs.h"

namespace llmos::test {
namespace {

using Values = std::vector<float>;

void compare_row(Comparison& comparison, const Values& logits, const std::string& what) {
    const int size = int(logits.size()) - 16;  // the row ends before its memory
    const float highest = *std::max_element(logits.begin(), logits.begin() + size);
    comparison.same("exp_all " + what, [&](const Kernels& kernels) {
        Values out(logits.size(), 7.0f);
        kernels.exp_all(logits.data(), size, highest, 1.3f, out.data());
        return out;
    });
    comparison.same("sum of exp_all " + what, [&](const Kernels& kernels) {
        Values out(logits.size());
        return std::vector<double>{kernels.exp_all(logits.data(), size, highest, 1.3f, out.data())};
    });
    for (float bound : {-infinity, 0.5f, highest})
        comparison.same("find_above " + what, [&](const Kernels& kernels) {
            std::vector<int32_t> found{-7};
            kernels.find_above(logits.data(), size, bound, found);
            found.insert(found.begin(), int32_t(found.size()));
            return found;
        });
    comparison.same("find_largest " + what, [&](const Kernels& kernels) {
        float value;
        int32_t index;
        kernels.find_largest(logits.data(), size, value, index);
        // A broken row has no largest value; of two zeros either may be it.
        return Values{float(index), index < 0 || value == 0 ? 0 : value};
    });
    comparison.same("update_largest " + what, [&](const Kernels& kernels) {
        Largest largest{};
        std::fill_n(largest.value, group_rows, -infinity);
        kernels.update_largest(logits.data(), size, 64, largest);
        kernels.update_largest(logits.data(), size, 16, largest);
        Values out(largest.value, largest.value + group_rows);
        out.insert(out.end(), largest.not_finite, largest.not_finite + group_rows);
        out.insert(out.end(), largest.group, largest.group + group_rows);
        return out;
    });
}

// The passes over a block of the vocabulary in which given tokens are scored.
void compare_block(Comparison& comparison, const Values& logits, const std::string& what) {
    const int size = int(logits.size()) - 16, first_token = 2048;
    comparison.same("sum_block " + what, [&](const Kernels& kernels) {
        BlockSums sums;
        kernels.sum_block(logits.data(), size, sums);
        if (!sums.is_finite) sums.weighted = 0;                       // of no use then
        const double highest = sums.highest == 0 ? 0 : sums.highest;  // of two zeros either may be it
        return std::vector<double>{sums.exps, sums.weighted, highest, double(sums.is_finite)};
    });
    for (int i : {0, size / 2, size - 1})
        for (int token : {0, first_token + i, 5000})  // before the block, in it, behind it
            comparison.same("count_before " + what, [&](const Kernels& kernels) {
                return std::vector<int32_t>{
                    kernels.count_before(logits.data(), size, first_token, logits[size_t(i)], token)};
            });
    for (int capacity : {1, 3, TopLogits::max_count})
        comparison.same("update_top " + what, [&](const Kernels& kernels) {
            TopLogits top{};
            for (int token : {first_token, 16, 4096}) kernels.update_top(logits.data(), size, token, capacity, top);
            Values out(top.logits, top.logits + top.count);
            out.insert(out.end(), top.ids, top.ids + top.count);
            return out;
        });
}

}  // namespace

void compare_sampling(Comparison& comparison) {
    Inputs inputs(6);
    for (int size : {1, 15, 16, 17, 64, 256, 511, 512, 1000, logit_block, 1300}) {
        const size_t memory = size_t(size) + 16;
        const std::string what = "of " + std::to_string(size);
        const auto compare = [&](const Values& logits, const std::string& kind) {
            compare_row(comparison, logits, what + kind);
            if (size <= logit_block) compare_block(comparison, logits, what + kind);
        };
        Values logits = inputs.numbers(memory, 20);
        compare(logits, "");
        logits[size_t(inputs.below(size))] = -infinity;
        compare(logits, " with a banned token");
        logits[size_t(inputs.below(size))] = logits[size_t(inputs.below(size))];
        compare(logits, " with equal tokens");
        logits[size_t(inputs.below(size))] = inputs.coin() ? nan : infinity;
        compare(logits, " with a broken token");
        compare(inputs.edges(memory, false), " at the edges");
        compare(Values(memory, -infinity), " with banned tokens alone");
        compare(Values(memory, -0.0f), " of zeros");
    }
}

}  // namespace llmos::test
