#include "decoder/decoder.h"

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

Decoder::Decoder(Spec spec, Pool& pool, const Kernels& kernels, int num_blocks, CacheType cache_type)
    : spec_(std::move(spec)),
      pool_(pool),
      kernels_(kernels),
      num_blocks_(num_blocks),
      layout_{cache_type, spec_.head_dim},
      hidden_(round_up(spec_.hidden_size, block_columns)),
      attention_(round_up(spec_.num_heads * spec_.head_dim, block_columns)),
      kv_(round_up(spec_.num_kv_heads * spec_.head_dim, block_columns)),
      intermediate_(round_up(spec_.intermediate_size, block_columns)),
      expert_(round_up(spec_.expert_size, block_columns)),
      layers_(size_t(spec_.num_layers)),
      cache_(times(size_t(num_blocks), block_bytes(spec_, cache_type))),
      block_stride_(block_bytes(spec_, cache_type)),
      own_(size_t(pool.size())) {
    for (size_t i = 0; i < layers_.size(); ++i)
        if (spec_.layers[i].has_experts) layers_[i].experts.resize(size_t(spec_.num_experts));
    const size_t head_values = size_t(AttentionArgs::max_rows) * layout_.padded_head_dim();
    for (Scratch& own : own_) {
        own.heads = Buffer(head_values * sizeof(float));
        own.head_bytes = Buffer(head_values);
        own.outs = Buffer(head_values * sizeof(float));
        own.rows.reserve(few_tokens, std::max(hidden_, attention_));
        own.row = Buffer(size_t(std::max({hidden_, attention_, widest_inner()})) * sizeof(float));
        own.scores_of_experts = Buffer(size_t(spec_.num_experts) * sizeof(float));
        own.gate = Buffer(size_t(max_span) * block_columns * sizeof(float));
        own.up = Buffer(size_t(max_span) * block_columns * sizeof(float));
        own.narrow = Buffer(size_t(Adapter::max_rank) * sizeof(float));
    }
}

size_t Decoder::block_bytes(const Spec& spec, CacheType cache_type) {
    return size_t(spec.num_layers) * spec.num_kv_heads * CacheLayout{cache_type, spec.head_dim}.bytes();
}

Shape Decoder::shape(int layer, Weight which, int number) const {
    const Spec& s = spec_;
    if (number >= 0 && (layer < 0 || (which != Weight::gate && which != Weight::up && which != Weight::down)))
        return {};
    if (layer < 0) switch (which) {
            case Weight::embed: return {s.vocab_size, s.hidden_size};
            case Weight::positions: return s.learned_positions ? Shape{s.max_positions, s.hidden_size} : Shape{};
            case Weight::head: return s.tied_head ? Shape{} : Shape{s.vocab_size, s.hidden_size};
            default: return {};
        }
    switch (which) {
        case Weight::q: return {s.num_heads * s.head_dim, s.hidden_size};
        case Weight::k:
        case Weight::v: return {s.num_kv_heads * s.head_dim, s.hidden_size};
        case Weight::o: return {s.hidden_size, s.num_heads * s.head_dim};
        case Weight::router:
            return s.layers[size_t(layer)].has_experts && number < 0 ? Shape{s.num_experts, s.hidden_size} : Shape{};
        default: break;
    }
    // Either the layer has one, or each of its experts.
    if (s.layers[size_t(layer)].has_experts != (number >= 0) || number >= s.num_experts) return {};
    const int size = number < 0 ? s.intermediate_size : s.expert_size;
    switch (which) {
        case Weight::gate: return s.gated ? Shape{size, s.hidden_size} : Shape{};
        case Weight::up: return {size, s.hidden_size};
        case Weight::down: return {s.hidden_size, size};
        default: return {};
    }
}

int Decoder::size(int layer, Vector which) const {
    const Spec& s = spec_;
    if (layer < 0) switch (which) {
            case Vector::final_norm: return s.hidden_size;
            case Vector::final_norm_bias: return s.layer_norm ? s.hidden_size : 0;
            default: return 0;
        }
    switch (which) {
        case Vector::attn_norm:
        case Vector::mlp_norm: return s.pre_norm ? s.hidden_size : 0;
        case Vector::attn_norm_bias:
        case Vector::mlp_norm_bias: return s.pre_norm && s.layer_norm ? s.hidden_size : 0;
        case Vector::attn_post_norm:
        case Vector::mlp_post_norm: return s.post_norm ? s.hidden_size : 0;
        case Vector::attn_post_norm_bias:
        case Vector::mlp_post_norm_bias: return s.post_norm && s.layer_norm ? s.hidden_size : 0;
        case Vector::q_bias: return s.qkv_bias ? s.num_heads * s.head_dim : 0;
        case Vector::k_bias:
        case Vector::v_bias: return s.qkv_bias ? s.num_kv_heads * s.head_dim : 0;
        case Vector::o_bias: return s.output_bias ? s.hidden_size : 0;
        case Vector::gate_bias: return s.mlp_bias && s.gated ? s.intermediate_size : 0;
        case Vector::up_bias: return s.mlp_bias ? s.intermediate_size : 0;
        case Vector::down_bias: return s.mlp_bias ? s.hidden_size : 0;
        case Vector::q_norm: return qk_norm_size(s.num_heads);
        case Vector::k_norm: return qk_norm_size(s.num_kv_heads);
        default: return 0;
    }
}

