// What Python sees: llmos.engine._native. Sizes are checked here, not in the loops.

#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>

#include "bindings/named_weights.h"
#include "decoder/decoder.h"
#include "fit_q4_1.h"
#include "sampler.h"

using namespace nb::literals;
using namespace llmos;

namespace {

const std::map<std::string, Weight> weights_by_name = {{"q", Weight::q},         {"k", Weight::k},
                                                       {"v", Weight::v},         {"o", Weight::o},
                                                       {"gate", Weight::gate},   {"up", Weight::up},
                                                       {"down", Weight::down},   {"router", Weight::router},
                                                       {"embed", Weight::embed}, {"positions", Weight::positions},
                                                       {"head", Weight::head}};

const std::map<std::string, Vector> vectors_by_name = {{"attn_norm", Vector::attn_norm},
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
                                                       {"final_norm_bias", Vector::final_norm_bias}};

const std::map<std::string, CacheType> cache_types_by_name = {
    {"f32", CacheType::float32}, {"f16", CacheType::float16}, {"int8", CacheType::int8}};

Spec spec_from(nb::handle fields) {
    const auto number = [&](const char* name) { return size_field(fields, name); };
    const auto flag = [&](const char* name) { return nb::cast<bool>(fields.attr(name)); };
    const auto real = [&](const char* name) { return nb::cast<float>(fields.attr(name)); };
    const auto real_or_none = [&](const char* name) { return fields.attr(name).is_none() ? 0 : real(name); };
    const auto text = [&](const char* name) { return nb::cast<std::string>(fields.attr(name)); };
    Spec spec{};
    spec.vocab_size = number("vocab_size");
    spec.hidden_size = number("hidden_size");
    spec.num_layers = number("num_layers");
    spec.num_heads = number("num_heads");
    spec.num_kv_heads = number("num_kv_heads");
    spec.head_dim = number("head_dim");
    spec.intermediate_size = number("intermediate_size");
    spec.max_positions = number("max_positions");
    if (!nb::cast<int>(fields.attr("num_experts"))) spec.num_experts = spec.experts_per_token = spec.expert_size = 0;
    else {
        spec.num_experts = number("num_experts");
        spec.experts_per_token = number("experts_per_token");
        spec.expert_size = number("expert_size");
        require(spec.num_experts <= 65536 && spec.experts_per_token <= spec.num_experts,
                "a token takes some of the experts");
        require(int64_t(spec.experts_per_token) * max_batch_tokens <= INT32_MAX, "experts_per_token is too large");
        require(!nb::cast<bool>(fields.attr("mlp_bias")), "experts have no biases");
    }
    spec.normalizes_experts = nb::cast<bool>(fields.attr("normalizes_experts"));
    spec.layer_norm = lookup<bool>({{"rmsnorm", false}, {"layernorm", true}}, text("norm"));
    spec.norm_eps = real("norm_eps");
    spec.activation = lookup(activations_by_name, text("activation"));
    spec.gated = flag("gated");
    spec.learned_positions = flag("learned_positions");
    spec.pre_norm = flag("pre_norm");
    spec.post_norm = flag("post_norm");
    spec.parallel_residual = flag("parallel_residual");
    spec.qk_norm =
        fields.attr("qk_norm").is_none()
            ? QKNorm::none
            : lookup<QKNorm>({{"head", QKNorm::head}, {"each_head", QKNorm::each_head}, {"whole", QKNorm::whole}},
                             text("qk_norm"));
    spec.embedding_multiplier = real("embedding_multiplier");
    spec.residual_multiplier = real("residual_multiplier");
    spec.logit_multiplier = real("logit_multiplier");
    spec.logit_softcap = real_or_none("logit_softcap");
    spec.score_scale = real("score_scale");
    spec.attention_softcap = real_or_none("attention_softcap");
    spec.rope_attention_factor = real("rope_attention_factor");
    spec.tied_head = flag("tied_head");
    spec.qkv_bias = flag("qkv_bias");
    spec.output_bias = flag("output_bias");
    spec.mlp_bias = flag("mlp_bias");
    for (int i = 0; i < spec.num_layers; ++i) {
        const nb::object window = fields.attr("window_of")(i), rotation = fields.attr("rotation_of")(i);
        spec.layers.push_back({window.is_none() ? 0 : nb::cast<int>(window),
                               rotation.is_none() ? -1 : nb::cast<int>(rotation),
                               nb::cast<bool>(fields.attr("has_experts")(i))});
        require(spec.layers.back().sliding_window >= 0 && spec.layers.back().sliding_window <= max_size,
                "a sliding window must be positive");
    }
    require(!spec.post_norm || !spec.parallel_residual,
            "norms after the parts of a layer need one part after the other");
    require(spec.qk_norm != QKNorm::whole || !spec.layer_norm, "a norm over all heads is an RMS norm");
    require(spec.num_heads % spec.num_kv_heads == 0, "num_heads must be a multiple of num_kv_heads");
    require(int64_t(spec.num_heads) * spec.head_dim <= max_size, "num_heads * head_dim is too large");
    require(spec.head_dim <= 65536, "head_dim is too large");
    require(int64_t(spec.num_heads) * max_batch_tokens <= INT32_MAX, "num_heads is too large");
    return spec;
}

constexpr int max_adapters = 4096;

PackedMatrix pack_floats(const Array2<float>& from) {
    const int rows = int(from.shape(0)), columns = int(from.shape(1));
    PackedMatrix matrix(Packing::floats, rows, columns,
                        Buffer(PackedMatrix::bytes_for(Packing::floats, rows, columns)));
    for (int g = 0; g < matrix.groups(); ++g)
        matrix.pack_f32(g, from.data() + size_t(g) * group_rows * size_t(columns));
    return matrix;
}

class Runner {
  public:
    Runner(nb::object pool, nb::handle fields, std::vector<std::vector<double>> inverse_frequencies, int64_t num_blocks,
           const std::string& isa, const std::string& cache_type)
        : pool_object_(pool),
          pool_(nb::cast<Pool&>(pool)),
          kernels_(find_kernels(isa)),
          decoder_(make_spec(fields, std::move(inverse_frequencies)), pool_, kernels_, checked_blocks(num_blocks),
                   lookup(cache_types_by_name, cache_type)) {}

