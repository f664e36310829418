#include "decoder.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace llmos {
namespace {

// With so few tokens every thread prepares all activations for itself: that costs less than a barrier.
constexpr int few_tokens = 4;

// A product that is too large becomes one that no system gives.
size_t times(size_t a, size_t b) {
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<size_t>::max() : product;
}

}  // namespace

Activations Decoder::Scratch::view(int columns) const {
    return {values.as<float>(), quantized.as<int8_t>(), scales.as<float>(), scaled_sums.as<float>(), sums.as<int32_t>(), columns};
}

void Decoder::Scratch::reserve(int rows, int columns) {
    const size_t count = size_t(rows) * columns, blocks = count / block_columns;
    values = Buffer(count * sizeof(float));
    quantized = Buffer(count);
    scales = Buffer(blocks * sizeof(float));
    scaled_sums = Buffer(blocks * sizeof(float));
    sums = Buffer(blocks * sizeof(int32_t));
}

Decoder::Decoder(Spec spec, Pool& pool, const Kernels& kernels, int num_blocks, bool half)
    : spec_(std::move(spec)), pool_(pool), kernels_(kernels), num_blocks_(num_blocks), half_(half),
      hidden_(round_up(spec_.hidden_size, block_columns)),
      attention_(round_up(spec_.num_heads * spec_.head_dim, block_columns)),
      kv_(round_up(spec_.num_kv_heads * spec_.head_dim, block_columns)),
      intermediate_(round_up(spec_.intermediate_size, block_columns)),
      padded_head_dim_(round_up(spec_.head_dim, 16)),
      layers_(size_t(spec_.num_layers)),
      cache_(times(size_t(num_blocks), block_bytes(spec_, half))),
      block_elements_(int64_t(spec_.num_kv_heads) * 16 * (spec_.head_dim + padded_head_dim_)),
      own_(size_t(pool.size())) {}

size_t Decoder::block_bytes(const Spec& spec, bool half) {
    return size_t(spec.num_layers) * spec.num_kv_heads * 16 * (spec.head_dim + round_up(spec.head_dim, 16)) * (half ? 2 : 4);
}

Shape Decoder::shape(int layer, Weight which) const {
    const Spec& s = spec_;
    if (layer < 0)
        switch (which) {
            case Weight::embed: return {s.vocab_size, s.hidden_size};
            case Weight::positions: return s.learned_positions ? Shape{s.max_positions, s.hidden_size} : Shape{};
            case Weight::head: return s.tied_head ? Shape{} : Shape{s.vocab_size, s.hidden_size};
            default: return {};
        }
    switch (which) {
        case Weight::q: return {s.num_heads * s.head_dim, s.hidden_size};
        case Weight::k: case Weight::v: return {s.num_kv_heads * s.head_dim, s.hidden_size};
        case Weight::o: return {s.hidden_size, s.num_heads * s.head_dim};
        case Weight::gate: return s.gated ? Shape{s.intermediate_size, s.hidden_size} : Shape{};
        case Weight::up: return {s.intermediate_size, s.hidden_size};
        case Weight::down: return {s.hidden_size, s.intermediate_size};
        default: return {};
    }
}

int Decoder::size(int layer, Vector which) const {
    const Spec& s = spec_;
    if (layer < 0)
        switch (which) {
            case Vector::final_norm: return s.hidden_size;
            case Vector::final_norm_bias: return s.layer_norm ? s.hidden_size : 0;
            default: return 0;
        }
    switch (which) {
        case Vector::attn_norm: case Vector::mlp_norm: return s.hidden_size;
        case Vector::attn_norm_bias: case Vector::mlp_norm_bias: return s.layer_norm ? s.hidden_size : 0;
        case Vector::q_bias: return s.qkv_bias ? s.num_heads * s.head_dim : 0;
        case Vector::k_bias: case Vector::v_bias: return s.qkv_bias ? s.num_kv_heads * s.head_dim : 0;
        case Vector::o_bias: return s.output_bias ? s.hidden_size : 0;
        case Vector::gate_bias: return s.mlp_bias && s.gated ? s.intermediate_size : 0;
        case Vector::up_bias: return s.mlp_bias ? s.intermediate_size : 0;
        case Vector::down_bias: return s.mlp_bias ? s.hidden_size : 0;
        case Vector::q_norm: case Vector::k_norm: return s.qk_norm ? s.head_dim : 0;
        default: return 0;
    }
}