int Decoder::qk_norm_size(int heads) const {
    if (spec_.qk_norm == QKNorm::none) return 0;
    return spec_.qk_norm == QKNorm::head ? spec_.head_dim : heads * spec_.head_dim;
}

PackedMatrix& Decoder::matrix(int index, Weight which, int number) {
    Layer& at = layer(index);
    FeedForward& feed_forward = number < 0 ? at.feed_forward : at.experts[size_t(number)];
    switch (which) {
        case Weight::q: return at.q;
        case Weight::k: return at.k;
        case Weight::v: return at.v;
        case Weight::o: return at.o;
        case Weight::gate: return feed_forward.gate;
        case Weight::up: return feed_forward.up;
        case Weight::down: return feed_forward.down;
        case Weight::router: return at.router;
        case Weight::embed: return embed_;
        case Weight::positions: return positions_;
        default: return head_;
    }
}

size_t Decoder::weight_bytes() const {
    size_t total = embed_.bytes() + positions_.bytes() + head_.bytes();
    const auto add = [&](const FeedForward& f) { total += f.gate.bytes() + f.up.bytes() + f.down.bytes(); };
    for (const Layer& l : layers_) {
        for (const PackedMatrix* m : {&l.q, &l.k, &l.v, &l.o, &l.router}) total += m->bytes();
        add(l.feed_forward);
        for (const FeedForward& expert : l.experts) add(expert);
        for (const Buffer& vector : l.vectors) total += vector.bytes();
    }
    for (const Buffer& vector : outer_.vectors) total += vector.bytes();
    return total;
}

void Decoder::set_adapter(int number, std::unique_ptr<const Adapter> adapter) {
    if (size_t(number) >= adapters_.size()) adapters_.resize(size_t(number) + 1);
    adapters_[size_t(number)] = std::move(adapter);
}

void Decoder::plan_adapters(const BatchView& batch) {
    token_adapter_.clear();
    adapted_.clear();
    if (!batch.adapters) return;
    token_adapter_.resize(size_t(batch.num_tokens));
    for (int t = 0; t < batch.num_tokens; ++t) {
        const int number = batch.adapters[token_sequence_[size_t(t)]];
        if (number < 0) continue;
        token_adapter_[size_t(t)] = adapters_[size_t(number)].get();
        adapted_.push_back(t);
    }
    const size_t bytes = 2 * size_t(token_capacity_) * Adapter::max_rank * sizeof(float);
    if (narrow_.bytes() < bytes) narrow_ = Buffer(bytes);
}