    void place(Array1<uint8_t> memory, const std::vector<Placement>& placements) {
        between_steps([&] { weights_.place(memory, placements); });
    }

    void set_vector(int layer, const std::string& name, Array1<float> data) {
        Buffer values = weights_.checked_vector(layer, name, data);
        between_steps([&] { weights_.set_vector(layer, name, std::move(values)); });
    }

    // Layer, name, down [rank][in], up [out][rank].
    using Pair = std::tuple<int, std::string, Array2<float>, Array2<float>>;

    void set_adapter(int number, const std::optional<std::vector<Pair>>& pairs) {
        require(number >= 0 && number < max_adapters, "adapters have numbers from 0 to 4095");
        nb::gil_scoped_release release;
        std::unique_ptr<Adapter> adapter;
        if (pairs) {
            adapter = std::make_unique<Adapter>();
            adapter->layers.resize(size_t(decoder_.spec().num_layers));
            for (const auto& [layer, name, down, up] : *pairs) {
                check_layer(layer, decoder_.spec().num_layers);
                require(layer >= 0, "an adapter changes layers");
                const Weight which = lookup(weights_by_name, name);
                require(size_t(which) < Adapter::num_matrices, "an adapter changes q, k, v, o, gate, up and down only");
                const Shape wanted = decoder_.shape(layer, which, -1);
                const std::string at = "The adapter of " + place_name(layer, name);
                if (down.shape(0) < 1 || down.shape(0) > size_t(Adapter::max_rank) || up.shape(1) != down.shape(0))
                    throw std::invalid_argument(at + " has no rank from 1 to 512.");
                if (down.shape(1) != size_t(wanted.columns) || up.shape(0) != size_t(wanted.rows))
                    throw std::invalid_argument(at + " doesn't fit the matrix.");
                adapter->layers[size_t(layer)][size_t(which)] = {pack_floats(down), pack_floats(up)};
            }
        }
        std::lock_guard lock(one_call_);
        decoder_.set_adapter(number, std::move(adapter));
    }

