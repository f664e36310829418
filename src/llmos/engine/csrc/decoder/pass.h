// One thread's part of a decoder's forward pass. All threads call the same methods in the same order; see Step.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "decoder/decoder.h"
#include "transformer/step.h"

namespace llmos {

class Decoder::Pass : private Step {
  public:
    Pass(Decoder& decoder, const BatchView& batch, int thread)
        : Step(decoder.pool_, decoder.kernels_, thread,
               decoder.profile_.is_on && thread == 0 ? &decoder.profile_ : nullptr),
          decoder_(decoder),
          spec_(decoder.spec_),
          batch_(&batch),
          plan_(&decoder.plan_) {}

    void run();

    // stage.cpp
    void advance(const float* rows, float* out);
    void finish(const float* rows);

  private:
    // pass.cpp
    void begin();
    bool layers();
    void end();
    void embed();
    void rotate(int token);
    void keep_wanted_rows();
    void norm(const float* in, const float* weight, const float* bias, float* out) const;
    void read_input(int token, const float* weight, const float* bias, float* out) const;
    void norm_residual(const float* weight, const float* bias);
    void output_rows();
    void add_branch(Region region, const float* weight, const float* bias, const float* scale = nullptr);

    // stage.cpp
    void take_rows(const float* rows);
    void take_keys(const float* keys, int layer);
    void give_rows(float* out);
    void give_keys(int layer);
    void pass_keys(const float* rows, int layer);
    void copy_residual(int token, float* to) const;
    void set_residual(int token, const float* from);

    // attention.cpp
    void attention(const Layer& layer, int index);
    void project_qkv(const Layer& layer, int index);
    void norm_all_heads(const Layer& layer);
    void norm_head(const float* head, int head_dim, const float* weight, float* out) const;
    void position_head(const Spec::Layer& at, const float* all_heads, int head_index, const float* norm_weights,
                       int token, float scale, float* out) const;
    int last_visible(int sequence, int position, int window) const;
    float query_scale(int position) const;
    float* gates(int token) const { return decoder_.gates_.as<float>() + size_t(token) * decoder_.gate_columns(); }
    uint8_t* cache_of(const Layer& layer, int kv_head) const {
        return decoder_.cache_.as<uint8_t>() + layer.cache_offset + size_t(kv_head) * layer.cache_layout.bytes();
    }
    void write_cache(const Layer& layer, int index, int token, int kv_head);
    void attend(const Layer& layer, int index, const AttentionUnit& unit, const AttentionUnit* next,
                const AttendedRows& attended);

    // feed_forward.cpp
    void feed_forward(const Layer& layer, int index);
    void cut_gates(const Layer& layer, int index);
    // The differences between the feed-forward layer's own weights and an expert's.
    struct InnerWeights {
        const FeedForward& weights;
        const float *gate_bias, *up_bias;
        int index;  // of the layer, where adapters may add to the rows; -1: the rows are not the batch's tokens
        const float* factors;  // of the rows' inner values; null: 1
        const float* gates;    // [rows][intermediate_columns_], computed already; null: they are not
    };
    void inner_block(const InnerWeights& from, const Activations& in, int block, int first_row, int last_row,
                     const Activations& inner, InputFormats formats);

    // experts.cpp
    void experts(const Layer& layer);
    void route(const Layer& layer, const Activations& inputs, InputFormats formats);
    void choose_experts(const Layer& layer, const float* input, int token);
    void rank_experts(const Layer& layer, const float* scores, float* ranks) const;
    const float* expert_bias(const Layer& layer, Vector which, int expert, int columns) const {
        return layer[which] ? layer[which] + size_t(expert) * columns : nullptr;
    }
    void copy_row(const Activations& from, int row, const Activations& to, int slot, InputFormats formats) const;
    void add_expert_outputs(int token);
    float* expert_output(int slot) const {
        return decoder_.expert_outputs_.as<float>() + size_t(slot) * decoder_.hidden_columns_;
    }

    // layer_inputs.cpp
    void make_layer_inputs();
    void add_layer_input(const Layer& layer, int index);
    float* layer_inputs(int token) const {
        return decoder_.layer_inputs_.as<float>() + size_t(token) * decoder_.all_layer_inputs_columns_;
    }

    // streams.cpp
    void begin_streams();
    void end_streams();
    void predict_streams(const Layer& layer);
    void correct_streams(const Layer& layer);
    void stream_modes(const Layer& layer, const float* row, float* modes) const;
    void match_magnitude(const float* target, float* row) const;
    void add_laurel(const Layer& layer);
    int stream_stride() const { return spec_.residual_streams * decoder_.hidden_columns_; }
    float* stream(int token, int index) const {
        return decoder_.streams_.as<float>() + size_t(token) * stream_stride() +
               size_t(index) * decoder_.hidden_columns_;
    }

