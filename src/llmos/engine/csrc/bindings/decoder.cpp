// llmos.engine._native.Runner: a decoder with its weights and its KV cache.

#include "decoder/decoder.h"

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>

#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "bindings/arguments.h"
#include "bindings/decoder_spec.h"
#include "bindings/named_weights.h"

using namespace nb::literals;

namespace llmos {
namespace {

constexpr int max_adapters = 4096;

const std::map<std::string, Weight> weights_by_name = {
    {"q", Weight::q},
    {"k", Weight::k},
    {"v", Weight::v},
    {"o", Weight::o},
    {"gate", Weight::gate},
    {"up", Weight::up},
    {"down", Weight::down},
    {"router", Weight::router},
    {"q_gate", Weight::q_gate},
    {"mix", Weight::mix},
    {"mix_in", Weight::mix_in},
    {"mix_gate", Weight::mix_gate},
    {"step", Weight::step},
    {"beta", Weight::beta},
    {"embed", Weight::embed},
    {"positions", Weight::positions},
    {"head", Weight::head},
    {"input_gate", Weight::input_gate},
    {"input_projection", Weight::input_projection},
    {"laurel_down", Weight::laurel_down},
    {"laurel_up", Weight::laurel_up},
    {"stream_projection", Weight::stream_projection},
    {"stream_output", Weight::stream_output},
    {"layer_embed", Weight::layer_embed},
    {"layer_embed_projection", Weight::layer_embed_projection},
};

const std::map<std::string, Vector> vectors_by_name = {
    {"attn_norm", Vector::attn_norm},
    {"attn_norm_bias", Vector::attn_norm_bias},
    {"attn_post_norm", Vector::attn_post_norm},
    {"attn_post_norm_bias", Vector::attn_post_norm_bias},
    {"mlp_norm", Vector::mlp_norm},
    {"mlp_norm_bias", Vector::mlp_norm_bias},
    {"mlp_post_norm", Vector::mlp_post_norm},
    {"mlp_post_norm_bias", Vector::mlp_post_norm_bias},
    {"q_bias", Vector::q_bias},
    {"k_bias", Vector::k_bias},
    {"v_bias", Vector::v_bias},
    {"o_bias", Vector::o_bias},
    {"gate_bias", Vector::gate_bias},
    {"up_bias", Vector::up_bias},
    {"down_bias", Vector::down_bias},
    {"q_norm", Vector::q_norm},
    {"k_norm", Vector::k_norm},
    {"final_norm", Vector::final_norm},
    {"final_norm_bias", Vector::final_norm_bias},
    {"head_bias", Vector::head_bias},
    {"types", Vector::types},
    {"embed_norm", Vector::embed_norm},
    {"embed_norm_bias", Vector::embed_norm_bias},
    {"sinks", Vector::sinks},
    {"q_gate_bias", Vector::q_gate_bias},
    {"router_bias", Vector::router_bias},
    {"router_correction", Vector::router_correction},
    {"shared_router", Vector::shared_router},
    {"conv", Vector::conv},
    {"conv_bias", Vector::conv_bias},
    {"step_bias", Vector::step_bias},
    {"decay", Vector::decay},
    {"skip", Vector::skip},
    {"mix_norm", Vector::mix_norm},
    {"router_norm", Vector::router_norm},
    {"experts_norm", Vector::experts_norm},
    {"experts_post_norm", Vector::experts_post_norm},
    {"shared_post_norm", Vector::shared_post_norm},
    {"expert_scale", Vector::expert_scale},
    {"input_norm", Vector::input_norm},
    {"scale", Vector::scale},
    {"layer_embed_norm", Vector::layer_embed_norm},
    {"laurel_norm", Vector::laurel_norm},
    {"stream_router", Vector::stream_router},
    {"stream_router_norm", Vector::stream_router_norm},
    {"stream_predict", Vector::stream_predict},
    {"stream_correct", Vector::stream_correct},
    {"stream_scale", Vector::stream_scale},
};

const std::map<std::string, CacheType> cache_types_by_name = {
    {"f32", CacheType::float32}, {"f16", CacheType::float16}, {"int8", CacheType::int8}};

int checked_blocks(int64_t num_blocks) {
    require(num_blocks > 0 && num_blocks <= INT32_MAX, "num_blocks must be between 1 and 2147483647");
    return int(num_blocks);
}

PackedMatrix pack_floats(const Array2<float>& from) {
    const int rows = int(from.shape(0)), columns = int(from.shape(1));
    PackedMatrix matrix(Packing::floats, rows, columns,
                        Buffer(PackedMatrix::bytes_for(Packing::floats, rows, columns)));
    for (int g = 0; g < matrix.groups(); ++g)
        matrix.pack_f32(g, from.data() + size_t(g) * group_rows * size_t(columns));
    return matrix;
}

// Layer, name, down [rank][in], up [out][rank], and with DoRA the gain [out] of the matrix's products.
using AdapterPair = std::tuple<int, std::string, Array2<float>, Array2<float>, std::optional<Array1<float>>>;

// Values in whole groups of rows, with zeros behind them.
template <class Value> Buffer padded(int size, Value value) {
    Buffer buffer(size_t(round_up(size, group_rows)) * sizeof(float));
    for (int i = 0; i < round_up(size, group_rows); ++i) buffer.as<float>()[i] = i < size ? value(i) : 0.0f;
    return buffer;
}

// A gain is for the products alone; what comes after it takes its part of the bias back.
void set_gain(LowRank& added, const Array1<float>& gain, const float* bias) {
    const int size = int(gain.size());
    added.gain = padded(size, [&](int i) { return gain(i); });
    added.shift = padded(size, [&](int i) { return bias ? (1 - gain(i)) * bias[i] : 0.0f; });
}

std::unique_ptr<Adapter> adapter_from(const std::vector<AdapterPair>& pairs, Decoder& decoder) {
    auto adapter = std::make_unique<Adapter>();
    adapter->layers.resize(size_t(decoder.spec().num_layers));
    for (const auto& [layer, name, down, up, gain] : pairs) {
        check_layer(layer, decoder.spec().num_layers);
        require(layer >= 0, "an adapter changes layers");
        const Weight which = lookup(weights_by_name, name);
        require(size_t(which) < Adapter::num_matrices, "an adapter changes q, k, v, o, gate, up and down only");
        require(decoder.shape(layer, which, -1).rows, "an adapter changes a matrix that the layer has");
        const Shape asked = decoder.shape(layer, which, -1);
        const std::string subject = "The adapter of " + weight_name(layer, name);
        if (down.shape(0) < 1 || down.shape(0) > size_t(Adapter::max_rank) || up.shape(1) != down.shape(0))
            throw std::invalid_argument(subject + " has no rank from 1 to 512.");
        if (down.shape(1) != size_t(asked.columns) || up.shape(0) != size_t(asked.rows))
            throw std::invalid_argument(subject + " doesn't fit the matrix.");
        LowRank& added = adapter->layers[size_t(layer)][size_t(which)];
        added.down = pack_floats(down);
        added.up = pack_floats(up);
        if (!gain) continue;
        require(gain->size() == size_t(asked.rows), "a gain has a value for each row of the matrix");
        const Vector bias = lookup(vectors_by_name, name + "_bias");
        set_gain(added, *gain, decoder.size(layer, bias) ? decoder.vector(layer, bias).as<float>() : nullptr);
        adapter->has_gains = true;
    }
    return adapter;
}

// Rows, a token for each of them, and the number of likeliest tokens.
using ScoredArrays = std::tuple<Array1<int32_t>, Array1<int32_t>, int>;

void check_logit_rows(const Array1<int32_t>& logit_rows, size_t num_tokens) {
    for (size_t r = 0; r < logit_rows.size(); ++r) {
        require(size_t(uint32_t(logit_rows(r))) < num_tokens, "a logit row is outside the batch");
        require(r == 0 || logit_rows(r - 1) < logit_rows(r), "logit rows must ascend");
    }
}

void check_scored_rows(const ScoredArrays& scored, size_t num_tokens, const Decoder& decoder) {
    const auto& [rows, tokens, num_top] = scored;
    require(decoder.spec().has_head, "a model without a head scores no tokens");
    require(rows.size() == tokens.size(), "every scored row has one token");
    require(rows.size() <= size_t(max_batch_tokens), "a batch has too many tokens to score");
    require(num_top >= 0 && num_top <= std::min(TopLogits::max_count, decoder.spec().vocab_size),
            "num_top is from 0 to 20, and no more than the vocabulary");
    for (size_t i = 0; i < rows.size(); ++i) {
        require(size_t(uint32_t(rows(i))) < num_tokens, "a scored row is outside the batch");
        require(i == 0 || rows(i - 1) <= rows(i), "scored rows must ascend");
    }
}

// A batch as Python gives it; see engine/runner/__init__.py's Batch.
struct BatchArrays {
    const Array1<int32_t>* tokens;  // null: `num_rows` rows of an earlier stage stand for them
    size_t num_rows;
    const Array1<int32_t>&starts, &context_lengths;
    const Array2<int32_t>& block_tables;
    const Array1<int32_t>& logit_rows;
    const std::optional<Array1<int32_t>>&adapters, &states, &restored;
    const std::optional<Array2<int32_t>>& copies;
    const std::optional<ScoredArrays>& scored;