PackedMatrix& Decoder::matrix(int index, Weight which) {
    Layer& at = layer(index);
    switch (which) {
        case Weight::q: return at.q;
        case Weight::k: return at.k;
        case Weight::v: return at.v;
        case Weight::o: return at.o;
        case Weight::gate: return at.gate;
        case Weight::up: return at.up;
        case Weight::down: return at.down;
        case Weight::embed: return embed_;
        case Weight::positions: return positions_;
        default: return head_;
    }
}

size_t Decoder::weight_bytes() const {
    size_t total = embed_.bytes() + positions_.bytes() + head_.bytes();
    for (const Layer& l : layers_)
        for (const PackedMatrix* m : {&l.q, &l.k, &l.v, &l.o, &l.gate, &l.up, &l.down}) total += m->bytes();
    return total;
}

void Decoder::reserve(const BatchView& batch) {
    if (batch.num_tokens > token_capacity_) {
        const int capacity = std::max(batch.num_tokens, 2 * token_capacity_);
        const size_t n = size_t(capacity);
        x_ = Buffer(n * hidden_ * sizeof(float));
        q_ = Buffer(n * attention_ * sizeof(float));
        k_ = Buffer(n * kv_ * sizeof(float));
        v_ = Buffer(n * kv_ * sizeof(float));
        attended_ = Buffer(n * attention_ * sizeof(float));
        gate_ = Buffer(n * intermediate_ * sizeof(float));
        up_ = Buffer(n * intermediate_ * sizeof(float));
        rotations_ = Buffer(n * (spec_.inverse_frequencies.size() + 1) * 2 * sizeof(float));
        const int widest = std::max({hidden_, attention_, intermediate_});
        shared_.reserve(capacity, widest);
        for (Scratch& own : own_) own.reserve(few_tokens, widest);
        token_capacity_ = capacity;  // last: there may be no memory for one of them
    }
    if (batch.num_logit_rows > logit_capacity_) {
        const int capacity = std::max(batch.num_logit_rows, 2 * logit_capacity_);
        logits_ = std::make_shared<Buffer>(size_t(capacity) * logits_stride() * sizeof(float));
        logit_capacity_ = capacity;
    }
    int longest = 0;
    for (int s = 0; s < batch.num_sequences; ++s)
        longest = std::max(longest, batch.context_lengths[s] + batch.starts[s + 1] - batch.starts[s]);
    if (longest > score_capacity_) {
        const int capacity = round_up(std::max(longest, 2 * score_capacity_), block_positions);
        for (Scratch& own : own_) own.scores = Buffer(size_t(AttentionArgs::max_rows) * capacity * sizeof(float));
        score_capacity_ = capacity;
    }
}

// A tile is as many query heads of one key/value head, then as many tokens, as the kernel takes rows. With little to
// share among the threads every query head goes alone.
void Decoder::plan_attention(const BatchView& batch) {
    token_sequence_.resize(size_t(batch.num_tokens));
    token_position_.resize(size_t(batch.num_tokens));
    for (int s = 0; s < batch.num_sequences; ++s)
        for (int t = batch.starts[s]; t < batch.starts[s + 1]; ++t) {
            token_sequence_[size_t(t)] = s;
            token_position_[size_t(t)] = batch.context_lengths[s] + t - batch.starts[s];
        }
    const int group = spec_.num_heads / spec_.num_kv_heads;
    const bool is_little = batch.num_tokens * spec_.num_kv_heads < 4 * pool_.size();
    const int heads = is_little ? 1 : std::min(group, AttentionArgs::max_rows);
    const int tokens = AttentionArgs::max_rows / heads;
    units_.clear();
    for (int s = 0; s < batch.num_sequences; ++s)
        for (int t = batch.starts[s]; t < batch.starts[s + 1]; t += tokens)
            for (int kv_head = 0; kv_head < spec_.num_kv_heads; ++kv_head)
                for (int h = 0; h < group; h += heads)
                    units_.push_back({s, t, std::min(tokens, batch.starts[s + 1] - t), kv_head * group + h, std::min(heads, group - h)});
}

