// Runs an operation with several kernel tables and compares what comes out, to the bit.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels.h"

namespace llmos::test {

class Comparison {
  public:
    Comparison(const Kernels& reference, std::vector<const Kernels*> tested)
        : reference_(reference), tested_(std::move(tested)) {}

    // `run(kernels)` returns a vector: all that the operation writes, and what stands around it.
    template <class Run> void same(const std::string& what, Run run) {
        ++count_;
        const auto expected = run(reference_);
        for (const Kernels* kernels : tested_) {
            const auto found = run(*kernels);
            size_t i = 0;
            while (i < expected.size() && is_same(expected[i], found[i])) ++i;
            if (i == expected.size()) continue;
            if (++failures_ <= 20)
                std::printf("%s, %s, [%zu]: %.9g instead of %.9g\n", kernels->name, what.c_str(), i, double(found[i]),
                            double(expected[i]));
        }
    }

    // The kernels that prepare the input of other operations.
    const Kernels& reference() const { return reference_; }
    int count() const { return count_; }
    int failures() const { return failures_; }

  private:
    // NaN is NaN: which of its many bit patterns an instruction gives is its own affair.
    static bool is_same(float a, float b) {
        return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
    }
    static bool is_same(double a, double b) {
        return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
    }
    static bool is_same(int32_t a, int32_t b) { return a == b; }
    static bool is_same(uint8_t a, uint8_t b) { return a == b; }

    const Kernels& reference_;
    std::vector<const Kernels*> tested_;
    int count_ = 0, failures_ = 0;
};

// Each compares one part of the table.
void compare_matmul(Comparison& comparison);
void compare_attention(Comparison& comparison);
void compare_rows(Comparison& comparison);
void compare_recurrence(Comparison& comparison);
void compare_sampling(Comparison& comparison);

}  // namespace llmos::test