    BatchView checked(const Decoder& decoder) const {
        check_sizes();
        check_logit_rows(logit_rows, count());
        check_scored(decoder);
        for (int s = 0; s < num_sequences(); ++s) check_sequence(decoder, s);
        check_states(decoder);
        return {num_tokens(),
                num_sequences(),
                int(logit_rows.size()),
                int(block_tables.shape(1)),
                tokens ? tokens->data() : nullptr,
                starts.data(),
                context_lengths.data(),
                block_tables.data(),
                logit_rows.data(),
                adapters ? adapters->data() : nullptr,
                states ? states->data() : nullptr,
                restored ? restored->data() : nullptr,
                copies ? reinterpret_cast<const StateCopy*>(copies->data()) : nullptr,
                copies ? int(copies->shape(0)) : 0,
                scored ? ScoredTokens{num_scored(), scored_rows().data(), scored_tokens().data(), num_top()}
                       : ScoredTokens{}};
    }

    // The sequences that checked() refuses for what they bring themselves.
    std::vector<int> refused(const Decoder& decoder) const {
        check_sizes();
        check_scored(decoder);
        std::vector<int> found;
        for (int s = 0; s < num_sequences(); ++s) {
            try {
                check_sequence(decoder, s);
            } catch (const std::invalid_argument&) {
                found.push_back(s);
            }
        }
        return found;
    }

