// One thread's part of an encoder's forward pass. All threads call the same methods in the same order; see Step.
#pragma once

#include "encoder/encoder.h"
#include "transformer/step.h"

namespace llmos {

class Encoder::Pass : private Step {
  public:
    Pass(Encoder& encoder, const Batch& batch, float* out, int thread)
        : Step(encoder.pool_, encoder.kernels_, thread, nullptr),
          encoder_(encoder),
          spec_(encoder.spec_),
          batch_(batch),
          out_(out) {}

    void run();

  private:
    void embed();
    void norm(const Layer& layer, Vector weight, Vector bias, const PackedMatrix* reader, int token) const;
    void quantize_errors(const Activations& in, int token) const;
    void add_errors(const PackedMatrix& weights, int first_row, int last_row, int first_group, int last_group,
                    float* out, int out_stride) const;

    void attention(const Layer& layer);
    uint8_t* cache_of(int sequence, int head) const;
    void write_cache(int token, int head);
    void attend(const AttentionUnit& unit, const AttendedRows& attended);

    void feed_forward(const Layer& layer);
    void inner_block(const Layer& layer, const Activations& in, int block, int first_row, int last_row,
                     const Activations& inner);

    void pool_tokens();

    int num_tokens() const { return batch_.num_tokens; }
    int sequence(int token) const { return encoder_.token_sequence_[size_t(token)]; }
    int position(int token) const { return token - batch_.starts[sequence(token)]; }
    Scratch& scratch() const { return encoder_.scratch_[size_t(thread_)]; }
    float* x(int token) const { return encoder_.x_.as<float>() + size_t(token) * encoder_.hidden_columns_; }
    float* q(int token) const { return encoder_.q_.as<float>() + size_t(token) * encoder_.q_columns_; }
    float* k(int token) const { return encoder_.k_.as<float>() + size_t(token) * encoder_.q_columns_; }
    float* v(int token) const { return encoder_.v_.as<float>() + size_t(token) * encoder_.q_columns_; }

    Encoder& encoder_;
    const Spec& spec_;
    const Batch& batch_;
    float* const out_;
};

// Rounding activations to 8 bits is noise that a text's mean over its tokens averages out, the better the more tokens
// it has. A shorter text multiplies twice with the hidden columns: by the quantized activations, and by their quantized
// errors.
inline bool is_short(int num_tokens) { return num_tokens < 32; }

}  // namespace llmos
