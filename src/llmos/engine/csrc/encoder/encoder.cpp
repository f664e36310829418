#include "encoder/encoder.h"

#include <algorithm>
#include <cmath>

namespace llmos {
namespace {

// Rounding to bytes is noise that a text's mean over its tokens takes out again, the better the more they are. A text of
// fewer multiplies twice where it matters most: by the bytes of its activations, and by those of what these left.
constexpr int short_text = 32;

}  // namespace

Encoder::Encoder(const Spec& spec, Pool& pool, const Kernels& kernels, CacheType kept)
    : spec_(spec),
      pool_(pool),
      kernels_(kernels),
      layout_{kept, spec.head_dim},
      hidden_(round_up(spec.hidden_size, block_columns)),
      attention_(round_up(spec.num_heads * spec.head_dim, block_columns)),
      intermediate_(round_up(spec.intermediate_size, block_columns)),
      layers_(size_t(spec.num_layers)),
      own_(size_t(pool.size())) {
    const size_t head_values = size_t(AttentionArgs::max_rows) * layout_.padded_head_dim();
    for (Scratch& own : own_) {
        own.heads = Buffer(head_values * sizeof(float));
        own.head_bytes = Buffer(head_values);
        own.outs = Buffer(head_values * sizeof(float));
        own.row = Buffer(size_t(hidden_) * sizeof(float));
        own.inner = Buffer(size_t(max_span) * block_columns * sizeof(float));
    }
}

Shape Encoder::shape(int layer, Weight which, int number) const {
    const Spec& s = spec_;
    if (number >= 0) return {};
    if (layer < 0) return which == Weight::embed ? Shape{s.vocab_size, s.hidden_size} : Shape{};
    switch (which) {
        case Weight::q:
        case Weight::k:
        case Weight::v: return {s.num_heads * s.head_dim, s.hidden_size};
        case Weight::o: return {s.hidden_size, s.num_heads * s.head_dim};
        case Weight::up: return {s.intermediate_size, s.hidden_size};
        case Weight::down: return {s.hidden_size, s.intermediate_size};
        default: return {};
    }
}

int Encoder::size(int layer, Vector which) const {
    const Spec& s = spec_;
    const bool is_outside = layer < 0;
    switch (which) {
        case Vector::positions: return is_outside ? s.num_positions * s.hidden_size : 0;
        case Vector::types: return is_outside ? s.num_types * s.hidden_size : 0;
        case Vector::embed_norm:
        case Vector::embed_norm_bias: return is_outside ? s.hidden_size : 0;
        case Vector::q_bias:
        case Vector::k_bias:
        case Vector::v_bias: return is_outside ? 0 : s.num_heads * s.head_dim;
        case Vector::up_bias: return is_outside ? 0 : s.intermediate_size;
        case Vector::count: return 0;
        default: return is_outside ? 0 : s.hidden_size;
    }
}

PackedMatrix& Encoder::matrix(int index, Weight which, int) {
    Layer& at = layer(index);
    switch (which) {
        case Weight::q: return at.q;
        case Weight::k: return at.k;
        case Weight::v: return at.v;
        case Weight::o: return at.o;
        case Weight::up: return at.up;
        case Weight::down: return at.down;
        default: return embed_;
    }
}

size_t Encoder::weight_bytes() const {
    size_t total = embed_.bytes();
    const auto add = [&](const Layer& l) {
        for (const PackedMatrix* m : {&l.q, &l.k, &l.v, &l.o, &l.up, &l.down}) total += m->bytes();
        for (const Buffer& vector : l.vectors) total += vector.bytes();
    };
    add(outer_);
    std::for_each(layers_.begin(), layers_.end(), add);
    return total;
}

void Encoder::reserve(const Batch& batch) {
    if (batch.num_tokens > token_capacity_) {
        const int capacity = std::max(batch.num_tokens, 2 * token_capacity_);
        const size_t n = size_t(capacity);
        x_ = Buffer(n * hidden_ * sizeof(float));
        q_ = Buffer(n * attention_ * sizeof(float));
        k_ = Buffer(n * attention_ * sizeof(float));
        v_ = Buffer(n * attention_ * sizeof(float));
        shared_.reserve(capacity, std::max(hidden_, attention_));
        inner_.reserve(capacity, intermediate_);
        remainders_.reserve(capacity, hidden_);
        token_capacity_ = capacity;  // last: there may be no memory for one of them
    }
    int num_blocks = 0, longest = 0;
    for (int s = 0; s < batch.num_sequences; ++s) {
        const int length = batch.starts[s + 1] - batch.starts[s];
        num_blocks += (length + block_positions - 1) / block_positions;
        longest = std::max(longest, length);
    }
    if (num_blocks > block_capacity_) {
        const int capacity = std::max(num_blocks, 2 * block_capacity_);
        kept_ = Buffer(size_t(capacity) * spec_.num_heads * layout_.bytes());
        block_capacity_ = capacity;
    }
    if (longest > score_capacity_) {
        const int capacity = round_up(std::max(longest, 2 * score_capacity_), block_positions);
        for (Scratch& own : own_) own.scores = Buffer(size_t(AttentionArgs::max_rows) * capacity * sizeof(float));
        block_table_.resize(size_t(capacity / block_positions));
        for (size_t b = 0; b < block_table_.size(); ++b) block_table_[b] = int32_t(b);
        score_capacity_ = capacity;
    }
}

void Encoder::plan(const Batch& batch) {
    token_sequence_.resize(size_t(batch.num_tokens));
    first_block_.resize(size_t(batch.num_sequences));
    units_.clear();
    short_runs_.clear();
    for (int s = 0, block = 0; s < batch.num_sequences; ++s) {
        const int begin = batch.starts[s], end = batch.starts[s + 1];
        std::fill(token_sequence_.begin() + begin, token_sequence_.begin() + end, s);
        first_block_[size_t(s)] = block;
        if (end - begin < short_text) {
            if (short_runs_.empty() || short_runs_.back()[1] != begin) short_runs_.push_back({begin, begin});
            short_runs_.back()[1] = end;
        }
        block += (end - begin + block_positions - 1) / block_positions;
        // One head after another: its keys and values stay in the cache while all tokens attend to them.
        for (int head = 0; head < spec_.num_heads; ++head)
            for (int t = begin; t < end; t += AttentionArgs::max_rows)
                units_.push_back({s, t, std::min(AttentionArgs::max_rows, end - t), head});
    }
}

// One thread's way through one step. All threads call the same methods in the same order.
class Encoder::Pass {
  public:
    Pass(Encoder& encoder, const Batch& batch, float* out, int thread)
        : e_(encoder), spec_(encoder.spec_), k_(encoder.kernels_), batch_(batch), out_(out), thread_(thread) {}