  private:
    size_t count() const { return tokens ? tokens->size() : num_rows; }
    int num_tokens() const { return int(count()); }
    int num_sequences() const { return int(context_lengths.size()); }
    const Array1<int32_t>& scored_rows() const { return std::get<0>(*scored); }
    const Array1<int32_t>& scored_tokens() const { return std::get<1>(*scored); }
    int num_scored() const { return scored ? int(scored_rows().size()) : 0; }
    int num_top() const { return std::get<2>(*scored); }

    void check_sizes() const {
        require(count() <= size_t(max_batch_tokens), "a batch has too many tokens");
        require(context_lengths.size() <= count(), "every sequence must bring a token");
        require(logit_rows.size() <= count(), "logit rows must ascend");
        require(block_tables.shape(1) <= size_t(INT32_MAX), "a block table is too long");
        require(num_tokens() > 0 && num_sequences() > 0, "a batch needs tokens");
        require(starts.size() == context_lengths.size() + 1 && block_tables.shape(0) == context_lengths.size(),
                "starts, context_lengths and block_tables disagree");
        require(starts(0) == 0 && starts(num_sequences()) == num_tokens(),
                "starts must run from 0 to the number of tokens");
        require(!adapters || adapters->size() == size_t(num_sequences()), "adapters has an entry for each sequence");
        for (int s = 0; s < num_sequences(); ++s)
            require(starts(s) < starts(s + 1), "every sequence must bring a token");
    }

    void check_scored(const Decoder& decoder) const {
        if (scored) check_scored_rows(*scored, count(), decoder);
    }

    void check_scored_tokens(const Decoder& decoder, int s) const {
        const int32_t *begin = scored_rows().data(), *end = begin + num_scored();
        const int32_t* first = std::lower_bound(begin, end, starts(s));
        for (const int32_t* row = first; row != end && *row < starts(s + 1); ++row)
            require(uint32_t(scored_tokens()(row - begin)) < uint32_t(decoder.spec().vocab_size),
                    "a scored token is outside the vocabulary");
    }