// One thread's way through one step. All threads call the same methods in the same order.
class Decoder::Pass {
  public:
    Pass(Decoder& decoder, const BatchView& batch, int thread)
        : d_(decoder), spec_(decoder.spec_), pool_(decoder.pool_), k_(decoder.kernels_), batch_(batch), thread_(thread) {}

    void run() {
        embed();
        for (int i = 0; i < spec_.num_layers; ++i) {
            const Layer& layer = d_.layers_[size_t(i)];
            attention(layer, i);
            feed_forward(layer);
        }
        head();
        enter(Region::wait);
    }

  private:
    int num_tokens() const { return batch_.num_tokens; }
    float* x(int token) const { return d_.x_.as<float>() + size_t(token) * d_.hidden_; }

    void enter(Region region) {
        if (is_profiled_) d_.profile_.enter(region);
    }

    // Meets the others, then opens a phase of `count` units of work.
    void open(Region region, int count) {
        enter(Region::wait);
        pool_.open(thread_, count);
        enter(region);
    }

    template <class Body> void for_each(Region region, int count, int grain, Body body) {
        open(region, count);
        for (int begin, end; pool_.take(thread_, grain, begin, end);)
            for (int i = begin; i < end; ++i) body(i);
    }

    void embed() {
        const int half_dim = int(spec_.inverse_frequencies.size());
        for_each(Region::embed, num_tokens(), 4, [&](int t) {
            const int position = d_.token_position_[size_t(t)];
            d_.embed_.read_row(batch_.tokens[t], x(t));
            if (spec_.learned_positions) {
                float* row = d_.own_[size_t(thread_)].values.as<float>();
                d_.positions_.read_row(position, row);
                for (int c = 0; c < d_.hidden_; ++c) x(t)[c] += row[c];
            }
            float* rotation = d_.rotations_.as<float>() + size_t(t) * half_dim * 2;
            for (int i = 0; i < half_dim; ++i) {
                const double angle = position * spec_.inverse_frequencies[size_t(i)];
                rotation[i] = float(std::cos(angle));
                rotation[half_dim + i] = float(std::sin(angle));
            }
        });
    }

    // out (+)= weights . prepared rows. `prepare(row, out)` makes a row of `columns` activations, from what is complete
    // when every thread has come here. With few rows each thread makes all of them for itself.
    template <size_t N, class Prepare>
    void project(Region preparing, Region region, int rows, int columns, Prepare prepare, const Segment (&segments)[N], bool accumulate) {
        if (!rows) return;
        bool as_bytes = false;
        int num_groups = 0;
        for (const Segment& s : segments) {
            as_bytes |= s.weights->packing() != Packing::floats;
            num_groups += s.weights->groups();
        }
        const bool is_few = rows <= few_tokens;
        const Activations in = (is_few ? d_.own_[size_t(thread_)] : d_.shared_).view(columns);
        const auto fill = [&](int row) {
            prepare(row, in.values + size_t(row) * columns);
            if (as_bytes) k_.quantize(in, row);
        };
        // Few rows: long sweeps over the weights. Many: pairs of groups, and stretches of rows to share evenly.
        const int stretch = rows >= 256 ? 128 : rows, num_stretches = (rows + stretch - 1) / stretch;
        const int step = rows <= 2 ? 1 : 2, grain = rows <= 2 ? 4 : 1;
        if (!is_few) for_each(preparing, rows, 4, fill);
        open(is_few ? preparing : region, (num_groups + step - 1) / step * num_stretches);
        if (is_few) {
            for (int row = 0; row < rows; ++row) fill(row);
            enter(region);
        }
        for (int begin, end; pool_.take(thread_, grain, begin, end);) {
            const int part = begin % num_stretches;
            const int first = begin / num_stretches * step, last = std::min(num_groups, ((end - 1) / num_stretches + 1) * step);
            int base = 0;
            for (const Segment& s : segments) {
                const int groups = s.weights->groups(), from = std::max(first, base), to = std::min(last, base + groups);
                if (from < to)
                    k_.matmul({s.weights, &in, part * stretch, std::min(rows, (part + 1) * stretch), from - base, to - base,
                               s.bias, s.out, s.out_stride, accumulate});
                base += groups;
            }
        }
    }