    void run() {
        embed();
        for (const Layer& layer : e_.layers_) {
            attention(layer);
            feed_forward(layer);
        }
        pool();
    }

  private:
    int num_tokens() const { return batch_.num_tokens; }
    float* x(int token) const { return e_.x_.as<float>() + size_t(token) * e_.hidden_; }
    int position(int token) const { return token - batch_.starts[e_.token_sequence_[size_t(token)]]; }
    Scratch& own() const { return e_.own_[size_t(thread_)]; }

    // Meets the others, then shares `count` units of work with them.
    template <class Body> void for_each(int count, int grain, Body body) {
        e_.pool_.open(thread_, count);
        for (int begin, end; e_.pool_.take(thread_, grain, begin, end);)
            for (int i = begin; i < end; ++i) body(i);
    }

    // Fills a part of a row of a product's input, as bytes or as floats, whichever the product reads.
    void fill(const float* values, const PackedMatrix& reader, const Activations& in, int row, int first_block,
              int last_block) const {
        if (reader.packing() == Packing::floats)
            std::copy_n(values, (last_block - first_block) * block_columns,
                        in.values + size_t(row) * in.columns + size_t(first_block) * block_columns);
        else k_.quantize(values, in, row, first_block, last_block);
    }

    // Normalizes x where it lies, and makes it the input of `reader`.
    void norm(const Layer& layer, Vector weight, Vector bias, const PackedMatrix* reader, int token) const {
        k_.layer_norm(x(token), layer[weight], layer[bias], spec_.norm_eps, spec_.hidden_size, e_.hidden_, x(token));
        if (!reader) return;
        const Activations in = e_.shared_.view(e_.hidden_);
        fill(x(token), *reader, in, token, 0, in.blocks());
        const int s = e_.token_sequence_[size_t(token)];
        if (reader->packing() == Packing::floats || batch_.starts[s + 1] - batch_.starts[s] >= short_text) return;
        float* row = own().row.template as<float>();
        for (int b = 0; b < in.blocks(); ++b) {
            const float unit = in.scales[size_t(token) * in.blocks() + b];
            const int8_t* bytes = in.quantized + size_t(token) * in.columns + size_t(b) * block_columns;
            for (int i = 0; i < block_columns; ++i)
                row[b * block_columns + i] = x(token)[b * block_columns + i] - unit * float(bytes[i]);
        }
        k_.quantize(row, e_.remainders_.view(e_.hidden_), token, 0, in.blocks());
    }

