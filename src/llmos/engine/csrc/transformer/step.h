// One thread's part of a forward pass: what the decoder and the encoder have in common.
//
// All threads of the pool call the same methods in the same order. A forward pass is a sequence of phases: a phase
// opens with a barrier, then every thread takes units of its work until none are left. Nothing here allocates or locks.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels.h"
#include "matrix.h"
#include "pool.h"
#include "transformer/activation_rows.h"
#include "transformer/attended_rows.h"
#include "transformer/profile.h"
#include "transformer/projection.h"

namespace llmos {

class Step {
  protected:
    // `profile` is null where nothing is timed.
    Step(Pool& pool, const Kernels& kernels, int thread, Profile* profile)
        : pool_(pool), kernels_(kernels), thread_(thread), profile_(profile) {}

    void enter(Region region) {
        if (profile_) profile_->enter(region);
    }

    // Waits for the other threads, then opens a phase of `count` units of work.
    void open_phase(Region region, int count) {
        enter(Region::wait);
        pool_.open_phase(thread_, count);
        enter(region);
    }

    // Opens a phase and calls body(unit) for the units that this thread takes, `grain` at a time.
    template <class Body> void for_each(Region region, int count, int grain, Body body) {
        open_phase(region, count);
        for (int begin, end; pool_.take(thread_, grain, begin, end);)
            for (int i = begin; i < end; ++i) body(i);
    }

    // out (+)= weights . in for all segments, within a phase of split.count(count_groups(segments)) units. Calls
    // on_part(segment, first_row, last_row, first_group, last_group) after each part; groups count within the segment.
    template <size_t N, class OnPart>
    void project(const Split& split, const Activations& in, const Segment (&segments)[N], bool accumulate,
                 OnPart on_part) {
        const int num_groups = count_groups(segments);
        for (int begin, end; pool_.take(thread_, split.grain, begin, end);) {
            const int first_row = split.first_row(begin), last_row = split.last_row(begin);
            const int first = split.first_group(begin);
            const int last = std::min(num_groups, split.first_group(end - 1) + split.group_step);
            int base = 0;
            for (const Segment& s : segments) {
                const int groups = s.weights->groups();
                const int from = std::max(first - base, 0), to = std::min(last - base, groups);
                base += groups;
                if (from >= to) continue;
                kernels_.matmul({s.weights, &in, first_row, last_row, from, to, s.bias, s.out_at(first_row, from),
                                 s.out_stride, accumulate});
                on_part(s, first_row, last_row, from, to);
            }
        }
    }

    template <size_t N>
    void project(const Split& split, const Activations& in, const Segment (&segments)[N], bool accumulate) {
        project(split, in, segments, accumulate, [](const Segment&, int, int, int, int) {});
    }

    // Stores blocks [first_block, last_block) of a row, from values [(last_block - first_block) * 32].
    void store_blocks(const float* values, InputFormats formats, const Activations& to, int row, int first_block,
                      int last_block) const {
        if (formats.int8) kernels_.quantize(values, to, row, first_block, last_block);
        if (formats.float32)
            std::copy_n(values, (last_block - first_block) * block_columns,
                        to.values + size_t(row) * to.columns + size_t(first_block) * block_columns);
    }

    // Multiplies one block of 32 columns of a product: out[rows][32]. Calls add(first_group, last_group) to let the
    // caller add to it; a half block that the matrix doesn't have becomes zeros.
    template <class Add>
    void multiply_block(const PackedMatrix& weights, const float* bias, const Activations& in, int block, int first_row,
                        int last_row, float* out, Add add) {
        const int first = 2 * block, last = std::min(first + 2, weights.groups());
        kernels_.matmul({&weights, &in, first_row, last_row, first, last, bias, out, block_columns, false});
        add(first, last);
        if (last == first + 1)
            for (int i = 0; i < last_row - first_row; ++i)
                std::fill_n(out + i * block_columns + group_rows, group_rows, 0.0f);
    }

    // rows = act(rows) * up, or act(rows) where up is null, for [rows][32] of one block of the feed-forward layer's
    // inner columns, times the factor of each row (null: 1); stores the result as input of the next product.
    void activate_block(ActivationKind kind, float* rows, const float* up, int block, int first_row, int last_row,
                        const Activations& inner, InputFormats formats, const float* factors = nullptr) const {
        kernels_.activate(kind, rows, up, (last_row - first_row) * block_columns, rows);
        if (factors)
            for (int row = first_row; row < last_row; ++row)
                for (int c = 0; c < block_columns; ++c) rows[(row - first_row) * block_columns + c] *= factors[row];
        for (int row = first_row; row < last_row; ++row, rows += block_columns)
            store_blocks(rows, formats, inner, row, block, block + 1);
    }

    // Quantizes the rows that attention filled, where that could not happen head by head.
    void quantize_attended(const AttendedRows& attended, int num_rows, int num_heads) {
        if (!attended.formats.int8 || attended.heads_are_blocks()) return;
        const Activations& rows = attended.rows;
        for_each(Region::attention, num_rows, 4, [&](int t) {
            float* row = rows.values + size_t(t) * rows.columns;
            std::fill(row + num_heads * attended.head_dim, row + rows.columns, 0.0f);
            kernels_.quantize(row, rows, t, 0, rows.blocks());
        });
    }

    Pool& pool_;
    const Kernels& kernels_;
    const int thread_;

  private:
    Profile* const profile_;
};

}  // namespace llmos