    nb::object forward(Array1<int32_t> tokens, Array1<int32_t> starts, Array1<int32_t> context_lengths,
                       Array2<int32_t> block_tables, Array1<int32_t> logit_rows,
                       std::optional<Array1<int32_t>> adapters) {
        weights_.require_complete();
        require(tokens.size() <= size_t(max_batch_tokens), "a batch has too many tokens");
        require(context_lengths.size() <= tokens.size(), "every sequence must bring a token");
        require(logit_rows.size() <= tokens.size(), "logit rows must ascend");
        require(block_tables.shape(1) <= size_t(INT32_MAX), "a block table is too long");
        const int num_tokens = int(tokens.size()), num_sequences = int(context_lengths.size());
        require(num_tokens > 0 && num_sequences > 0, "a batch needs tokens");
        require(starts.size() == context_lengths.size() + 1 && block_tables.shape(0) == context_lengths.size(),
                "starts, context_lengths and block_tables disagree");
        require(starts(0) == 0 && starts(num_sequences) == num_tokens,
                "starts must run from 0 to the number of tokens");
        for (int t = 0; t < num_tokens; ++t)
            require(uint32_t(tokens(t)) < uint32_t(decoder_.spec().vocab_size), "a token is outside the vocabulary");
        for (int s = 0; s < num_sequences; ++s) {
            require(starts(s) < starts(s + 1), "every sequence must bring a token");
            require(context_lengths(s) >= 0, "a context length is negative");
            const int64_t length = int64_t(context_lengths(s)) + starts(s + 1) - starts(s);
            require(length <= decoder_.spec().max_positions, "a sequence has more positions than the model");
            const size_t num_blocks = (size_t(length) + block_positions - 1) / block_positions;
            require(num_blocks <= block_tables.shape(1), "a sequence has more positions than its block table");
            for (size_t b = 0; b < num_blocks; ++b)
                require(uint32_t(block_tables(s, b)) < uint32_t(decoder_.num_blocks()), "a block is outside the cache");
        }
        for (size_t r = 0; r < logit_rows.size(); ++r) {
            require(uint32_t(logit_rows(r)) < uint32_t(num_tokens), "a logit row is outside the batch");
            require(r == 0 || logit_rows(r - 1) < logit_rows(r), "logit rows must ascend");
        }
        if (adapters) {
            require(adapters->size() == size_t(num_sequences), "adapters has an entry for each sequence");
            for (int s = 0; s < num_sequences; ++s)
                require((*adapters)(s) == -1 || ((*adapters)(s) >= 0 && decoder_.has_adapter((*adapters)(s))),
                        "there is no adapter of this number");
        }
        const BatchView batch{num_tokens,
                              num_sequences,
                              int(logit_rows.size()),
                              int(block_tables.shape(1)),
                              tokens.data(),
                              starts.data(),
                              context_lengths.data(),
                              block_tables.data(),
                              logit_rows.data(),
                              adapters ? adapters->data() : nullptr};
        // The array keeps the memory, not the numbers: a later step may write them elsewhere.
        auto held = std::make_unique<std::shared_ptr<const Buffer>>();
        {
            nb::gil_scoped_release release;
            std::lock_guard lock(one_call_);
            *held = decoder_.forward(batch);
        }
        void* logits = (*held)->as<float>();
        nb::capsule owner(held.get(), [](void* p) noexcept { delete static_cast<std::shared_ptr<const Buffer>*>(p); });
        held.release();
        const size_t shape[2] = {logit_rows.size(), size_t(decoder_.spec().vocab_size)};
        const int64_t strides[2] = {decoder_.logits_stride(), 1};
        return nb::cast(nb::ndarray<nb::numpy, float, nb::ndim<2>>(logits, 2, shape, owner, strides),
                        nb::rv_policy::reference);
    }

    size_t weight_bytes() const { return decoder_.weight_bytes(); }
    size_t kv_bytes() const { return decoder_.kv_bytes(); }
    std::string isa() const { return kernels_.name; }
    nb::tuple likeliest() {
        std::vector<float> highest;
        std::vector<int32_t> tokens;
        between_steps([&] {
            highest = decoder_.highest();
            tokens = decoder_.likeliest();
        });
        const auto array = [](const auto& from) {
            using T = typename std::decay_t<decltype(from)>::value_type;
            T* data = new T[from.size() + 1];
            std::copy(from.begin(), from.end(), data);
            nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
            return nb::ndarray<nb::numpy, T>(data, {from.size()}, owner);
        };
        return nb::make_tuple(array(highest), array(tokens));
    }
    void set_profiling(bool is_on) {
        between_steps([&] {
            decoder_.profile().is_on = is_on;
            decoder_.profile().seconds = {};
        });
    }
    std::map<std::string, double> profile() {
        std::map<std::string, double> seconds;
        between_steps([&] {
            for (size_t i = 0; i < region_names.size(); ++i) seconds[region_names[i]] = decoder_.profile().seconds[i];
        });
        return seconds;
    }
    nb::object pool() const { return pool_object_; }