    void norm(const float* in, const float* weight, const float* bias, float* out) const {
        if (spec_.layer_norm) k_.layer_norm(in, weight, bias, spec_.norm_eps, spec_.hidden_size, d_.hidden_, out);
        else k_.rms_norm(in, weight, spec_.norm_eps, spec_.hidden_size, d_.hidden_, out);
    }

    void attention(const Layer& layer, int index) {
        const auto normed = [&](int t, float* out) { norm(x(t), layer[Vector::attn_norm], layer[Vector::attn_norm_bias], out); };
        const Segment qkv[] = {{&layer.q, layer[Vector::q_bias], d_.q_.as<float>(), d_.attention_},
                               {&layer.k, layer[Vector::k_bias], d_.k_.as<float>(), d_.kv_},
                               {&layer.v, layer[Vector::v_bias], d_.v_.as<float>(), d_.kv_}};
        project(Region::norm, Region::qkv, num_tokens(), d_.hidden_, normed, qkv, false);

        for_each(Region::position, num_tokens() * spec_.num_kv_heads, 4,
                 [&](int i) { position_heads(layer, index, i / spec_.num_kv_heads, i % spec_.num_kv_heads); });
        for_each(Region::attention, int(d_.units_.size()), 1, [&](int i) { attend(index, d_.units_[size_t(i)]); });

        const auto attended = [&](int t, float* out) {
            std::copy_n(d_.attended_.as<float>() + size_t(t) * d_.attention_, d_.attention_, out);
        };
        const Segment o[] = {{&layer.o, layer[Vector::o_bias], d_.x_.as<float>(), d_.hidden_}};
        project(Region::norm, Region::output, num_tokens(), d_.attention_, attended, o, true);
    }

    // RMS norm over one head (spec.qk_norm), in place.
    void norm_head(float* head, const float* weight) const {
        float squares = 0;
        for (int d = 0; d < spec_.head_dim; ++d) squares += head[d] * head[d];
        const float scale = 1 / std::sqrt(squares / float(spec_.head_dim) + spec_.norm_eps);
        for (int d = 0; d < spec_.head_dim; ++d) head[d] = head[d] * scale * weight[d];
    }

    // Rotary positions (Su et al. 2021), dimension i with i + head_dim / 2; then times `scale`.
    void rotate(float* head, int token, float scale) const {
        const int half_dim = int(spec_.inverse_frequencies.size());
        const float* cosine = d_.rotations_.as<float>() + size_t(token) * half_dim * 2;
        const float* sine = cosine + half_dim;
        for (int i = 0; i < half_dim; ++i) {
            const float a = head[i], b = head[i + half_dim];
            head[i] = (a * cosine[i] - b * sine[i]) * scale;
            head[i + half_dim] = (b * cosine[i] + a * sine[i]) * scale;
        }
        for (int i = 2 * half_dim; i < spec_.head_dim; ++i) head[i] *= scale;
    }

    void* cache_block(int layer, int kv_head) const {  // of block 0
        const int64_t element = int64_t(layer) * d_.num_blocks_ * d_.block_elements_ + int64_t(kv_head) * head_elements();
        return d_.cache_.as<uint8_t>() + element * (d_.half_ ? 2 : 4);
    }
    int64_t head_elements() const { return int64_t(16) * (spec_.head_dim + d_.padded_head_dim_); }

    // Norms and rotates a key/value head and its query heads, and writes key and value into the cache.
    void position_heads(const Layer& layer, int index, int token, int kv_head) {
        const int group = spec_.num_heads / spec_.num_kv_heads, dim = spec_.head_dim;
        const float scale = 1 / std::sqrt(float(dim));
        for (int h = kv_head * group; h < (kv_head + 1) * group; ++h) {
            float* query = d_.q_.as<float>() + size_t(token) * d_.attention_ + size_t(h) * dim;
            if (spec_.qk_norm) norm_head(query, layer[Vector::q_norm]);
            rotate(query, token, scale);
        }
        float* key = d_.k_.as<float>() + size_t(token) * d_.kv_ + size_t(kv_head) * dim;
        const float* value = d_.v_.as<float>() + size_t(token) * d_.kv_ + size_t(kv_head) * dim;
        if (spec_.qk_norm) norm_head(key, layer[Vector::k_norm]);
        rotate(key, token, 1);
        const int position = d_.token_position_[size_t(token)];
        const int block = batch_.block_tables[int64_t(d_.token_sequence_[size_t(token)]) * batch_.table_stride + position / 16];
        uint8_t* at = (uint8_t*)cache_block(index, kv_head) + int64_t(block) * d_.block_elements_ * (d_.half_ ? 2 : 4);
        k_.write_kv(key, value, dim, d_.padded_head_dim_, position % 16, d_.half_, at);
    }