    // recurrence.cpp
    void recurrent(const Layer& layer, int index);
    void project_mix(const Layer& layer);
    void convolve(const Layer& layer, int index, int sequence, int first_channel);
    void prepare_recurrence(const Layer& layer, int token);
    void recur(const Layer& layer, int index, int sequence, int head, int first_column);
    void gated_norm(const Layer& layer, int token, float* out);
    float* conv_inputs(int index, int state) const;
    float* head_state(int index, int state, int head, int first_column) const;
    // Calls run(first, count) for the sequence's new tokens, in parts that end where its state is copied, and there
    // copy(state).
    template <class Run, class Copy> void in_parts(int sequence, const Run& run, const Copy& copy) const {
        const StateCopy *next = batch_->copies, *end = next + batch_->num_copies;
        next = std::lower_bound(next, end, sequence, [](const StateCopy& each, int s) { return each.sequence < s; });
        int done = 0;
        for (; next != end && next->sequence == sequence; ++next) {
            run(done, next->num_tokens - done);
            copy(next->state);
            done = next->num_tokens;
        }
        const int num_tokens = batch_->starts[sequence + 1] - batch_->starts[sequence];
        if (done < num_tokens) run(done, num_tokens - done);
    }
    float* mix(int token) const { return decoder_.mix_.as<float>() + size_t(token) * decoder_.mix_columns_; }

    // adapters.cpp
    struct AdaptedProduct {
        Weight which;
        Activations in;
        float* out;
        int out_stride;
        bool is_aside = false;  // what the products are added to was set aside
    };
    float* aside(int token) const { return decoder_.aside_.as<float>() + size_t(token) * decoder_.hidden_columns_; }
    void set_aside(int layer, Weight which, float* out);
    bool has_adapted_tokens() const { return !plan_->adapted_tokens.empty(); }
    InputFormats for_adapters(InputFormats formats) const;
    const LowRank* low_rank(int token, int layer, Weight which) const;
    void project_down(const LowRank& added, const float* x, float* out) const;
    void add_up(const LowRank& added, const float* low_rank, int first_group, int last_group, float* out) const;
    void add_adapters(int layer, std::initializer_list<AdaptedProduct> products);
    float* gate_or_up_low_rank(Weight which, int token) const;
    void project_gate_and_up_down(const Layer& layer, int index);
    void add_adapters_to_block(int layer, Weight which, int first_group, int last_group, int first_row, int last_row,
                               float* out) const;

    // head.cpp
    Segment head_segment(float* out, int stride) const;
    Activations open_head_phase(Region region, int count, int num_rows, const int32_t* rows);
    void cap_logits(float* logits, int num_groups) const;
    void head();
    void score();
    void compute_own_logit(const Activations& in, int index);
    void score_unit(const Activations& in, const Scoring::Unit& unit, Scoring::Scratch& scratch);

    // Opens a phase whose units read rows that `make(row, out)` makes, from what is complete when every thread has come
    // here. Few rows are made by each thread for itself; many are shared, and take a phase before.
    template <class Make>
    Activations open_phase_with_inputs(Region making, Region region, int count, int rows, int columns,
                                       InputFormats formats, Make make) {
        const bool is_few = rows <= few_tokens;
        const Activations in = (is_few ? scratch().rows : decoder_.inputs_).view(columns);
        const auto fill = [&](int row) {
            float* out = formats.float32 ? in.values + size_t(row) * columns : scratch().row.as<float>();
            make(row, out);
            if (formats.int8) kernels_.quantize(out, in, row, 0, in.blocks());
        };
        if (!is_few) for_each(making, rows, 4, fill);
        open_phase(is_few ? making : region, count);
        if (is_few) {
            for (int row = 0; row < rows; ++row) fill(row);
            enter(region);
        }
        return in;
    }

    // Multiplies all segments with the input of a layer's first part, normalized.
    template <size_t N> Activations project_input(const Layer& layer, const Segment (&segments)[N]) {
        const Split split(num_tokens());
        const auto normed = [&](int t, float* out) {
            read_input(t, layer[Vector::attn_norm], layer[Vector::attn_norm_bias], out);
        };
        const Activations in =
            open_phase_with_inputs(Region::norm, Region::qkv, split.count(count_groups(segments)), num_tokens(),
                                   decoder_.hidden_columns_, for_adapters(input_formats(segments)), normed);
        project(split, in, segments, false);
        return in;
    }

    // Multiplies what attention or a recurrence made of the tokens with `o`, and adds it to the residual stream.
    void project_output(const Layer& layer, int index, const Activations& rows);

    int num_tokens() const { return batch_->num_tokens; }
    Scratch& scratch() const { return decoder_.scratch_[size_t(thread_)]; }
    float* x(int token) const { return decoder_.x_.as<float>() + size_t(token) * decoder_.hidden_columns_; }
    float* branch(int token) const { return decoder_.branch_.as<float>() + size_t(token) * decoder_.hidden_columns_; }
    float* q(int token) const { return decoder_.q_.as<float>() + size_t(token) * decoder_.q_columns_; }
    float* k(int token) const { return decoder_.k_.as<float>() + size_t(token) * decoder_.kv_columns_; }
    float* v(int token) const { return decoder_.v_.as<float>() + size_t(token) * decoder_.kv_columns_; }
    // The place where attention and feed-forward put their output: the residual stream itself, or a buffer.
    float* output() const { return spec_.has_branch() ? branch(0) : x(0); }
    // The factors of the residual stream at the end of a layer, where `is_end` says that it is there; or null.
    const float* scale_at_end(const Layer& layer, bool is_end) const { return is_end ? layer[Vector::scale] : nullptr; }

    Decoder& decoder_;
    const Spec& spec_;
    const BatchView* batch_;
    const TokenPlan* plan_;
    float* given_ = nullptr;  // the rows for the next stage, where there is one
};

}  // namespace llmos
