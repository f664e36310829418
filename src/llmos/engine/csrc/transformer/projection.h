// Products of several matrices with the same rows, and how the threads share them.
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels.h"
#include "matrix.h"

namespace llmos {

// Rows that go through a pair of groups before the next pair. Up to twice as many stay one span, so that no span is
// short.
constexpr int span_rows = 128, max_span_rows = 2 * span_rows;

// A matrix, its bias (null: none), and where its products go: out[row][out_stride].
struct Segment {
    const PackedMatrix* weights;
    const float* bias;
    float* out;
    int out_stride;

    float* out_at(int row, int group) const { return out + size_t(row) * out_stride + size_t(group) * group_rows; }
};

// The formats in which products read their input rows.
struct InputFormats {
    bool int8, float32;

    // An empty matrix, which a layer doesn't have, reads nothing.
    void add(const PackedMatrix& reader) {
        if (reader.rows()) (reader.packing() == Packing::floats ? float32 : int8) = true;
    }
};

inline InputFormats input_formats(const PackedMatrix& reader) {
    InputFormats formats{};
    formats.add(reader);
    return formats;
}

template <size_t N> InputFormats input_formats(const Segment (&readers)[N]) {
    InputFormats formats{};
    for (const Segment& s : readers) formats.add(*s.weights);
    return formats;
}

template <size_t N> int count_groups(const Segment (&segments)[N]) {
    int total = 0;
    for (const Segment& s : segments) total += s.weights->groups();
    return total;
}

// The split of a product among threads: a unit is `group_step` groups by a span of rows, and a thread takes `grain`
// units at a time. Few rows: long sweeps over the weights. Many rows: small, equal parts.
//
//              group 0, 1   group 2, 3   group 4, 5
//   span 0        unit 0       unit 2       unit 4
//   span 1        unit 1       unit 3       unit 5
struct Split {
    int rows, group_step, grain, span, num_spans;

    explicit Split(int rows)
        : rows(rows),
          group_step(rows <= 2 ? 1 : 2),
          grain(rows <= 2 ? 4 : 1),
          span(rows < max_span_rows ? rows : span_rows),
          num_spans(rows ? (rows + span - 1) / span : 0) {}

    int count(int groups) const { return (groups + group_step - 1) / group_step * num_spans; }
    int first_row(int unit) const { return unit % num_spans * span; }
    int last_row(int unit) const { return std::min(rows, first_row(unit) + span); }
    int first_group(int unit) const { return unit / num_spans * group_step; }
    int block(int unit) const { return first_group(unit) / groups_per_block; }

    // The same split with units of whole blocks of 32 columns.
    Split by_blocks() const {
        Split other = *this;
        other.group_step = groups_per_block;
        other.grain = grain > 1 ? 2 : 1;
        return other;
    }

    static constexpr int groups_per_block = block_columns / group_rows;
};

}  // namespace llmos
