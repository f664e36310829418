// Several residual streams (AltUp, Baykal et al. 2023), and the product of low rank beside attention (LAuReL, Menghani et
// al. 2024) that Gemma 3n has with them.

#include <algorithm>
#include <cmath>

#include "decoder/pass.h"

namespace llmos {

// The first stream is the embedding; the others are projections of it.
void Decoder::Pass::begin_streams() {
    const int rows = num_tokens();
    const Split split(rows);
    const auto copied = [&](int t, float* out) { std::copy_n(x(t), decoder_.hidden_columns_, out); };
    for (int s = 1; s < spec_.residual_streams; ++s) {
        const Segment projection[] = {
            {&decoder_.stream_projections_[size_t(s - 1)], nullptr, stream(0, s), stream_stride()}};
        const Activations in =
            open_phase_with_inputs(Region::embed, Region::embed, split.count(count_groups(projection)), rows,
                                   decoder_.hidden_columns_, input_formats(projection), copied);
        project(split, in, projection, false);
    }
    for_each(Region::embed, rows, 4, [&](int t) {
        std::copy_n(x(t), decoder_.hidden_columns_, stream(t, 0));
        for (int s = 1; s < spec_.residual_streams; ++s) match_magnitude(x(t), stream(t, s));
    });
}

// The residual stream that the head reads is the mean of the first and of projections of the others.
void Decoder::Pass::end_streams() {
    const int rows = num_tokens(), columns = decoder_.hidden_columns_;
    const Split split(rows);
    const float share = 1 / float(spec_.residual_streams);
    for (int s = 1; s < spec_.residual_streams; ++s) {
        const Segment projection[] = {{&decoder_.stream_outputs_[size_t(s - 1)], nullptr, branch(0), columns}};
        const auto copied = [&](int t, float* out) { std::copy_n(stream(t, s), columns, out); };
        const Activations in = open_phase_with_inputs(Region::head, Region::head, split.count(count_groups(projection)),
                                                      rows, columns, input_formats(projection), copied);
        project(split, in, projection, false);
        for_each(Region::head, rows, 4, [&](int t) {
            match_magnitude(stream(t, 0), branch(t));
            if (s == 1)
                for (int c = 0; c < columns; ++c) x(t)[c] = stream(t, 0)[c] * share;
            kernels_.add_scaled(branch(t), columns, share, x(t));
        });
    }
}

// Scales a row so that it has the root mean square of the target.
void Decoder::Pass::match_magnitude(const float* target, float* row) const {
    float wanted = 0, found = 0;
    for (int c = 0; c < spec_.hidden_size; ++c) {
        wanted += target[c] * target[c];
        found += row[c] * row[c];
    }
    const float size = float(spec_.hidden_size);
    const float scale = std::sqrt(wanted / size) / std::sqrt(std::max(found / size, 1e-5f));
    for (int c = 0; c < spec_.hidden_size; ++c) row[c] *= scale;
}

// tanh(router . norm(row) / hidden), one number for each stream.
void Decoder::Pass::stream_modes(const Layer& layer, const float* row, float* modes) const {
    float* normed = scratch().row.as<float>();
    norm(row, layer[Vector::stream_router_norm], nullptr, normed);
    for (int s = 0; s < spec_.residual_streams; ++s) {
        const float* router = layer[Vector::stream_router] + size_t(s) * spec_.hidden_size;
        float sum = 0;
        for (int c = 0; c < spec_.hidden_size; ++c) sum += router[c] * normed[c];
        modes[s] = std::tanh(sum / float(spec_.hidden_size));
    }
}

// Replaces the streams by what the layer expects of them, and gives the layer the first one.
void Decoder::Pass::predict_streams(const Layer& layer) {
    const int count = spec_.residual_streams, columns = decoder_.hidden_columns_;
    for_each(Region::norm, num_tokens(), 1, [&](int t) {
        float modes[Spec::max_streams], factors[Spec::max_streams][Spec::max_streams];
        stream_modes(layer, stream(t, 0), modes);
        for (int to = 0; to < count; ++to)
            for (int from = 0; from < count; ++from) {
                const float* weights = layer[Vector::stream_predict] + (to * count + from) * count;
                factors[to][from] = to == from;
                for (int s = 0; s < count; ++s) factors[to][from] += weights[s] * modes[s];
            }
        for (int c = 0; c < columns; ++c) {
            float values[Spec::max_streams];
            for (int s = 0; s < count; ++s) values[s] = stream(t, s)[c];
            for (int to = 0; to < count; ++to) {
                float sum = 0;
                for (int from = 0; from < count; ++from) sum += factors[to][from] * values[from];
                stream(t, to)[c] = sum;
            }
        }
        std::copy_n(stream(t, 0), columns, x(t));
    });
}

// Adds to each stream its share of what the layer changed in the first.
void Decoder::Pass::correct_streams(const Layer& layer) {
    const int count = spec_.residual_streams, columns = decoder_.hidden_columns_;
    for_each(Region::down, num_tokens(), 1, [&](int t) {
        float modes[Spec::max_streams];
        stream_modes(layer, x(t), modes);
        float* change = branch(t);
        for (int c = 0; c < columns; ++c) change[c] = x(t)[c] - stream(t, 0)[c];
        for (int s = 0; s < count; ++s) {
            float factor = 1;
            for (int m = 0; m < count; ++m) factor += layer[Vector::stream_correct][s * count + m] * modes[m];
            kernels_.add_scaled(change, columns, factor, stream(t, s));
        }
    });
}

// x = (x + y + norm(up . down . y)) / sqrt(2), where y is what attention has read. `down . y` is computed with the
// queries.
void Decoder::Pass::add_laurel(const Layer& layer) {
    const int rows = num_tokens(), columns = decoder_.hidden_columns_, low_columns = decoder_.laurel_columns_;
    const Split split(rows);
    const Segment up[] = {{&layer.laurel_up, nullptr, branch(0), columns}};
    const auto copied = [&](int t, float* out) {
        std::copy_n(decoder_.laurel_.as<float>() + size_t(t) * low_columns, spec_.laurel_size, out);
        std::fill(out + spec_.laurel_size, out + low_columns, 0.0f);
    };
    const Activations in = open_phase_with_inputs(Region::output, Region::output, split.count(count_groups(up)), rows,
                                                  low_columns, input_formats(up), copied);
    project(split, in, up, false);
    const float half = std::sqrt(0.5f);
    for_each(Region::output, rows, 4, [&](int t) {
        float* read = scratch().row.as<float>();
        norm(stream(t, 0), layer[Vector::attn_norm], nullptr, read);
        norm(branch(t), layer[Vector::laurel_norm], nullptr, branch(t));
        for (int c = 0; c < columns; ++c) x(t)[c] = (x(t)[c] + read[c] + branch(t)[c]) * half;
    });
}

}  // namespace llmos