    // Adds what the bytes of short texts left to a product of the hidden columns: out is of first_row and first_group.
    void add_remainders(const PackedMatrix& weights, int first_row, int last_row, int first_group, int last_group,
                        float* out, int out_stride) const {
        if (weights.packing() == Packing::floats) return;
        const Activations left = e_.remainders_.view(e_.hidden_);
        for (const auto& [begin, end] : e_.short_runs_) {
            const int from = std::max(begin, first_row), to = std::min(end, last_row);
            if (from < to)
                k_.matmul({&weights, &left, from, to, first_group, last_group, nullptr,
                           out + size_t(from - first_row) * out_stride, out_stride, true});
        }
    }

    void embed() {
        const Layer& outer = e_.outer_;
        const float *positions = outer[Vector::positions], *types = outer[Vector::types];
        for_each(num_tokens(), 4, [&](int t) {
            e_.embed_.read_row(batch_.tokens[t], x(t));
            const float* place = positions + size_t(spec_.first_position + position(t)) * spec_.hidden_size;
            for (int c = 0; c < spec_.hidden_size; ++c) x(t)[c] += place[c];
            if (types)  // a text alone is of the first type
                for (int c = 0; c < spec_.hidden_size; ++c) x(t)[c] += types[c];
            norm(outer, Vector::embed_norm, Vector::embed_norm_bias, &e_.layers_[0].q, t);
        });
    }

    // How a product's groups and rows are shared among the threads: units of a pair of groups by a span of rows.
    struct Split {
        int rows, span, num_spans;
        explicit Split(int rows)
            : rows(rows), span(rows < max_span ? rows : span_tokens), num_spans((rows + span - 1) / span) {}
        int count(int groups) const { return (groups + 1) / 2 * num_spans; }
        int first_row(int unit) const { return unit % num_spans * span; }
        int last_row(int unit) const { return std::min(rows, first_row(unit) + span); }
        int first_group(int unit) const { return unit / num_spans * 2; }
    };

    // out (+)= weights . in; `done(segment, first_row, last_row, first_group, last_group, out)` is told of each part.
    template <size_t N, class Done>
    void project(const Activations& in, const Segment (&segments)[N], bool accumulate, Done done) {
        const Split split(num_tokens());
        int num_groups = 0;
        for (const Segment& s : segments) num_groups += s.weights->groups();
        for_each(split.count(num_groups), 1, [&](int unit) {
            const int first = split.first_group(unit), last = std::min(num_groups, first + 2);
            int base = 0;
            for (const Segment& s : segments) {
                const int groups = s.weights->groups(), from = std::max(first - base, 0),
                          to = std::min(last - base, groups);
                base += groups;
                if (from >= to) continue;
                const int first_row = split.first_row(unit), last_row = split.last_row(unit);
                float* out = s.out + size_t(first_row) * s.out_stride + size_t(from) * group_rows;
                k_.matmul({s.weights, &in, first_row, last_row, from, to, s.bias, out, s.out_stride, accumulate});
                done(s, first_row, last_row, from, to, out);
            }
        });
    }
    template <size_t N> void project(const Activations& in, const Segment (&segments)[N], bool accumulate) {
        project(in, segments, accumulate, [](const Segment&, int, int, int, int, float*) {});
    }