void Decoder::reserve(const BatchView& batch) {
    if (batch.num_tokens > token_capacity_) {
        const int capacity = std::max(batch.num_tokens, 2 * token_capacity_);
        const size_t n = size_t(capacity);
        x_ = Buffer(n * hidden_ * sizeof(float));
        q_ = Buffer(n * attention_ * sizeof(float));
        k_ = Buffer(n * kv_ * sizeof(float));
        v_ = Buffer(n * kv_ * sizeof(float));
        rotations_ = Buffer(n * (rotations_stride() + 1) * sizeof(float));
        if (spec_.has_branch()) branch_ = Buffer(n * hidden_ * sizeof(float));
        const int widest = std::max(hidden_, attention_);
        shared_.reserve(capacity, widest);
        inner_.reserve(inner_rows(capacity), widest_inner());
        if (spec_.num_experts) {
            const int slots = inner_rows(capacity);
            slots_.reserve(slots, hidden_);
            router_logits_ = Buffer(n * router_stride() * sizeof(float));
            given_ = Buffer(size_t(slots) * hidden_ * sizeof(float));
            choices_.resize(size_t(slots));
            slot_token_.resize(size_t(slots));
            choice_slot_.resize(size_t(slots));
            expert_starts_.resize(size_t(spec_.num_experts) + 1);
            expert_units_.reserve(size_t(slots));
        }
        token_capacity_ = capacity;  // last: there may be no memory for one of them
    }
    if (batch.num_logit_rows > logit_capacity_) {
        const int capacity = std::max(batch.num_logit_rows, 2 * logit_capacity_);
        logits_ = std::make_shared<Buffer>(size_t(capacity) * logits_stride() * sizeof(float));
        for (Scratch& own : own_) own.largest = Buffer(size_t(capacity) * sizeof(Largest));
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
                    units_.push_back({s, t, std::min(tokens, batch.starts[s + 1] - t), kv_head * group + h,
                                      std::min(heads, group - h)});
}

// One thread's way through one step. All threads call the same methods in the same order.
class Decoder::Pass {
  public:
    Pass(Decoder& decoder, const BatchView& batch, int thread)
        : d_(decoder),
          spec_(decoder.spec_),
          pool_(decoder.pool_),
          k_(decoder.kernels_),
          batch_(batch),
          thread_(thread) {}

    void run() {
        embed();
        for (int i = 0; i < spec_.num_layers; ++i) {
            const Layer& layer = d_.layers_[size_t(i)];
            attention(layer, i);
            if (spec_.layers[size_t(i)].has_experts) experts(layer);
            else feed_forward(layer, i);
        }
        head();
        enter(Region::wait);
    }

  private:
    int num_tokens() const { return batch_.num_tokens; }
    float* x(int token) const { return d_.x_.as<float>() + size_t(token) * d_.hidden_; }
    float* branch(int token) const { return d_.branch_.as<float>() + size_t(token) * d_.hidden_; }

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
        const int num_pairs = spec_.num_pairs();
        for_each(Region::embed, num_tokens(), 4, [&](int t) {
            const int position = d_.token_position_[size_t(t)];
            d_.embed_.read_row(batch_.tokens[t], x(t));
            if (spec_.embedding_multiplier != 1)
                for (int c = 0; c < d_.hidden_; ++c) x(t)[c] *= spec_.embedding_multiplier;
            if (spec_.learned_positions) {
                float* row = own().row.as<float>();
                d_.positions_.read_row(position, row);
                for (int c = 0; c < d_.hidden_; ++c) x(t)[c] += row[c];
            }
            float* rotation = d_.rotations_.as<float>() + size_t(t) * d_.rotations_stride();
            for (const std::vector<double>& frequencies : spec_.inverse_frequencies) {
                for (int i = 0; i < num_pairs; ++i) {
                    const double angle = position * frequencies[size_t(i)];
                    rotation[i] = float(std::cos(angle) * spec_.rope_attention_factor);
                    rotation[num_pairs + i] = float(std::sin(angle) * spec_.rope_attention_factor);
                }
                rotation += 2 * num_pairs;
            }
        });
    }

    // How a product's groups and rows are shared among the threads: units of `group_step` groups by a span of rows, of
    // which a thread takes `grain` at a time. Few rows: long sweeps over the weights. Many: equal parts for all.
    struct Split {
        int rows, group_step, grain, span, num_spans;
        explicit Split(int rows)
            : rows(rows),
              group_step(rows <= 2 ? 1 : 2),
              grain(rows <= 2 ? 4 : 1),
              span(rows < max_span ? rows : span_tokens),
              num_spans(rows ? (rows + span - 1) / span : 0) {}
        int count(int groups) const { return (groups + group_step - 1) / group_step * num_spans; }
        int first_row(int unit) const { return unit % num_spans * span; }
        int last_row(int unit) const { return std::min(rows, first_row(unit) + span); }
        int first_group(int unit) const { return unit / num_spans * group_step; }
        // The same in units of whole blocks of columns.
        Split by_blocks() const {
            Split other = *this;
            other.group_step = block_columns / group_rows;
            other.grain = grain > 1 ? 2 : 1;
            return other;
        }
    };

    // Opens a phase whose units read rows of activations that `make(row, out)` makes, from what is complete when every
    // thread has come here. Few rows each thread makes for itself, many they share and meet again.
    template <class Make>
    Activations open_with(Region making, Region region, int count, int rows, int columns, Readers readers, Make make) {
        const bool is_few = rows <= few_tokens;
        const Activations in = (is_few ? own().rows : d_.shared_).view(columns);
        const auto fill = [&](int row) {
            float* out = readers.floats ? in.values + size_t(row) * columns : own().row.template as<float>();
            make(row, out);
            if (readers.bytes) k_.quantize(out, in, row, 0, in.blocks());
        };
        if (!is_few) for_each(making, rows, 4, fill);
        open(is_few ? making : region, count);
        if (is_few) {
            for (int row = 0; row < rows; ++row) fill(row);
            enter(region);
        }
        return in;
    }

    // out (+)= weights . in, within a phase of split.count(groups of all segments). `done(first_row, last_row, first_group,
    // last_group)` is told of each part, counted in its segment.
    template <size_t N, class Done>
    void project(const Split& split, const Activations& in, const Segment (&segments)[N], bool accumulate, Done done) {
        const int num_groups = count_groups(segments);
        for (int begin, end; pool_.take(thread_, split.grain, begin, end);) {
            const int first_row = split.first_row(begin), last_row = split.last_row(begin);
            const int first = split.first_group(begin),
                      last = std::min(num_groups, split.first_group(end - 1) + split.group_step);
            int base = 0;
            for (const Segment& s : segments) {
                const int groups = s.weights->groups(), from = std::max(first - base, 0),
                          to = std::min(last - base, groups);
                base += groups;
                if (from >= to) continue;
                k_.matmul({s.weights, &in, first_row, last_row, from, to, s.bias,
                           s.out + size_t(first_row) * s.out_stride + size_t(from) * group_rows, s.out_stride,
                           accumulate});
                done(first_row, last_row, from, to);
            }
        }
    }

    template <size_t N>
    void project(const Split& split, const Activations& in, const Segment (&segments)[N], bool accumulate) {
        project(split, in, segments, accumulate, [](int, int, int, int) {});
    }

    template <size_t N> static int count_groups(const Segment (&segments)[N]) {
        int total = 0;
        for (const Segment& s : segments) total += s.weights->groups();
        return total;
    }
    template <size_t N> static Readers readers_of(const Segment (&segments)[N]) {
        Readers readers{};
        for (const Segment& s : segments)
            (s.weights->packing() == Packing::floats ? readers.floats : readers.bytes) = true;
        return readers;
    }

    void norm(const float* in, const float* weight, const float* bias, float* out) const {
        if (spec_.layer_norm) k_.layer_norm(in, weight, bias, spec_.norm_eps, spec_.hidden_size, d_.hidden_, out);
        else k_.rms_norm(in, weight, spec_.norm_eps, spec_.hidden_size, d_.hidden_, out);
    }

    // What a part of a layer reads of a token, and where it puts what it gives.
    void read(int token, const float* weight, const float* bias, float* out) const {
        if (spec_.pre_norm) norm(x(token), weight, bias, out);
        else std::copy_n(x(token), d_.hidden_, out);
    }
    float* target() const { return spec_.has_branch() ? branch(0) : x(0); }

    // Adds what a part of a layer gave to the residual stream, where the product didn't do so by itself.
    void join(Region region, const float* weight, const float* bias) {
        for_each(region, num_tokens(), 4, [&](int t) {
            if (spec_.post_norm) norm(branch(t), weight, bias, branch(t));
            k_.add_scaled(branch(t), d_.hidden_, spec_.residual_multiplier, x(t));
        });
    }

    // --- adapters, in phases of their own that only a step with adapted tokens has

    bool is_adapted() const { return !d_.adapted_.empty(); }

    // What the token's adapter adds to a matrix; null where that is nothing.
    const LowRank* low_rank(int token, int layer, Weight which) const {
        const Adapter* adapter = d_.token_adapter_[size_t(token)];
        if (!adapter) return nullptr;
        const LowRank& found = adapter->layers[size_t(layer)][size_t(which)];
        return found ? &found : nullptr;
    }

    // out = matrix . x for one row, or out += ... for the rows of some groups.
    void multiply_row(const PackedMatrix& matrix, const float* x, int first_group, int last_group, float* out,
                      bool accumulate) const {
        const Activations in{const_cast<float*>(x), nullptr, nullptr, nullptr, nullptr, matrix.padded_columns()};
        k_.matmul({&matrix, &in, 0, 1, first_group, last_group, nullptr, out, 0, accumulate});
    }
    void narrow(const LowRank& added, const float* x, float* out) const {
        multiply_row(added.down, x, 0, added.down.groups(), out, false);
    }
    void widen(const LowRank& added, const float* narrow, int first_group, int last_group, float* out) const {
        multiply_row(added.up, narrow, first_group, last_group, out, true);
    }

    struct Adapted {
        Weight which;
        Activations in;
        float* out;
        int out_stride;
    };
    // out += up . (down . in) for all adapted tokens. Complete when the next phase opens.
    template <size_t N> void add_adapters(int layer, const Adapted (&all)[N]) {
        if (!is_adapted()) return;
        for_each(Region::adapters, int(d_.adapted_.size() * N), 1, [&](int i) {
            const Adapted& each = all[size_t(i) % N];
            const int token = d_.adapted_[size_t(i) / N];
            const LowRank* added = low_rank(token, layer, each.which);
            if (!added) return;
            float* row = own().narrow.template as<float>();
            narrow(*added, each.in.values + size_t(token) * each.in.columns, row);
            widen(*added, row, 0, added->up.groups(), each.out + size_t(token) * each.out_stride);
        });
    }

    float* narrowed(int slot, int token) const {
        return d_.narrow_.as<float>() + (size_t(slot) * d_.token_capacity_ + size_t(token)) * Adapter::max_rank;
    }
    static constexpr Weight gate_and_up[] = {Weight::gate, Weight::up};

    // Gate and up are activated as soon as they are computed: what is added to them has to be ready, but for widening.
    void narrow_gate_and_up(const Layer& layer, int index) {
        if (!is_adapted()) return;
        for_each(Region::adapters, int(d_.adapted_.size()), 1, [&](int i) {
            const int token = d_.adapted_[size_t(i)];
            float* row = own().row.template as<float>();
            read(token, layer[Vector::mlp_norm], layer[Vector::mlp_norm_bias], row);
            for (int slot = 0; slot < 2; ++slot)
                if (const LowRank* added = low_rank(token, index, gate_and_up[slot]))
                    narrow(*added, row, narrowed(slot, token));
        });
    }
    void widen_block(int index, int slot, int first_group, int last_group, int first_row, int last_row,
                     float* out) const {
        if (!is_adapted()) return;
        for (int token = first_row; token < last_row; ++token, out += block_columns)
            if (const LowRank* added = low_rank(token, index, gate_and_up[slot]))
                widen(*added, narrowed(slot, token), first_group, last_group, out);
    }

    void attention(const Layer& layer, int index) {
        const int rows = num_tokens();
        const Split split(rows);
        const auto normed = [&](int t, float* out) {
            read(t, layer[Vector::attn_norm], layer[Vector::attn_norm_bias], out);
        };
        const Segment qkv[] = {{&layer.q, layer[Vector::q_bias], d_.q_.as<float>(), d_.attention_},
                               {&layer.k, layer[Vector::k_bias], d_.k_.as<float>(), d_.kv_},
                               {&layer.v, layer[Vector::v_bias], d_.v_.as<float>(), d_.kv_}};
        const Activations in = open_with(Region::norm, Region::qkv, split.count(count_groups(qkv)), rows, d_.hidden_,
                                         with_floats(readers_of(qkv)), normed);
        project(split, in, qkv, false);
        add_adapters(index, {Adapted{Weight::q, in, d_.q_.as<float>(), d_.attention_},
                             {Weight::k, in, d_.k_.as<float>(), d_.kv_},
                             {Weight::v, in, d_.v_.as<float>(), d_.kv_}});
        if (spec_.qk_norm == QKNorm::whole)
            for_each(Region::position, rows, 1, [&](int t) {
                float *q = d_.q_.as<float>() + size_t(t) * d_.attention_, *k = d_.k_.as<float>() + size_t(t) * d_.kv_;
                k_.rms_norm(q, layer[Vector::q_norm], spec_.norm_eps, spec_.num_heads * spec_.head_dim, d_.attention_,
                            q);
                k_.rms_norm(k, layer[Vector::k_norm], spec_.norm_eps, spec_.num_kv_heads * spec_.head_dim, d_.kv_, k);
            });

        for_each(Region::position, rows * spec_.num_kv_heads, 4,
                 [&](int i) { write_cache(layer, index, i / spec_.num_kv_heads, i % spec_.num_kv_heads); });
        const Segment o[] = {{&layer.o, layer[Vector::o_bias], target(), d_.hidden_}};
        const Activations attended = d_.shared_.view(d_.attention_);
        // Where each head's columns are whole blocks, who attends can quantize them, too.
        const bool heads_are_blocks = spec_.head_dim % block_columns == 0;
        const Readers readers = with_floats(readers_of(o)),
                      at_once = {readers.bytes && heads_are_blocks, readers.floats || !heads_are_blocks};
        for_each(Region::attention, int(d_.units_.size()), 1,
                 [&](int i) { attend(layer, index, d_.units_[size_t(i)], attended, at_once); });
        if (readers.bytes && !heads_are_blocks)
            for_each(Region::attention, rows, 4, [&](int t) {
                float* row = attended.values + size_t(t) * attended.columns;
                std::fill(row + spec_.num_heads * spec_.head_dim, row + attended.columns, 0.0f);
                k_.quantize(row, attended, t, 0, attended.blocks());
            });
        open(Region::output, split.count(count_groups(o)));
        project(split, attended, o, !spec_.has_branch());
        add_adapters(index, {Adapted{Weight::o, attended, target(), d_.hidden_}});
        if (spec_.has_branch() && !spec_.parallel_residual)
            join(Region::output, layer[Vector::attn_post_norm], layer[Vector::attn_post_norm_bias]);
    }

    // Adapters read the floats.
    Readers with_floats(Readers readers) const { return {readers.bytes, readers.floats || is_adapted()}; }

    // The norm over one head.
    void norm_head(const float* head, const float* weight, float* out) const {
        float mean = 0, squares = 0;
        if (spec_.layer_norm) {
            for (int d = 0; d < spec_.head_dim; ++d) mean += head[d];
            mean /= float(spec_.head_dim);
        }
        for (int d = 0; d < spec_.head_dim; ++d) squares += (head[d] - mean) * (head[d] - mean);
        const float scale = 1 / std::sqrt(squares / float(spec_.head_dim) + spec_.norm_eps);
        for (int d = 0; d < spec_.head_dim; ++d) out[d] = (head[d] - mean) * scale * weight[d];
    }

    // A query or key head at its token's position, times `scale`.
    void position_head(const float* all_heads, int head_index, const float* norm_weights, int rotation, int token,
                       float scale, float* out) const {
        const int num_pairs = rotation < 0 ? 0 : spec_.num_pairs();
        const float* cosine = d_.rotations_.as<float>() + size_t(token) * d_.rotations_stride() +
                              size_t(2 * num_pairs) * std::max(rotation, 0);
        const float* head = all_heads + size_t(head_index) * spec_.head_dim;
        if (spec_.qk_norm == QKNorm::head || spec_.qk_norm == QKNorm::each_head) {
            norm_head(head, norm_weights + (spec_.qk_norm == QKNorm::head ? 0 : size_t(head_index) * spec_.head_dim),
                      out);
            head = out;
        }
        k_.rotate(head, cosine, cosine + num_pairs, num_pairs, spec_.head_dim, scale, out);
    }

    uint8_t* cache_of(int layer, int kv_head) const {  // of block 0
        return d_.cache_.as<uint8_t>() + (size_t(layer) * spec_.num_kv_heads + kv_head) * d_.layout_.bytes();
    }

    // The padding of a thread's heads is zero from the beginning, and stays so.
    float* own_head(int index) const { return own().heads.as<float>() + size_t(index) * d_.layout_.padded_head_dim(); }

    void write_cache(const Layer& layer, int index, int token, int kv_head) {
        const size_t at = size_t(token) * d_.kv_;
        float *key = own_head(0), *value = own_head(1);
        position_head(d_.k_.as<float>() + at, kv_head, layer[Vector::k_norm], spec_.layers[size_t(index)].rotation,
                      token, 1, key);
        std::copy_n(d_.v_.as<float>() + at + size_t(kv_head) * spec_.head_dim, spec_.head_dim, value);
        const int position = d_.token_position_[size_t(token)];
        const int block = batch_.block_tables[int64_t(d_.token_sequence_[size_t(token)]) * batch_.table_stride +
                                              position / block_positions];
        uint8_t* to = cache_of(index, kv_head) + size_t(block) * d_.block_stride_;
        k_.write_kv(d_.layout_, key, value, position % block_positions, to);
    }

    void attend(const Layer& layer, int index, const AttentionUnit& unit, const Activations& attended,
                Readers readers) {
        AttentionArgs args;
        args.num_rows = 0;
        args.softcap = spec_.attention_softcap;
        const int window = spec_.layers[size_t(index)].sliding_window, rotation = spec_.layers[size_t(index)].rotation;
        const auto each_row = [&](auto body) {
            for (int t = unit.first_token; t < unit.first_token + unit.num_tokens; ++t)
                for (int h = unit.first_head; h < unit.first_head + unit.num_heads; ++h) body(t, h);
        };
        each_row([&](int t, int h) {
            const int r = args.num_rows++, position = d_.token_position_[size_t(t)];
            float* query = own_head(r);
            position_head(d_.q_.as<float>() + size_t(t) * d_.attention_, h, layer[Vector::q_norm], rotation, t,
                          spec_.score_scale, query);
            args.queries[r] = query;
            args.outs[r] = readers.floats ? attended.values + size_t(t) * attended.columns + size_t(h) * spec_.head_dim
                                          : own().outs.template as<float>() + size_t(r) * spec_.head_dim;
            args.positions[r] = position;
            args.first[r] = window ? std::max(0, position + 1 - window) : 0;
        });
        args.layout = d_.layout_;
        const int group = spec_.num_heads / spec_.num_kv_heads;
        args.cache = cache_of(index, unit.first_head / group);
        args.block_table = batch_.block_tables + int64_t(unit.sequence) * batch_.table_stride;
        args.block_stride = d_.block_stride_;
        args.scores = own().scores.as<float>();
        args.scores_stride = d_.score_capacity_;
        args.query_bytes = own().head_bytes.as<int8_t>();
        // A decode reads its past once: from memory. A prompt's tokens find it in the cache, where the first has put it.
        const AttentionUnit* next = unit.num_tokens == 1 && &unit != &d_.units_.back() ? &unit + 1 : nullptr;
        args.next_cache = next ? cache_of(index, next->first_head / group) : nullptr;
        if (next) {
            args.next_block_table = batch_.block_tables + int64_t(next->sequence) * batch_.table_stride;
            args.next_num_blocks = d_.token_position_[size_t(next->first_token)] / block_positions + 1;
        }
        k_.attend(args);
        if (!readers.bytes) return;
        const int blocks = spec_.head_dim / block_columns;
        int r = 0;
        each_row([&](int t, int h) { k_.quantize(args.outs[r++], attended, t, h * blocks, (h + 1) * blocks); });
    }

    void feed_forward(const Layer& layer, int index) {
        const int rows = num_tokens();
        const Split split(rows);
        const auto normed = [&](int t, float* out) {
            read(t, layer[Vector::mlp_norm], layer[Vector::mlp_norm_bias], out);
        };
        const FeedForward& weights = layer.feed_forward;
        const Segment up[] = {{&weights.up, layer[Vector::up_bias], nullptr, 0}};
        const Segment down[] = {{&weights.down, layer[Vector::down_bias], target(), d_.hidden_}};
        const Activations inner = d_.inner_.view(d_.intermediate_);
        const Readers readers = with_floats(readers_of(down));
        const Split blocks = split.by_blocks();
        Readers inputs = readers_of(up);
        if (spec_.gated) (weights.gate.packing() == Packing::floats ? inputs.floats : inputs.bytes) = true;
        narrow_gate_and_up(layer, index);
        const Activations in = open_with(Region::norm, Region::gate_up, blocks.count(weights.up.groups()), rows,
                                         d_.hidden_, inputs, normed);
        for (int begin, end; pool_.take(thread_, blocks.grain, begin, end);)
            for (int unit = begin; unit < end; ++unit)
                activate_block(weights, layer, index, in, blocks.first_group(unit) / 2, blocks.first_row(unit),
                               blocks.last_row(unit), inner, readers);
        open(Region::down, split.count(count_groups(down)));
        // In parallel, attention has put its part there before.
        project(split, inner, down, !spec_.has_branch() || spec_.parallel_residual);
        add_adapters(index, {Adapted{Weight::down, inner, target(), d_.hidden_}});
        if (spec_.has_branch()) join(Region::down, layer[Vector::mlp_post_norm], layer[Vector::mlp_post_norm_bias]);
    }

    // --- a mixture of experts: rows are gathered by expert, and what a row gets is added up in the order of its experts

    void experts(const Layer& layer) {
        const int rows = num_tokens(), per_token = spec_.experts_per_token, num_slots = rows * per_token;
        const FeedForward& any = layer.experts[0];  // all are packed alike
        Readers readers = readers_of({{&any.up, nullptr, nullptr, 0}});
        if (spec_.gated) (any.gate.packing() == Packing::floats ? readers.floats : readers.bytes) = true;
        const Activations shared = d_.shared_.view(d_.hidden_), in = d_.slots_.view(d_.hidden_),
                          inner = d_.inner_.view(d_.expert_);
        for_each(Region::norm, rows, 4, [&](int t) {
            float* row = shared.values + size_t(t) * d_.hidden_;  // the router reads floats
            read(t, layer[Vector::mlp_norm], layer[Vector::mlp_norm_bias], row);
            if (readers.bytes) k_.quantize(row, shared, t, 0, shared.blocks());
        });
        const Split split(rows);
        const Segment router[] = {{&layer.router, nullptr, d_.router_logits_.as<float>(), d_.router_stride()}};
        open(Region::route, split.count(layer.router.groups()));
        project(split, shared, router, false);
        for_each(Region::route, rows, 4, [&](int t) { choose_experts(t); });
        for_each(Region::route, 1, 1, [&](int) { d_.sort_choices(rows); });
        for_each(Region::route, num_slots, 4,
                 [&](int slot) { copy_row(shared, d_.slot_token_[size_t(slot)], in, slot, readers); });

        const Readers inner_readers = readers_of({{&any.down, nullptr, nullptr, 0}});
        const int num_units = int(d_.expert_units_.size()), num_blocks = inner.blocks();
        for_each(Region::gate_up, num_units * num_blocks, 2, [&](int i) {
            const ExpertUnit& unit = d_.expert_units_[size_t(i / num_blocks)];
            activate_block(layer.experts[size_t(unit.expert)], layer, -1, in, i % num_blocks, unit.first_slot,
                           unit.last_slot, inner, inner_readers);
        });
        const int num_groups = any.down.groups(), step = 4, num_steps = (num_groups + step - 1) / step;
        for_each(Region::down, num_units * num_steps, 1, [&](int i) {
            const ExpertUnit& unit = d_.expert_units_[size_t(i / num_steps)];
            const int first = i % num_steps * step, last = std::min(first + step, num_groups);
            k_.matmul({&layer.experts[size_t(unit.expert)].down, &inner, unit.first_slot, unit.last_slot, first, last,
                       layer[Vector::down_bias], given(unit.first_slot) + size_t(first) * group_rows, d_.hidden_,
                       false});
        });
        const bool is_first = spec_.has_branch() && !spec_.parallel_residual;
        for_each(Region::down, rows, 4, [&](int t) {
            float* out = target() + size_t(t) * d_.hidden_;
            if (is_first) std::fill_n(out, d_.hidden_, 0.0f);
            for (int i = t * per_token; i < (t + 1) * per_token; ++i)
                k_.add_scaled(given(d_.choice_slot_[size_t(i)]), d_.hidden_, d_.choices_[size_t(i)].weight, out);
        });
        if (spec_.has_branch()) join(Region::down, layer[Vector::mlp_post_norm], layer[Vector::mlp_post_norm_bias]);
    }

    float* given(int slot) const { return d_.given_.as<float>() + size_t(slot) * d_.hidden_; }

    // The experts with the largest logits, of equals the first; their weights are softmax over all, or over the chosen.
    void choose_experts(int token) {
        const float* logits = d_.router_logits_.as<float>() + size_t(token) * d_.router_stride();
        float* scores = own().scores_of_experts.template as<float>();
        const int count = spec_.num_experts;
        const float highest = *std::max_element(logits, logits + count);
        float total = 0, chosen = 0;
        for (int e = 0; e < count; ++e) total += scores[e] = std::exp(logits[e] - highest);
        Choice* choices = d_.choices_.data() + size_t(token) * spec_.experts_per_token;
        for (int c = 0; c < spec_.experts_per_token; ++c) {
            int best = -1;
            for (int e = 0; e < count; ++e)
                if (scores[e] != taken && (best < 0 || scores[e] > scores[best])) best = e;
            choices[c] = {best, scores[best]};
            chosen += scores[best];
            scores[best] = taken;
        }
        std::sort(choices, choices + spec_.experts_per_token,
                  [](const Choice& a, const Choice& b) { return a.expert < b.expert; });
        for (int c = 0; c < spec_.experts_per_token; ++c)
            choices[c].weight /= spec_.normalizes_experts ? chosen : total;
    }
    static constexpr float taken = -1;  // no score is negative

    void copy_row(const Activations& from, int row, const Activations& to, int slot, Readers readers) const {
        const size_t columns = size_t(from.columns), blocks = size_t(from.blocks());
        const auto copy = [&](const auto* source, auto* target, size_t count) {
            std::copy_n(source + size_t(row) * count, count, target + size_t(slot) * count);
        };
        if (readers.floats) copy(from.values, to.values, columns);
        if (!readers.bytes) return;
        copy(from.quantized, to.quantized, columns);
        copy(from.scales, to.scales, blocks);
        copy(from.scaled_sums, to.scaled_sums, blocks);
        copy(from.sums, to.sums, blocks);
    }

    // One block of 32 columns of the feed-forward layer's inside: gate and up, activated, ready for what reads it.
    // An index of -1: the rows aren't those of the batch, and no adapter adds anything.
    void activate_block(const FeedForward& weights, const Layer& layer, int index, const Activations& in, int block,
                        int first_row, int last_row, const Activations& inner, Readers readers) {
        float *gate = own().gate.template as<float>(), *up = own().up.template as<float>();
        const auto multiply = [&](const PackedMatrix& weights, const float* bias, int slot, float* out) {
            const int first = 2 * block, last = std::min(first + 2, weights.groups());
            k_.matmul({&weights, &in, first_row, last_row, first, last, bias, out, block_columns, false});
            if (index >= 0) widen_block(index, slot, first, last, first_row, last_row, out);
            if (last == first + 1)  // the other half of the block is padding
                for (int i = 0; i < last_row - first_row; ++i)
                    std::fill_n(out + i * block_columns + group_rows, group_rows, 0.0f);
        };
        if (spec_.gated) multiply(weights.gate, layer[Vector::gate_bias], 0, gate);
        multiply(weights.up, layer[Vector::up_bias], 1, up);
        float* other = spec_.gated ? up : nullptr;
        float* rows = spec_.gated ? gate : up;
        k_.activate(spec_.activation, rows, other, (last_row - first_row) * block_columns, rows);
        for (int row = first_row; row < last_row; ++row, rows += block_columns) {
            if (readers.bytes) k_.quantize(rows, inner, row, block, block + 1);
            if (readers.floats)
                std::copy_n(rows, block_columns,
                            inner.values + size_t(row) * inner.columns + size_t(block) * block_columns);
        }
    }

    void head() {
        const int rows = batch_.num_logit_rows;
        if (!rows) return;
        const PackedMatrix& weights = d_.head_.rows() ? d_.head_ : d_.embed_;  // tied
        const Layer& outer = d_.outer_;
        const auto normed = [&](int r, float* out) {
            norm(x(batch_.logit_rows[r]), outer[Vector::final_norm], outer[Vector::final_norm_bias], out);
        };
        const Split split(rows);
        const Segment logits[] = {{&weights, nullptr, d_.logits_->as<float>(), d_.logits_stride()}};
        Largest* largest = own().largest.template as<Largest>();
        const Activations in = open_with(Region::norm, Region::head, split.count(weights.groups()), rows, d_.hidden_,
                                         readers_of(logits), normed);
        for (int r = 0; r < rows; ++r) {
            largest[r] = {};
            std::fill_n(largest[r].value, group_rows, std::numeric_limits<float>::lowest());
        }
        const bool is_plain = spec_.logit_multiplier == 1 && !spec_.logit_softcap;
        // The sampler's first pass, while the logits are in the cache.
        project(split, in, logits, false, [&](int first_row, int last_row, int first_group, int last_group) {
            const int first = first_group * group_rows, last = std::min(last_group * group_rows, spec_.vocab_size);
            for (int r = first_row; r < last_row; ++r) {
                float* part = d_.logits_->as<float>() + size_t(r) * d_.logits_stride() + first;
                if (!is_plain)
                    k_.cap_logits(part, (last_group - first_group) * group_rows, spec_.logit_multiplier,
                                  spec_.logit_softcap);
                k_.note_largest(part, last - first, first, largest[r]);
            }
        });
    }

    Scratch& own() const { return d_.own_[size_t(thread_)]; }

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
    plan_adapters(batch);
    if (profile_.is_on) profile_.start();
    pool_.run([&](int thread) { Pass(*this, batch, thread).run(); });
    merge_largest(batch.num_logit_rows);
    return logits_;
}