    void attend(int index, const AttentionUnit& unit) {
        AttentionArgs args;
        args.num_rows = 0;
        for (int t = unit.first_token; t < unit.first_token + unit.num_tokens; ++t)
            for (int h = unit.first_head; h < unit.first_head + unit.num_heads; ++h) {
                const size_t at = size_t(t) * d_.attention_ + size_t(h) * spec_.head_dim;
                const int position = d_.token_position_[size_t(t)];
                args.queries[args.num_rows] = d_.q_.as<float>() + at;
                args.outs[args.num_rows] = d_.attended_.as<float>() + at;
                args.positions[args.num_rows] = position;
                args.first[args.num_rows] = spec_.sliding_window ? std::max(0, position + 1 - spec_.sliding_window) : 0;
                ++args.num_rows;
            }
        args.head_dim = spec_.head_dim;
        args.padded_head_dim = d_.padded_head_dim_;
        args.cache = cache_block(index, unit.first_head / (spec_.num_heads / spec_.num_kv_heads));
        args.block_table = batch_.block_tables + int64_t(unit.sequence) * batch_.table_stride;
        args.block_stride = d_.block_elements_;
        args.half = d_.half_;
        args.scores = d_.own_[size_t(thread_)].scores.as<float>();
        args.scores_stride = d_.score_capacity_;
        k_.attend(args);
    }

    void feed_forward(const Layer& layer) {
        const auto normed = [&](int t, float* out) { norm(x(t), layer[Vector::mlp_norm], layer[Vector::mlp_norm_bias], out); };
        const Segment up = {&layer.up, layer[Vector::up_bias], d_.up_.as<float>(), d_.intermediate_};
        if (spec_.gated) {
            const Segment gate = {&layer.gate, layer[Vector::gate_bias], d_.gate_.as<float>(), d_.intermediate_};
            project(Region::norm, Region::gate_up, num_tokens(), d_.hidden_, normed, {gate, up}, false);
        } else {
            project(Region::norm, Region::gate_up, num_tokens(), d_.hidden_, normed, {up}, false);
        }
        const auto activated = [&](int t, float* out) {
            const float* up_row = d_.up_.as<float>() + size_t(t) * d_.intermediate_;
            const float* gate_row = d_.gate_.as<float>() + size_t(t) * d_.intermediate_;
            k_.activate(spec_.activation, spec_.gated ? gate_row : up_row, spec_.gated ? up_row : nullptr, d_.intermediate_, out);
        };
        const Segment down[] = {{&layer.down, layer[Vector::down_bias], d_.x_.as<float>(), d_.hidden_}};
        project(Region::activation, Region::down, num_tokens(), d_.intermediate_, activated, down, true);
    }

    void head() {
        const PackedMatrix& weights = d_.head_.rows() ? d_.head_ : d_.embed_;  // tied
        const Layer& outer = d_.outer_;
        const auto normed = [&](int r, float* out) {
            norm(x(batch_.logit_rows[r]), outer[Vector::final_norm], outer[Vector::final_norm_bias], out);
        };
        const Segment logits[] = {{&weights, nullptr, d_.logits_->as<float>(), d_.logits_stride()}};
        project(Region::norm, Region::head, batch_.num_logit_rows, d_.hidden_, normed, logits, false);
    }

    Decoder& d_;
    const Spec& spec_;
    Pool& pool_;
    const Kernels& k_;
    const BatchView& batch_;
    const int thread_;
    const bool is_profiled_ = d_.profile_.is_on && thread_ == 0;
};

std::shared_ptr<const Buffer> Decoder::forward(const BatchView& batch) {
    reserve(batch);
    plan_attention(batch);
    if (profile_.is_on) profile_.start();
    pool_.run([&](int thread) { Pass(*this, batch, thread).run(); });
    return logits_;
}

}  // namespace llmos