    void attention(const Layer& layer) {
        const Segment qkv[] = {{&layer.q, layer[Vector::q_bias], e_.q_.as<float>(), e_.attention_},
                               {&layer.k, layer[Vector::k_bias], e_.k_.as<float>(), e_.attention_},
                               {&layer.v, layer[Vector::v_bias], e_.v_.as<float>(), e_.attention_}};
        project(e_.shared_.view(e_.hidden_), qkv, false,
                [&](const Segment& s, int first_row, int last_row, int from, int to, float* out) {
                    add_remainders(*s.weights, first_row, last_row, from, to, out, s.out_stride);
                });
        for_each(num_tokens() * spec_.num_heads, 16, [&](int i) { keep(i / spec_.num_heads, i % spec_.num_heads); });

        const Activations attended = e_.shared_.view(e_.attention_);
        // Where each head's columns are whole blocks, who attends can quantize them, too.
        const bool heads_are_blocks = spec_.head_dim % block_columns == 0;
        for_each(int(e_.units_.size()), 1,
                 [&](int i) { attend(layer, e_.units_[size_t(i)], attended, heads_are_blocks); });
        if (!heads_are_blocks)
            for_each(num_tokens(), 4, [&](int t) {
                float* row = attended.values + size_t(t) * attended.columns;
                std::fill(row + spec_.num_heads * spec_.head_dim, row + attended.columns, 0.0f);
                if (layer.o.packing() != Packing::floats) k_.quantize(row, attended, t, 0, attended.blocks());
            });
        const Segment o[] = {{&layer.o, layer[Vector::o_bias], e_.x_.as<float>(), e_.hidden_}};
        project(attended, o, true);
        for_each(num_tokens(), 4, [&](int t) { norm(layer, Vector::attn_norm, Vector::attn_norm_bias, &layer.up, t); });
    }

    // The padding of a thread's heads is zero from the beginning, and stays so.
    float* own_head(int index) const {
        return own().heads.template as<float>() + size_t(index) * e_.layout_.padded_head_dim();
    }

    // Where block 0 of a sequence lies, for one head.
    uint8_t* kept(int sequence, int head) const {
        return e_.kept_.as<uint8_t>() +
               (size_t(head) * e_.block_capacity_ + e_.first_block_[size_t(sequence)]) * e_.layout_.bytes();
    }

    void keep(int token, int head) {
        const size_t at = size_t(token) * e_.attention_ + size_t(head) * spec_.head_dim;
        float *key = own_head(0), *value = own_head(1);
        std::copy_n(e_.k_.as<float>() + at, spec_.head_dim, key);
        std::copy_n(e_.v_.as<float>() + at, spec_.head_dim, value);
        const int place = position(token);
        uint8_t* block =
            kept(e_.token_sequence_[size_t(token)], head) + size_t(place / block_positions) * e_.layout_.bytes();
        k_.write_kv(e_.layout_, key, value, place % block_positions, block);
    }