  private:
    static Spec make_spec(nb::handle fields, std::vector<std::vector<double>> inverse_frequencies) {
        Spec spec = spec_from(fields);
        for (const auto& rotation : inverse_frequencies) {
            require(rotation.size() * 2 <= size_t(spec.head_dim), "more rotated pairs than half of head_dim");
            require(rotation.size() == inverse_frequencies[0].size(), "all rotations must have as many pairs");
        }
        for (const Spec::Layer& layer : spec.layers)
            require(layer.rotation < int(inverse_frequencies.size()), "a layer rotates by what is not there");
        spec.inverse_frequencies = std::move(inverse_frequencies);
        return spec;
    }
    template <class Body> void between_steps(Body body) {
        nb::gil_scoped_release release;
        std::lock_guard lock(one_call_);
        body();
    }
    static int checked_blocks(int64_t num_blocks) {
        require(num_blocks > 0 && num_blocks <= INT32_MAX, "num_blocks must be between 1 and 2147483647");
        return int(num_blocks);
    }

    nb::object pool_object_;
    Pool& pool_;
    const Kernels& kernels_;
    Decoder decoder_;
    NamedWeights<Decoder, Weight, Vector> weights_{decoder_, weights_by_name, vectors_by_name};
    std::mutex one_call_;  // Python's threads may come together
};

nb::object fit_rows(Pool& pool, Array2<float> values) {
    require(values.shape(1) && values.shape(1) % block_columns == 0, "rows must be whole blocks of 32");
    const size_t num_blocks = values.size() / block_columns, row_bytes = values.shape(1) / block_columns * q4_1_bytes;
    uint8_t* blocks = new uint8_t[num_blocks * q4_1_bytes];
    nb::capsule owner(blocks, [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
    {
        nb::gil_scoped_release release;
        std::atomic<size_t> next{0};
        constexpr size_t grain = 1024;
        pool.run([&](int) {
            for (size_t begin; (begin = next.fetch_add(grain, std::memory_order_relaxed)) < num_blocks;)
                fit_q4_1(values.data() + begin * block_columns, std::min(grain, num_blocks - begin),
                         blocks + begin * q4_1_bytes);
        });
    }
    return nb::cast(nb::ndarray<nb::numpy, uint8_t>(blocks, {values.shape(0), row_bytes}, owner));
}

nb::tuple sample_rows(Pool& pool, Mutable2<float> logits, Array1<float> temperature, Array1<int32_t> top_k,
                      Array1<float> top_p, Array1<float> min_p, Array1<uint64_t> seeds, Array1<uint64_t> steps,
                      Array1<int32_t> num_logprobs, Array1<float> repetition, Array1<float> presence,
                      Array1<float> frequency, Array1<int32_t> seen_starts, Array1<int32_t> seen_ids,
                      Array1<int32_t> seen_counts, Array1<int32_t> bias_starts, Array1<int32_t> bias_ids,
                      Array1<float> bias_values, std::optional<Array1<float>> highest,
                      std::optional<Array1<int32_t>> likeliest, std::optional<Array2<uint32_t>> masks,
                      std::optional<Array1<int32_t>> mask_rows, const std::string& isa) {
    const size_t rows = logits.shape(0);
    const int vocab_size = int(logits.shape(1));
    require(logits.shape(1) > 0 && logits.shape(1) <= size_t(max_size) && rows <= size_t(max_batch_tokens) &&
                (rows == 0 || logits.stride(1) == 1),
            "logits must be rows of a vocabulary");
    require(rows < 2 || (logits.stride(0) >= vocab_size && logits.stride(0) <= INT32_MAX),
            "rows of logits must lie one after another");
    for (const size_t size : {temperature.size(), top_k.size(), top_p.size(), min_p.size(), seeds.size(), steps.size(),
                              num_logprobs.size(), repetition.size(), presence.size(), frequency.size()})
        require(size == rows, "every row of logits needs one entry of each parameter");
    for (size_t r = 0; r < rows; ++r) {
        require(temperature(r) == 0 || (temperature(r) > 0 && std::isnormal(temperature(r))),
                "a temperature is 0 or a positive number");
        require(top_p(r) >= 0 && top_p(r) <= 1 && min_p(r) >= 0 && min_p(r) <= 1,
                "top_p and min_p are numbers from 0 to 1");
    }
    const auto check_rows = [&](const Array1<int32_t>& starts, const Array1<int32_t>& ids, size_t values) {
        require(starts.size() == rows + 1 && ids.size() == values, "starts, ids and values disagree");
        require(starts(0) == 0 && size_t(starts(rows)) == values, "starts must run from 0 to the number of ids");
        for (size_t r = 0; r < rows; ++r) require(starts(r) <= starts(r + 1), "starts must ascend");
        for (size_t i = 0; i < values; ++i)
            require(uint32_t(ids(i)) < uint32_t(vocab_size), "a token is outside the vocabulary");
    };
    check_rows(seen_starts, seen_ids, seen_counts.size());
    check_rows(bias_starts, bias_ids, bias_values.size());
    require(highest.has_value() == likeliest.has_value(), "highest and likeliest go together");
    if (highest) {
        require(highest->size() == rows && likeliest->size() == rows,
                "highest and likeliest have an entry for each row");
        for (size_t r = 0; r < rows; ++r)
            require((*likeliest)(r) >= -1 && (*likeliest)(r) < vocab_size, "a token is outside the vocabulary");
    }
    require(masks.has_value() == mask_rows.has_value(), "masks and mask_rows go together");
    if (masks) {
        require(mask_rows->size() == rows, "mask_rows has an entry for each row");
        require(masks->shape(1) >= size_t(vocab_size + 31) / 32 && masks->shape(1) <= size_t(max_size),
                "a mask has a bit for each token");
        for (size_t r = 0; r < rows; ++r)
            require((*mask_rows)(r) >= -1 && (*mask_rows)(r) < int64_t(masks->shape(0)),
                    "a mask row is outside the masks");
    }
    int num_top = 0;
    for (size_t r = 0; r < rows; ++r) num_top = std::max(num_top, std::min(num_logprobs(r), vocab_size));

    const auto make = [](auto zero, size_t n, size_t m) {
        using T = decltype(zero);
        T* data = new T[n * m + 1]();
        nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
        return std::pair<T*, nb::capsule>(data, owner);
    };
    auto [ids, ids_owner] = make(int32_t{}, rows, 1);
    auto [logprobs, logprobs_owner] = make(float{}, rows, 1);
    auto [top_ids, top_ids_owner] = make(int32_t{}, rows, size_t(num_top));
    auto [top_logprobs, top_logprobs_owner] = make(float{}, rows, size_t(num_top));
    const SamplingArgs args{int(rows),
                            vocab_size,
                            rows > 1 ? int(logits.stride(0)) : vocab_size,
                            num_top,
                            logits.data(),
                            temperature.data(),
                            top_p.data(),
                            min_p.data(),
                            repetition.data(),
                            presence.data(),
                            frequency.data(),
                            top_k.data(),
                            num_logprobs.data(),
                            seeds.data(),
                            steps.data(),
                            seen_starts.data(),
                            seen_ids.data(),
                            seen_counts.data(),
                            bias_starts.data(),
                            bias_ids.data(),
                            bias_values.data(),
                            masks ? masks->data() : nullptr,
                            mask_rows ? mask_rows->data() : nullptr,
                            masks ? int(masks->shape(1)) : 0,
                            highest ? highest->data() : nullptr,
                            likeliest ? likeliest->data() : nullptr,
                            ids,
                            logprobs,
                            top_ids,
                            top_logprobs};
    {
        const Kernels& kernels = find_kernels(isa);
        nb::gil_scoped_release release;
        sample(pool, kernels, args);
    }
    using Ids = nb::ndarray<nb::numpy, int32_t>;
    using Values = nb::ndarray<nb::numpy, float>;
    return nb::make_tuple(Ids(ids, {rows}, ids_owner), Values(logprobs, {rows}, logprobs_owner),
                          Ids(top_ids, {rows, size_t(num_top)}, top_ids_owner),
                          Values(top_logprobs, {rows, size_t(num_top)}, top_logprobs_owner));
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "The CPU runner and the sampler, in C++. Calls release the GIL while they compute.";

    nb::class_<Pool>(m, "Pool", "A team of threads that forward passes and sampling share.")
        .def(
            "__init__",
            [](Pool* pool, int num_threads) {
                require(num_threads >= 1 && num_threads <= 4096, "a pool has between 1 and 4096 threads");
                new (pool) Pool(num_threads);
            },
            "num_threads"_a)
        .def_prop_ro("num_threads", &Pool::size);

    nb::class_<Runner>(m, "Runner", "A decoder with its weights and its KV cache.")
        .def(nb::init<nb::object, nb::handle, std::vector<std::vector<double>>, int64_t, const std::string&,
                      const std::string&>(),
             "pool"_a, "spec"_a, "inverse_frequencies"_a, "num_blocks"_a, "isa"_a, "cache_type"_a)
        .def(
            "place", &Runner::place, "memory"_a.noconvert(), "placements"_a,
            "Take matrices out of memory that pack_rows() fills, before the next step or already. A placement is (layer, name, number of "
            "the expert or -1, packing, rows, columns, offset).")
        .def("set_vector", &Runner::set_vector, "layer"_a, "name"_a, "data"_a.noconvert())
        .def(
            "set_adapter", &Runner::set_adapter, "number"_a, "pairs"_a.none(),
            "Keep an adapter under a number, in the place of what was there; None takes it away. A pair is (layer, name, down "
            "[rank, in], up [out, rank]).")
        .def("forward", &Runner::forward, "tokens"_a.noconvert(), "starts"_a.noconvert(),
             "context_lengths"_a.noconvert(), "block_tables"_a.noconvert(), "logit_rows"_a.noconvert(),
             "adapters"_a.noconvert() = nb::none(),
             "Write the batch into the KV cache and return logits [rows, vocabulary], overwritten by the next call.")
        .def("likeliest", &Runner::likeliest,
             "The largest logit of each row of the last step and its token, -1 where a logit is not finite.")
        .def("set_profiling", &Runner::set_profiling, "is_on"_a, "Whether steps are timed; begins anew.")
        .def("profile", &Runner::profile,
             "Seconds that the first thread spent in each region since set_profiling(True).")
        .def_prop_ro("pool", &Runner::pool)
        .def_prop_ro("weight_bytes", &Runner::weight_bytes)
        .def_prop_ro("kv_bytes", &Runner::kv_bytes)
        .def_prop_ro("isa", &Runner::isa);

    bind_encoder(m);
    bind_packing(m);

    m.def(
        "block_bytes",
        [](nb::handle fields, const std::string& cache_type) {
            return Decoder::block_bytes(spec_from(fields), lookup(cache_types_by_name, cache_type));
        },
        "spec"_a, "cache_type"_a, "Bytes of one block of the KV cache, in all layers.");
    m.def(
        "fit_q4_1", &fit_rows, "pool"_a, "values"_a.noconvert(),
        "Turn rows of floats into Q4_1 blocks as a file has them, scales and minimums chosen for the least squared error. "
        "A block with a value that is no number, or infinite, has NaN as its scale.");
    m.def("available_isas", &available_isas, "The kernel paths that this CPU can run, best first.");
    m.def(
        "sample", &sample_rows, "pool"_a, "logits"_a.noconvert(), "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a,
        "seeds"_a, "steps"_a, "num_logprobs"_a, "repetition"_a, "presence"_a, "frequency"_a, "seen_starts"_a,
        "seen_ids"_a, "seen_counts"_a, "bias_starts"_a, "bias_ids"_a, "bias_values"_a, "highest"_a = nb::none(),
        "likeliest"_a = nb::none(), "masks"_a = nb::none(), "mask_rows"_a = nb::none(), "isa"_a = "",
        "Choose a token for each row of logits (which it modifies): ids, logprobs, top_ids, top_logprobs. `highest` and\n"
        "`likeliest` are what Runner.likeliest() says of these rows, where it is known. Row r takes a token whose bit is set\n"
        "in masks[mask_rows[r]], or any where mask_rows[r] is -1.");
}