    void check_sequence(const Decoder& decoder, int s) const {
        if (scored) check_scored_tokens(decoder, s);
        for (int t = starts(s); tokens && t < starts(s + 1); ++t)
            require(uint32_t((*tokens)(t)) < uint32_t(decoder.spec().vocab_size), "a token is outside the vocabulary");
        require(context_lengths(s) >= 0, "a context length is negative");
        const int64_t length = int64_t(context_lengths(s)) + starts(s + 1) - starts(s);
        require(length <= decoder.spec().max_positions, "a sequence has more positions than the model");
        const size_t num_blocks = (size_t(length) + block_positions - 1) / block_positions;
        require(num_blocks <= block_tables.shape(1), "a sequence has more positions than its block table");
        for (size_t b = 0; b < num_blocks; ++b)
            require(uint32_t(block_tables(s, b)) < uint32_t(decoder.num_blocks()), "a block is outside the cache");
        const int32_t index = adapters ? (*adapters)(s) : -1;
        require(index == -1 || (index >= 0 && decoder.has_adapter(index)), "there is no adapter of this number");
    }

    void check_states(const Decoder& decoder) const {
        if (!decoder.spec().num_recurrent_layers) return;
        require(num_sequences() <= decoder.num_states(), "there are more sequences than states");
        require(!states || states->size() == size_t(num_sequences()), "states has an entry for each sequence");
        std::vector<bool> is_used(size_t(decoder.num_states()));  // written, or read by another sequence
        const auto write = [&](int32_t state) {
            require(uint32_t(state) < uint32_t(decoder.num_states()), "there is no state of this number");
            require(!is_used[size_t(state)], "two sequences have the same state");
            is_used[size_t(state)] = true;
        };
        for (int s = 0; s < num_sequences(); ++s) write(states ? (*states)(s) : s);
        check_copies(write);
        if (!restored) return;
        require(restored->size() == size_t(num_sequences()), "restored has an entry for each sequence");
        for (int s = 0; s < num_sequences(); ++s) {
            const int32_t state = (*restored)(s);
            if (state == -1) continue;
            require(uint32_t(state) < uint32_t(decoder.num_states()), "there is no state of this number");
            require(context_lengths(s) > 0, "a sequence without earlier tokens has no state to restore");
            require(!is_used[size_t(state)], "a state is restored in the step that writes it");
        }
    }

    template <class Write> void check_copies(const Write& write) const {
        if (!copies) return;
        require(copies->shape(1) == 3, "a copy of a state has a sequence, a number of tokens, and a state");
        for (size_t c = 0; c < copies->shape(0); ++c) {
            const int32_t s = (*copies)(c, 0), tokens_before = (*copies)(c, 1);
            require(uint32_t(s) < uint32_t(num_sequences()), "a copy is of a sequence of the batch");
            require(tokens_before > 0 && tokens_before <= starts(s + 1) - starts(s), "a copy is behind a new token");
            if (c && (*copies)(c - 1, 0) >= s)
                require((*copies)(c - 1, 0) == s && (*copies)(c - 1, 1) < tokens_before, "copies must ascend");
            write((*copies)(c, 2));
        }
    }
};

// Rows of the last stage, some of which get logits, and some scores.
BatchView head_batch(size_t num_rows, const Array1<int32_t>& logit_rows, const std::optional<ScoredArrays>& scored,
                     const Decoder& decoder) {
    require(num_rows <= size_t(max_batch_tokens), "a batch has too many tokens");
    check_logit_rows(logit_rows, num_rows);
    BatchView batch{};
    batch.num_tokens = int(num_rows);
    batch.num_logit_rows = int(logit_rows.size());
    batch.logit_rows = logit_rows.data();
    if (!scored) return batch;
    check_scored_rows(*scored, num_rows, decoder);
    const auto& [rows, tokens, num_top] = *scored;
    for (size_t i = 0; i < tokens.size(); ++i)
        require(uint32_t(tokens(i)) < uint32_t(decoder.spec().vocab_size), "a scored token is outside the vocabulary");
    batch.scored = {int(rows.size()), rows.data(), tokens.data(), num_top};
    return batch;
}

class DecoderRunner {
  public:
    DecoderRunner(nb::object pool, nb::handle fields, std::vector<std::vector<double>> inverse_frequencies,
                  int64_t num_blocks, const std::string& isa, const std::string& cache_type, int64_t num_states,
                  const Stage& stage)
        : pool_object_(pool),
          kernels_(find_kernels(isa)),
          decoder_(decoder_spec_from(fields, std::move(inverse_frequencies), stage), nb::cast<Pool&>(pool), kernels_,
                   checked_blocks(num_blocks), lookup(cache_types_by_name, cache_type), checked_blocks(num_states)) {}

