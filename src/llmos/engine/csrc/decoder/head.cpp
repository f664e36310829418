// The head: logits of the rows that want them, with the largest logit of each row on the way, and scores of given tokens.

#include <algorithm>
#include <limits>

#include "decoder/pass.h"

namespace llmos {

// The head's matrix and bias, with logits that go to `out`.
Segment Decoder::Pass::head_segment(float* out, int stride) const {
    return {spec_.tied_head ? &decoder_.embed_ : &decoder_.head_, decoder_.outer_[Vector::head_bias], out, stride};
}

// Opens a phase of `count` units whose inputs are these rows of the residual stream, normalized.
Activations Decoder::Pass::open_head_phase(Region region, int count, int num_rows, const int32_t* rows) {
    const Layer& outer = decoder_.outer_;
    const auto normed = [&](int r, float* out) {
        norm(x(rows[r]), outer[Vector::final_norm], outer[Vector::final_norm_bias], out);
    };
    const PackedMatrix& weights = *head_segment(nullptr, 0).weights;
    return open_phase_with_inputs(Region::norm, region, count, num_rows, decoder_.hidden_columns_,
                                  input_formats(weights), normed);
}

// Changes the logits of some groups as the spec says.
void Decoder::Pass::cap_logits(float* logits, int num_groups) const {
    if (spec_.logit_multiplier == 1 && !spec_.logit_softcap) return;
    kernels_.cap_logits(logits, num_groups * group_rows, spec_.logit_multiplier, spec_.logit_softcap);
}

void Decoder::Pass::head() {
    const int rows = batch_->num_logit_rows;
    if (!rows) return;
    const Segment logits[] = {head_segment(decoder_.logits_->as<float>(), decoder_.logits_stride())};
    const Split split(rows);
    const Activations in =
        open_head_phase(Region::head, split.count(logits[0].weights->groups()), rows, batch_->logit_rows);
    Largest* largest = scratch().largest.as<Largest>();
    for (int r = 0; r < rows; ++r) {
        largest[r] = {};
        std::fill_n(largest[r].value, group_rows, std::numeric_limits<float>::lowest());
    }
    // The sampler's first pass, while the logits are in the CPU's cache.
    const auto on_part = [&](const Segment& s, int first_row, int last_row, int first_group, int last_group) {
        const int first = first_group * group_rows, last = std::min(last_group * group_rows, spec_.vocab_size);
        for (int r = first_row; r < last_row; ++r) {
            float* part = s.out_at(r, first_group);
            cap_logits(part, last_group - first_group);
            kernels_.update_largest(part, last - first, first, largest[r]);
        }
    };
    project(split, in, logits, false, on_part);
}

// Scores the given tokens. Each token's own logit comes first: its rank is counted while the others are computed.
void Decoder::Pass::score() {
    Scoring& scoring = decoder_.scoring_;
    const int rows = scoring.num_rows();
    if (!rows) return;
    const Activations in = open_head_phase(Region::score, scoring.num_tokens(), rows, scoring.rows().data());
    for (int begin, end; pool_.take(thread_, 4, begin, end);)
        for (int i = begin; i < end; ++i) compute_own_logit(in, i);
    Scoring::Scratch& scratch = scoring.scratch(thread_);
    scoring.clear(scratch);
    for_each(Region::score, scoring.num_units(), 1, [&](int unit) { score_unit(in, scoring.unit(unit), scratch); });
    for_each(Region::score, rows, 4, [&](int row) { scoring.finish(row, pool_.active()); });
}

void Decoder::Pass::compute_own_logit(const Activations& in, int index) {
    Scoring& scoring = decoder_.scoring_;
    const int row = scoring.row_of(index), group = scoring.token(index) / group_rows;
    alignas(64) float logits[group_rows];
    const Segment head = head_segment(logits, group_rows);
    kernels_.matmul({head.weights, &in, row, row + 1, group, group + 1, head.bias, logits, group_rows, false});
    cap_logits(logits, 1);
    scoring.logit_of(index) = logits[scoring.token(index) % group_rows];
}

void Decoder::Pass::score_unit(const Activations& in, const Scoring::Unit& unit, Scoring::Scratch& scratch) {
    constexpr int groups_of_block = logit_block / group_rows;
    const Segment head = head_segment(scratch.logits(0), logit_block);
    const int first = unit.block * groups_of_block, last = std::min(first + groups_of_block, head.weights->groups());
    kernels_.matmul({head.weights, &in, unit.first_row, unit.last_row, first, last, head.bias, scratch.logits(0),
                     logit_block, false});
    for (int row = unit.first_row; row < unit.last_row; ++row) {
        float* logits = scratch.logits(row - unit.first_row);
        cap_logits(logits, last - first);
        decoder_.scoring_.reduce(kernels_, scratch, row, unit.block, logits);
    }
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
