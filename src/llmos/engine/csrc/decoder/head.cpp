// The head: logits of the rows that want them, and the largest logit of each row on the way.

#include <algorithm>
#include <limits>

#include "decoder/pass.h"

namespace llmos {

void Decoder::Pass::head() {
    const int rows = batch_->num_logit_rows, stride = decoder_.logits_stride();
    if (!rows) return;
    const PackedMatrix& weights = spec_.tied_head ? decoder_.embed_ : decoder_.head_;
    const Layer& outer = decoder_.outer_;
    const auto normed = [&](int r, float* out) {
        norm(x(batch_->logit_rows[r]), outer[Vector::final_norm], outer[Vector::final_norm_bias], out);
    };
    const Split split(rows);
    const Segment logits[] = {{&weights, outer[Vector::head_bias], decoder_.logits_->as<float>(), stride}};
    const Activations in = open_phase_with_inputs(Region::norm, Region::head, split.count(weights.groups()), rows,
                                                  decoder_.hidden_columns_, input_formats(logits), normed);
    Largest* largest = scratch().largest.as<Largest>();
    for (int r = 0; r < rows; ++r) {
        largest[r] = {};
        std::fill_n(largest[r].value, group_rows, std::numeric_limits<float>::lowest());
    }
    const bool changes_logits = spec_.logit_multiplier != 1 || spec_.logit_softcap;
    // The sampler's first pass, while the logits are in the CPU's cache.
    const auto on_part = [&](const Segment& s, int first_row, int last_row, int first_group, int last_group) {
        const int first = first_group * group_rows, last = std::min(last_group * group_rows, spec_.vocab_size);
        for (int r = first_row; r < last_row; ++r) {
            float* part = s.out_at(r, first_group);
            if (changes_logits)
                kernels_.cap_logits(part, (last_group - first_group) * group_rows, spec_.logit_multiplier,
                                    spec_.logit_softcap);
            kernels_.update_largest(part, last - first, first, largest[r]);
        }
    };
    project(split, in, logits, false, on_part);
}

// Merges what the threads of this pass found, lane by lane.
void Decoder::merge_largest(int num_rows, int num_threads) {
    likeliest_.assign(size_t(num_rows), -1);
    highest_.assign(size_t(num_rows), 0);
    for (int r = 0; r < num_rows; ++r) {
        bool is_finite = true;
        int32_t& best = likeliest_[size_t(r)];
        float& highest = highest_[size_t(r)];
        for (int thread = 0; thread < num_threads; ++thread) {
            const Largest& largest = scratch_[size_t(thread)].largest.as<Largest>()[r];
            for (int lane = 0; lane < group_rows; ++lane) {
                const int32_t token = largest.group[lane] * group_rows + lane;
                const float value = largest.value[lane];
                is_finite &= largest.not_finite[lane] == 0;
                if (best >= 0 && (value < highest || (value == highest && token > best))) continue;
                best = token;
                highest = value;
            }
        }
        if (!is_finite) best = -1;
    }
}

}  // namespace llmos