    void place(Array1<uint8_t> memory, const std::vector<Placement>& placements) {
        calls_.run([&] { weights_.place(memory, placements); });
    }

    void set_vector(int layer, const std::string& name, Array1<float> data) {
        Buffer values = weights_.checked_vector(layer, name, data);
        calls_.run([&] { weights_.set_vector(layer, name, std::move(values)); });
    }

    void set_adapter(int index, const std::optional<std::vector<AdapterPair>>& pairs) {
        require(index >= 0 && index < max_adapters, "adapters have numbers from 0 to 4095");
        std::unique_ptr<Adapter> adapter;
        if (pairs) {
            nb::gil_scoped_release release;
            adapter = adapter_from(*pairs, decoder_);
        }
        calls_.run([&] { decoder_.set_adapter(index, std::move(adapter)); });
    }

    nb::object forward(Array1<int32_t> tokens, Array1<int32_t> starts, Array1<int32_t> context_lengths,
                       Array2<int32_t> block_tables, Array1<int32_t> logit_rows,
                       std::optional<Array1<int32_t>> adapters, std::optional<Array1<int32_t>> states,
                       std::optional<Array1<int32_t>> restored, std::optional<Array2<int32_t>> copies,
                       std::optional<ScoredArrays> scored) {
        require(!decoder_.spec().is_split(), "a stage has no logits of its own");
        weights_.require_complete();
        const BatchArrays arrays{&tokens,  0,      starts,   context_lengths, block_tables, logit_rows,
                                 adapters, states, restored, copies,          scored};
        const BatchView batch = arrays.checked(decoder_);
        return logits_of(logit_rows.size(), [&] { return decoder_.forward(batch); });
    }

    nb::ndarray<nb::numpy, float> advance(std::optional<Array1<int32_t>> tokens, std::optional<Array2<float>> rows,
                                          Array1<int32_t> starts, Array1<int32_t> context_lengths,
                                          Array2<int32_t> block_tables, Array1<int32_t> wanted_rows,
                                          std::optional<Array1<int32_t>> adapters,
                                          std::optional<Array1<int32_t>> states,
                                          std::optional<Array1<int32_t>> restored,
                                          std::optional<Array2<int32_t>> copies) {
        weights_.require_complete();
        const Spec& spec = decoder_.spec();
        require(tokens.has_value() == spec.is_home() && rows.has_value() != spec.is_home(),
                "home takes tokens, and the stages behind it take rows");
        require(!rows || rows->shape(1) == size_t(decoder_.row_stride(spec.first_layer)), "the rows have another size");
        const std::optional<ScoredArrays> no_scored;
        const BatchArrays arrays{tokens ? &*tokens : nullptr,
                                 rows ? rows->shape(0) : 0,
                                 starts,
                                 context_lengths,
                                 block_tables,
                                 wanted_rows,
                                 adapters,
                                 states,
                                 restored,
                                 copies,
                                 no_scored};
        const BatchView batch = arrays.checked(decoder_);
        const size_t count = size_t(spec.is_last() ? batch.num_logit_rows : batch.num_tokens);
        const size_t stride = size_t(decoder_.row_stride(spec.end_layer));
        OwnedMemory<float> out(count * stride);
        calls_.run([&] { decoder_.advance(batch, rows ? rows->data() : nullptr, out.data); });
        return {out.data, {count, stride}, out.owner};
    }

    nb::object finish(Array2<float> rows, Array1<int32_t> logit_rows, std::optional<ScoredArrays> scored) {
        weights_.require_complete();
        const Spec& spec = decoder_.spec();
        require(spec.is_home() && spec.has_head, "only home has the head");
        require(rows.shape(1) == size_t(decoder_.row_stride(spec.num_layers)), "the rows have another size");
        const BatchView batch = head_batch(rows.shape(0), logit_rows, scored, decoder_);
        return logits_of(logit_rows.size(), [&] { return decoder_.finish(batch, rows.data()); });
    }

