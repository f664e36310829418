// A forward pass as the caller sees it: memory is reserved and the work is planned, then all threads run it.

#include "decoder/decoder.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "decoder/pass.h"

namespace llmos {
namespace {

// A product that overflows becomes a size that no system has, so that Buffer refuses it.
size_t saturating_product(size_t a, size_t b) {
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<size_t>::max() : product;
}

}  // namespace

Decoder::Decoder(Spec spec, Pool& pool, const Kernels& kernels, int num_blocks, CacheType cache_type, int num_states)
    : spec_(std::move(spec)),
      pool_(pool),
      kernels_(kernels),
      num_blocks_(num_blocks),
      hidden_columns_(round_up(spec_.hidden_size, block_columns)),
      q_columns_(round_up(spec_.num_heads * spec_.head_dim, block_columns)),
      kv_columns_(round_up(spec_.kv_size, block_columns)),
      intermediate_columns_(round_up(spec_.intermediate_size, block_columns)),
      expert_columns_(round_up(spec_.expert_size, block_columns)),
      recurrent_columns_(spec_.num_recurrent_layers ? round_up(spec_.recurrent_size(), block_columns) : 0),
      mix_columns_(spec_.num_recurrent_layers ? round_up(spec_.conv_channels(), block_columns) : 0),
      layer_input_columns_(round_up(spec_.layer_input_size, block_columns)),
      all_layer_inputs_columns_(round_up(spec_.all_layer_inputs(), block_columns)),
      laurel_columns_(round_up(spec_.laurel_size, block_columns)),
      layers_(size_t(spec_.num_layers)),
      cache_(saturating_product(size_t(num_blocks), block_bytes(spec_, cache_type))),
      block_stride_(block_bytes(spec_, cache_type)),
      num_states_(num_states),
      states_(saturating_product(size_t(num_states), state_bytes(spec_))),
      zeros_(size_t(hidden_columns_) * sizeof(float)),
      scratch_(size_t(pool.size())),
      scoring_(spec_.vocab_size, pool.size()) {
    for (size_t i = 0; i < layers_.size(); ++i)
        if (spec_.layers[i].has_experts) layers_[i].experts.resize(size_t(spec_.num_experts));
    stream_projections_.resize(size_t(spec_.residual_streams - 1));
    stream_outputs_.resize(size_t(spec_.residual_streams - 1));
    place_caches(cache_type);
    for (Scratch& scratch : scratch_) {
        scratch.attention.reserve_heads({cache_type, spec_.head_dim});
        scratch.rows.reserve(few_tokens,
                             std::max({hidden_columns_, q_columns_, layer_input_columns_, laurel_columns_}));
        scratch.row = Buffer(size_t(std::max({hidden_columns_, q_columns_, max_inner_columns(), recurrent_columns_,
                                              all_layer_inputs_columns_})) *
                             sizeof(float));
        scratch.expert_scores = Buffer(3 * size_t(spec_.num_experts) * sizeof(float));
        scratch.gate = Buffer(size_t(max_span_rows) * block_columns * sizeof(float));
        scratch.up = Buffer(size_t(max_span_rows) * block_columns * sizeof(float));
        scratch.low_rank = Buffer(size_t(Adapter::max_rank) * sizeof(float));
    }
}

// All layers and key/value heads of a block lie together, so that few streams touch few pages.
size_t Decoder::block_bytes(const Spec& spec, CacheType cache_type) {
    size_t total = 0;
    for (int i = 0; i < spec.num_layers; ++i)
        if (const Spec::Layer& layer = spec.layers[size_t(i)]; spec.caches(i))
            total += layer.num_kv_heads * CacheLayout{cache_type, layer.head_dim}.bytes();
    return total;
}

void Decoder::place_caches(CacheType cache_type) {
    size_t offset = 0;
    for (size_t i = 0; i < layers_.size(); ++i) {
        const Spec::Layer& at = spec_.layers[i];
        if (at.is_recurrent()) continue;
        layers_[i].cache_layout = {cache_type, at.head_dim};
        layers_[i].cache_offset = at.has_keys ? offset : layers_[size_t(at.keys_of)].cache_offset;
        if (spec_.caches(int(i))) offset += at.num_kv_heads * layers_[i].cache_layout.bytes();
    }
}

size_t Decoder::state_bytes(const Spec& spec) {
    if (!spec.num_recurrent_layers) return 0;
    const size_t inputs = size_t(spec.conv_size - 1) * round_up(spec.conv_channels(), block_columns);
    const size_t state = size_t(spec.recurrent_heads) * spec.recurrent_key_size * padded_value_size(spec);
    return saturating_product(size_t(spec.num_recurrent_layers), (inputs + state) * sizeof(float));
}

std::shared_ptr<const Buffer> Decoder::forward(const BatchView& batch) {
    reserve(batch);
    reserve_logits(batch.num_logit_rows);
    plan(batch, plan_);
    scoring_.plan(batch.scored);
    if (plan_tail(batch)) plan(tail_batch_, tail_plan_);
    if (profile_.is_on) profile_.start();
    const int num_threads = pool_.run([&](int thread) { Pass(*this, batch, thread).run(); });
    if (spec_.has_head) merge_largest(batch.num_logit_rows, num_threads);
    return logits_;
}

void Decoder::reserve(const BatchView& batch) {
    if (batch.num_tokens > token_capacity_) reserve_tokens(std::max(batch.num_tokens, 2 * token_capacity_));
    int longest = 0;
    for (int s = 0; s < batch.num_sequences; ++s)
        longest = std::max(longest, batch.context_lengths[s] + batch.starts[s + 1] - batch.starts[s]);
    if (longest > score_capacity_) {
        const int capacity = round_up(std::max(longest, 2 * score_capacity_), block_positions);
        for (Scratch& scratch : scratch_) scratch.attention.reserve_scores(capacity);
        score_capacity_ = capacity;
    }
}

void Decoder::reserve_logits(int num_rows) {
    if (num_rows <= logit_capacity_) return;
    const int capacity = std::max(num_rows, 2 * logit_capacity_);
    logits_ = std::make_shared<Buffer>(size_t(capacity) * logits_stride() * sizeof(float));
    for (Scratch& scratch : scratch_) scratch.largest = Buffer(size_t(capacity) * sizeof(Largest));
    logit_capacity_ = capacity;
}

void Decoder::reserve_tokens(int capacity) {
    const size_t n = size_t(capacity);
    x_ = Buffer(n * hidden_columns_ * sizeof(float));
    q_ = Buffer(n * q_columns_ * sizeof(float));
    k_ = Buffer(n * kv_columns_ * sizeof(float));
    v_ = Buffer(n * kv_columns_ * sizeof(float));
    rotations_ = Buffer(n * (rotations_stride() + 1) * sizeof(float));
    if (spec_.has_branch()) branch_ = Buffer(n * hidden_columns_ * sizeof(float));
    inputs_.reserve(capacity,
                    std::max({hidden_columns_, q_columns_, recurrent_columns_, layer_input_columns_, laurel_columns_}));
    if (spec_.has_streams()) streams_ = Buffer(n * spec_.residual_streams * hidden_columns_ * sizeof(float));
    if (spec_.laurel_size) laurel_ = Buffer(n * laurel_columns_ * sizeof(float));
    if (spec_.cuts_gates()) cut_gates_ = Buffer(n * intermediate_columns_ * sizeof(float));
    if (spec_.norms_experts) shared_outputs_ = Buffer(n * hidden_columns_ * sizeof(float));
    if (spec_.layer_input_size) {
        // An activation reads whole groups of a layer's inputs, which may end behind the row.
        layer_inputs_ = Buffer((n * all_layer_inputs_columns_ + group_rows) * sizeof(float));
        input_gates_ = Buffer(n * layer_input_columns_ * sizeof(float));
    }
    if (gate_columns()) gates_ = Buffer(n * gate_columns() * sizeof(float));
    inner_.reserve(inner_rows(capacity), max_inner_columns());
    if (spec_.num_experts) reserve_experts(capacity);
    if (spec_.num_recurrent_layers) reserve_recurrence(capacity);
    token_capacity_ = capacity;  // last: an allocation above may fail
}

void Decoder::reserve_experts(int capacity) {
    const int slots = inner_rows(capacity);
    expert_inputs_.reserve(slots, hidden_columns_);
    router_logits_ = Buffer(size_t(capacity) * router_stride() * sizeof(float));
    expert_outputs_ = Buffer(size_t(slots) * hidden_columns_ * sizeof(float));
    choices_.resize(size_t(slots));
    slot_token_.resize(size_t(slots));
    choice_slot_.resize(size_t(slots));
    expert_slots_.resize(size_t(spec_.num_experts) + 1);
    expert_units_.reserve(size_t(slots));
    shared_gates_.resize(size_t(capacity));
}

void Decoder::reserve_recurrence(int capacity) {
    const size_t n = size_t(capacity);
    // The last head's values are read in groups of sixteen, which may end behind the row.
    mix_ = Buffer((n * mix_columns_ + group_rows) * sizeof(float));
    if (spec_.recurrence == Recurrence::convolution) mix_in_ = Buffer(n * mix_columns_ * sizeof(float));
    decays_ = Buffer(n * step_stride() * sizeof(float));
    corrections_ = Buffer(n * step_stride() * sizeof(float));
    recurred_ = Buffer(n * recurred_stride() * sizeof(float));
}

}  // namespace llmos