    void attend(const Layer& layer, const AttentionUnit& unit, const Activations& attended, bool heads_are_blocks) {
        AttentionArgs args{};
        const float scale = 1 / std::sqrt(float(spec_.head_dim));
        const int last = batch_.starts[unit.sequence + 1] - batch_.starts[unit.sequence] - 1;
        args.num_rows = unit.num_tokens;
        for (int r = 0; r < unit.num_tokens; ++r) {
            const int token = unit.first_token + r;
            const float* query = e_.q_.as<float>() + size_t(token) * e_.attention_ + size_t(unit.head) * spec_.head_dim;
            k_.rotate(query, nullptr, nullptr, 0, spec_.head_dim, scale, own_head(r));
            args.queries[r] = own_head(r);
            args.outs[r] = heads_are_blocks ? own().outs.template as<float>() + size_t(r) * spec_.head_dim
                                            : attended.values + size_t(token) * attended.columns +
                                                  size_t(unit.head) * spec_.head_dim;
            args.first[r] = 0;
            args.positions[r] = last;
        }
        args.layout = e_.layout_;
        args.cache = kept(unit.sequence, unit.head);
        args.block_table = e_.block_table_.data();
        args.block_stride = e_.layout_.bytes();
        args.scores = own().scores.template as<float>();
        args.scores_stride = e_.score_capacity_;
        args.query_bytes = own().head_bytes.template as<int8_t>();
        k_.attend(args);
        if (!heads_are_blocks) return;
        const int blocks = spec_.head_dim / block_columns;
        for (int r = 0; r < unit.num_tokens; ++r)
            fill(args.outs[r], layer.o, attended, unit.first_token + r, unit.head * blocks, (unit.head + 1) * blocks);
    }

    void feed_forward(const Layer& layer) {
        const Split split(num_tokens());
        const Activations in = e_.shared_.view(e_.hidden_), inner = e_.inner_.view(e_.intermediate_);
        for_each(split.count(layer.up.groups()), 1, [&](int unit) { activate_block(layer, in, split, unit, inner); });
        const Segment down[] = {{&layer.down, layer[Vector::down_bias], e_.x_.as<float>(), e_.hidden_}};
        project(inner, down, true);
        const Layer* next = &layer == &e_.layers_.back() ? nullptr : &layer + 1;
        for_each(num_tokens(), 4,
                 [&](int t) { norm(layer, Vector::mlp_norm, Vector::mlp_norm_bias, next ? &next->q : nullptr, t); });
    }

    // One block of 32 columns of the feed-forward layer's inside, ready for what reads it.
    void activate_block(const Layer& layer, const Activations& in, const Split& split, int unit,
                        const Activations& inner) {
        const int first_row = split.first_row(unit), last_row = split.last_row(unit), group = split.first_group(unit);
        const int last_group = std::min(group + 2, layer.up.groups());
        float* rows = own().inner.template as<float>();
        k_.matmul({&layer.up, &in, first_row, last_row, group, last_group, layer[Vector::up_bias], rows, block_columns,
                   false});
        add_remainders(layer.up, first_row, last_row, group, last_group, rows, block_columns);
        if (last_group == group + 1)  // the other half of the block is padding
            for (int i = 0; i < last_row - first_row; ++i)
                std::fill_n(rows + i * block_columns + group_rows, group_rows, 0.0f);
        k_.activate(spec_.activation, rows, nullptr, (last_row - first_row) * block_columns, rows);
        for (int row = first_row; row < last_row; ++row, rows += block_columns)
            fill(rows, layer.down, inner, row, group / 2, group / 2 + 1);
    }

    void pool() {
        for_each(batch_.num_sequences, 1, [&](int s) {
            float* out = out_ + size_t(s) * spec_.hidden_size;
            const int begin = batch_.starts[s], end = batch_.starts[s + 1];
            std::copy_n(x(begin), spec_.hidden_size, out);
            if (spec_.pooling == Pooling::first) return;
            for (int t = begin + 1; t < end; ++t)
                for (int c = 0; c < spec_.hidden_size; ++c) out[c] += x(t)[c];
            const float inverse = 1 / float(end - begin);
            for (int c = 0; c < spec_.hidden_size; ++c) out[c] *= inverse;
        });
    }

    Encoder& e_;
    const Spec& spec_;
    const Kernels& k_;
    const Batch& batch_;
    float* out_;
    const int thread_;
};

void Encoder::forward(const Batch& batch, float* out) {
    reserve(batch);
    plan(batch);
    pool_.run([&](int thread) { Pass(*this, batch, out, thread).run(); });
}

}  // namespace llmos