    std::vector<int> refused(Array1<int32_t> tokens, Array1<int32_t> starts, Array1<int32_t> context_lengths,
                             Array2<int32_t> block_tables, Array1<int32_t> logit_rows,
                             std::optional<Array1<int32_t>> adapters, std::optional<ScoredArrays> scored) {
        const std::optional<Array1<int32_t>> no_states;  // states are the runner's own, and checked with the batch
        const std::optional<Array2<int32_t>> no_copies;
        return BatchArrays{&tokens,  0,         starts,    context_lengths, block_tables, logit_rows,
                           adapters, no_states, no_states, no_copies,       scored}
            .refused(decoder_);
    }

    nb::tuple likeliest() {
        std::vector<float> highest;
        std::vector<int32_t> tokens;
        calls_.run([&] {
            highest = decoder_.highest();
            tokens = decoder_.likeliest();
        });
        return nb::make_tuple(array_of(highest), array_of(tokens));
    }

    nb::tuple scores() {
        Scores found;
        calls_.run([&] { found = decoder_.scores(); });
        const size_t count = found.logprobs.size(), num_top = size_t(found.num_top);
        return nb::make_tuple(array_of(found.logprobs), array_of(found.ranks), array_of(found.entropies),
                              array_of(found.top_ids, {count, num_top}),
                              array_of(found.top_logprobs, {count, num_top}));
    }

    void set_profiling(bool is_on) {
        calls_.run([&] {
            decoder_.profile().is_on = is_on;
            decoder_.profile().seconds = {};
        });
    }

    std::map<std::string, double> profile() {
        std::map<std::string, double> seconds;
        calls_.run([&] {
            for (size_t i = 0; i < region_names.size(); ++i) seconds[region_names[i]] = decoder_.profile().seconds[i];
        });
        return seconds;
    }

    nb::object pool() const { return pool_object_; }
    size_t weight_bytes() const { return decoder_.weight_bytes(); }
    size_t kv_bytes() const { return decoder_.kv_bytes(); }
    std::string isa() const { return kernels_.name; }

    size_t row_size(int boundary) const {
        require(boundary > 0 && boundary <= decoder_.spec().num_layers, "a boundary is behind a layer");
        return size_t(decoder_.row_stride(boundary));
    }

  private:
    // The logits that compute() returns. The array keeps the memory, not the numbers: a later step may write them
    // elsewhere.
    template <class Compute> nb::object logits_of(size_t num_rows, const Compute& compute) {
        auto held = std::make_unique<std::shared_ptr<const Buffer>>();
        calls_.run([&] { *held = compute(); });
        void* logits = (*held)->template as<float>();
        nb::capsule owner(held.get(), [](void* p) noexcept { delete static_cast<std::shared_ptr<const Buffer>*>(p); });
        held.release();
        const size_t shape[2] = {num_rows, size_t(decoder_.spec().num_outputs())};
        const int64_t strides[2] = {decoder_.logits_stride(), 1};
        return nb::cast(nb::ndarray<nb::numpy, float, nb::ndim<2>>(logits, 2, shape, owner, strides),
                        nb::rv_policy::reference);
    }

    template <class T>
    static nb::ndarray<nb::numpy, T> array_of(const std::vector<T>& from, std::initializer_list<size_t> shape) {
        OwnedMemory<T> memory(from.size());
        std::copy(from.begin(), from.end(), memory.data);
        return {memory.data, shape, memory.owner};
    }
    template <class T> static nb::ndarray<nb::numpy, T> array_of(const std::vector<T>& from) {
        return array_of(from, {from.size()});
    }