// Gives every choice a slot, those of an expert one after another, and cuts them into units of work.
void Decoder::sort_choices(int num_tokens) {
    const int per_token = spec_.experts_per_token, num_slots = num_tokens * per_token;
    std::fill(expert_starts_.begin(), expert_starts_.end(), 0);
    for (int i = 0; i < num_slots; ++i) ++expert_starts_[size_t(choices_[size_t(i)].expert) + 1];
    expert_units_.clear();
    for (int e = 0; e < spec_.num_experts; ++e) {
        const int begin = expert_starts_[size_t(e)], end = expert_starts_[size_t(e) + 1] += begin;
        for (int first = begin; first < end; first += span_tokens)
            expert_units_.push_back({e, first, std::min(first + span_tokens, end)});
    }
    for (int i = 0; i < num_slots; ++i) {
        const int slot = expert_starts_[size_t(choices_[size_t(i)].expert)]++;
        slot_token_[size_t(slot)] = i / per_token;
        choice_slot_[size_t(i)] = slot;
    }
}

void Decoder::merge_largest(int num_rows) {
    likeliest_.assign(size_t(num_rows), -1);
    highest_.assign(size_t(num_rows), 0);
    for (int r = 0; r < num_rows; ++r) {
        bool is_finite = true;
        int32_t& best = likeliest_[size_t(r)];
        float& highest = highest_[size_t(r)];
        for (const Scratch& own : own_) {
            const Largest& largest = own.largest.as<Largest>()[r];
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
