// The log-probabilities and the entropy of a row of logits, from the sums of its blocks.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels.h"

namespace llmos {

class RowSums {
  public:
    // Adds the next block: all blocks of a row are added, in ascending order, so that the bits are always the same.
    void add(const BlockSums& block) {
        if (block.exps == 0) return;  // banned tokens alone
        const double highest = std::max(highest_, double(block.highest));
        shift(highest_ - highest, exps_, weighted_);
        highest_ = highest;
        double exps = block.exps, weighted = block.weighted;
        shift(double(block.highest) - highest, exps, weighted);
        exps_ += exps;
        weighted_ += weighted;
    }

    // The logarithm of the sum of all exp(x).
    double log_total() const { return std::log(exps_) + highest_; }
    // In nats.
    double entropy() const { return std::log(exps_) - weighted_ / exps_; }

    static float logprob(float logit, double log_total) { return float(double(logit) - log_total); }

  private:
    // Makes sums over exp(x - a) those over exp(x - b), where distance = a - b.
    static void shift(double distance, double& exps, double& weighted) {
        if (distance == 0) return;
        const double factor = std::exp(distance);
        weighted = factor * (weighted + distance * exps);
        exps *= factor;
    }

    double highest_ = std::numeric_limits<float>::lowest(), exps_ = 0, weighted_ = 0;
};

}  // namespace llmos