    nb::object pool_object_;  // keeps the pool alive
    const Kernels& kernels_;
    Decoder decoder_;
    NamedWeights<Decoder, Weight, Vector> weights_{decoder_, weights_by_name, vectors_by_name};
    OneCallAtATime calls_;
};

size_t block_bytes(nb::handle fields, const std::string& cache_type, const Stage& stage) {
    return Decoder::block_bytes(decoder_spec_from(fields, stage), lookup(cache_types_by_name, cache_type));
}

size_t state_bytes(nb::handle fields, const Stage& stage) {
    return Decoder::state_bytes(decoder_spec_from(fields, stage));
}

}  // namespace

void bind_decoder(nb::module_& m) {
    nb::class_<DecoderRunner>(m, "Runner", "A decoder with its weights and its KV cache.")
        .def(nb::init<nb::object, nb::handle, std::vector<std::vector<double>>, int64_t, const std::string&,
                      const std::string&, int64_t, const Stage&>(),
             "pool"_a, "spec"_a, "inverse_frequencies"_a, "num_blocks"_a, "isa"_a, "cache_type"_a, "num_states"_a,
             "stage"_a = nb::none())
        .def("place", &DecoderRunner::place, "memory"_a.noconvert(), "placements"_a,
             "Use matrices that lie in this memory, which pack_rows() has filled or will fill before the next step.\n"
             "A placement is (layer, name, expert or -1, packing, rows, columns, byte offset).")
        .def("set_vector", &DecoderRunner::set_vector, "layer"_a, "name"_a, "data"_a.noconvert())
        .def("set_adapter", &DecoderRunner::set_adapter, "index"_a, "pairs"_a.none(),
             "Keep an adapter under an index and drop the one that was there; None only drops it.\n"
             "A pair is (layer, name, down [rank, in], up [out, rank]).")
        .def("forward", &DecoderRunner::forward, "tokens"_a.noconvert(), "starts"_a.noconvert(),
             "context_lengths"_a.noconvert(), "block_tables"_a.noconvert(), "logit_rows"_a.noconvert(),
             "adapters"_a.noconvert() = nb::none(), "states"_a.noconvert() = nb::none(),
             "restored"_a.noconvert() = nb::none(), "copies"_a.noconvert() = nb::none(),
             "scored"_a.noconvert() = nb::none(),
             "Write the batch into the KV cache and return logits [rows, vocabulary], overwritten by the next call.\n"
             "`scored` is (rows, a token for each of them, number of likeliest tokens).")
        .def("advance", &DecoderRunner::advance, "tokens"_a.noconvert().none(), "rows"_a.noconvert().none(),
             "starts"_a.noconvert(), "context_lengths"_a.noconvert(), "block_tables"_a.noconvert(),
             "wanted_rows"_a.noconvert(), "adapters"_a.noconvert() = nb::none(), "states"_a.noconvert() = nb::none(),
             "restored"_a.noconvert() = nb::none(), "copies"_a.noconvert() = nb::none(),
             "Compute the layers of a stage; return the rows for the next one, [tokens, row_size(end of the stage)].\n"
             "Home takes tokens, the others the rows of the stage before. The last stage returns the wanted rows only.")
        .def("finish", &DecoderRunner::finish, "rows"_a.noconvert(), "logit_rows"_a.noconvert(),
             "scored"_a.noconvert() = nb::none(),
             "Return the logits of some rows of the last stage. `logit_rows` and scored rows are indices into `rows`.")
        .def("row_size", &DecoderRunner::row_size, "boundary"_a,
             "Floats of a token's row between the layers before this one and the others.")
        .def("refused", &DecoderRunner::refused, "tokens"_a.noconvert(), "starts"_a.noconvert(),
             "context_lengths"_a.noconvert(), "block_tables"_a.noconvert(), "logit_rows"_a.noconvert(),
             "adapters"_a.noconvert() = nb::none(), "scored"_a.noconvert() = nb::none(),
             "The sequences of a batch that forward() refuses for their own tokens, positions, blocks or adapter.")
        .def("likeliest", &DecoderRunner::likeliest,
             "The largest logit of each row of the last step and its token, -1 where a logit is not finite.")
        .def(
            "scores", &DecoderRunner::scores,
            "Of the last step's scored tokens: log-probabilities, ranks, entropies, and the likeliest tokens with theirs.")
        .def("set_profiling", &DecoderRunner::set_profiling, "is_on"_a,
             "Time the regions of each step, or stop; starts from zero.")
        .def("profile", &DecoderRunner::profile,
             "Seconds that the first thread spent in each region since set_profiling(True).")
        .def_prop_ro("pool", &DecoderRunner::pool)
        .def_prop_ro("weight_bytes", &DecoderRunner::weight_bytes)
        .def_prop_ro("kv_bytes", &DecoderRunner::kv_bytes)
        .def_prop_ro("isa", &DecoderRunner::isa);
    m.def("block_bytes", &block_bytes, "spec"_a, "cache_type"_a, "stage"_a = nb::none(),
          "Bytes of one block of the KV cache, in all layers or in those of a stage.");
    m.def("state_bytes", &state_bytes, "spec"_a, "stage"_a = nb::none(),
          "Bytes of one sequence's state, in all recurrent layers or in those of a stage.");
}

}  // namespace llmos
