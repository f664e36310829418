// llmos.engine._native.Encoder: an encoder with its weights.

#include "encoder/encoder.h"

#include <nanobind/stl/optional.h>

#include <optional>

#include "bindings/arguments.h"
#include "bindings/named_weights.h"

using namespace nb::literals;

namespace llmos {
namespace {

using Weight = Encoder::Weight;
using Vector = Encoder::Vector;

const std::map<std::string, Weight> weights_by_name = {
    {"q", Weight::q},   {"k", Weight::k},       {"v", Weight::v},         {"o", Weight::o},
    {"up", Weight::up}, {"down", Weight::down}, {"embed", Weight::embed},
};

const std::map<std::string, Vector> vectors_by_name = {
    {"q_bias", Vector::q_bias},         {"k_bias", Vector::k_bias},
    {"v_bias", Vector::v_bias},         {"o_bias", Vector::o_bias},
    {"attn_norm", Vector::attn_norm},   {"attn_norm_bias", Vector::attn_norm_bias},
    {"up_bias", Vector::up_bias},       {"down_bias", Vector::down_bias},
    {"mlp_norm", Vector::mlp_norm},     {"mlp_norm_bias", Vector::mlp_norm_bias},
    {"positions", Vector::positions},   {"types", Vector::types},
    {"embed_norm", Vector::embed_norm}, {"embed_norm_bias", Vector::embed_norm_bias},
};

Encoder::Spec spec_from(nb::handle fields) {
    const auto number = [&](const char* name, int low = 1) { return size_field(fields, name, low); };
    const auto text = [&](const char* name) { return nb::cast<std::string>(fields.attr(name)); };
    Encoder::Spec spec{};
    spec.vocab_size = number("vocab_size");
    spec.hidden_size = number("hidden_size");
    spec.num_layers = number("num_layers");
    spec.num_heads = number("num_heads");
    spec.head_dim = number("head_dim");
    spec.intermediate_size = number("intermediate_size");
    spec.num_positions = number("num_positions");
    spec.first_position = number("first_position", 0);
    spec.num_types = number("num_types", 0);
    spec.norm_eps = nb::cast<float>(fields.attr("norm_eps"));
    spec.activation = lookup(activations_by_name, text("activation"));
    spec.pooling =
        lookup<Encoder::Pooling>({{"mean", Encoder::Pooling::mean}, {"cls", Encoder::Pooling::first}}, text("pooling"));
    require(int64_t(spec.num_heads) * spec.head_dim <= max_size, "num_heads * head_dim is too large");
    require(int64_t(spec.num_positions) * spec.hidden_size <= max_size, "num_positions * hidden_size is too large");
    require(int64_t(spec.num_types) * spec.hidden_size <= max_size, "num_types * hidden_size is too large");
    require(spec.head_dim <= 65536, "head_dim is too large");
    require(int64_t(spec.num_heads) * max_batch_tokens <= INT32_MAX, "num_heads is too large");
    require(spec.first_position < spec.num_positions, "first_position must lie in the table of positions");
    return spec;
}

void check_sizes(const Array1<int32_t>& tokens, const Array1<int32_t>& starts) {
    require(tokens.size() > 0 && tokens.size() <= size_t(max_batch_tokens), "a batch has between 1 and 1048576 tokens");
    require(starts.size() > 1 && starts.size() <= tokens.size() + 1, "every sequence must bring a token");
    const int num_tokens = int(tokens.size()), num_sequences = int(starts.size()) - 1;
    require(starts(0) == 0 && starts(num_sequences) == num_tokens, "starts must run from 0 to the number of tokens");
    for (int s = 0; s < num_sequences; ++s) require(starts(s) < starts(s + 1), "every sequence must bring a token");
}

void check_sequence(const Array1<int32_t>& tokens, const Array1<int32_t>& starts, const Encoder::Spec& spec, int s) {
    for (int t = starts(s); t < starts(s + 1); ++t)
        require(uint32_t(tokens(t)) < uint32_t(spec.vocab_size), "a token is outside the vocabulary");
    require(int64_t(starts(s + 1)) - starts(s) <= spec.num_positions - spec.first_position,
            "a sequence has more positions than the model");
}

Encoder::Batch checked_batch(const Array1<int32_t>& tokens, const Array1<int32_t>& starts,
                             const std::optional<Array1<int32_t>>& types, const Encoder::Spec& spec) {
    check_sizes(tokens, starts);
    const int num_sequences = int(starts.size()) - 1;
    for (int s = 0; s < num_sequences; ++s) check_sequence(tokens, starts, spec, s);
    if (types) {
        require(types->size() == tokens.size(), "every token must have a type");
        for (size_t t = 0; t < types->size(); ++t)
            require(uint32_t((*types)(t)) < uint32_t(spec.num_types), "a token has a type that the model lacks");
    }
    return {int(tokens.size()), num_sequences, tokens.data(), starts.data(), types ? types->data() : nullptr};
}

class EncoderRunner {
  public:
    EncoderRunner(nb::object pool, nb::handle fields, const std::string& isa, bool is_exact)
        : pool_object_(pool),
          kernels_(find_kernels(isa)),
          encoder_(spec_from(fields), nb::cast<Pool&>(pool), kernels_,
                   is_exact ? CacheType::float32 : CacheType::int8) {}

    void place(Array1<uint8_t> memory, const std::vector<Placement>& placements) {
        calls_.run([&] { weights_.place(memory, placements); });
    }

    void set_vector(int layer, const std::string& name, Array1<float> data) {
        Buffer values = weights_.checked_vector(layer, name, data);
        calls_.run([&] { weights_.set_vector(layer, name, std::move(values)); });
    }

    nb::object forward(Array1<int32_t> tokens, Array1<int32_t> starts, std::optional<Array1<int32_t>> types) {
        weights_.require_complete();
        const Encoder::Batch batch = checked_batch(tokens, starts, types, encoder_.spec());
        const size_t rows = size_t(batch.num_sequences), columns = size_t(encoder_.spec().hidden_size);
        OwnedMemory<float> out(rows * columns);
        calls_.run([&] { encoder_.forward(batch, out.data); });
        return nb::cast(nb::ndarray<nb::numpy, float>(out.data, {rows, columns}, out.owner));
    }

    std::vector<int> refused(Array1<int32_t> tokens, Array1<int32_t> starts) const {
        check_sizes(tokens, starts);
        std::vector<int> found;
        for (int s = 0; s + 1 < int(starts.size()); ++s) {
            try {
                check_sequence(tokens, starts, encoder_.spec(), s);
            } catch (const std::invalid_argument&) {
                found.push_back(s);
            }
        }
        return found;
    }

    size_t weight_bytes() const { return encoder_.weight_bytes(); }
    std::string isa() const { return kernels_.name; }

  private:
    nb::object pool_object_;  // keeps the pool alive
    const Kernels& kernels_;
    Encoder encoder_;
    NamedWeights<Encoder, Weight, Vector> weights_{encoder_, weights_by_name, vectors_by_name};
    OneCallAtATime calls_;
};

}  // namespace

void bind_encoder(nb::module_& m) {
    nb::class_<EncoderRunner>(m, "Encoder", "An encoder with its weights.")
        .def(nb::init<nb::object, nb::handle, const std::string&, bool>(), "pool"_a, "spec"_a, "isa"_a, "is_exact"_a,
             "`is_exact`: keys and values stay floats while a layer attends to them.")
        .def("place", &EncoderRunner::place, "memory"_a.noconvert(), "placements"_a, "See Runner.place().")
        .def("set_vector", &EncoderRunner::set_vector, "layer"_a, "name"_a, "data"_a.noconvert())
        .def("forward", &EncoderRunner::forward, "tokens"_a.noconvert(), "starts"_a.noconvert(),
             "types"_a.noconvert().none() = nb::none(),
             "Return one vector for each sequence, [sequences, hidden]. Sequence s is tokens[starts[s]:starts[s + 1]]; "
             "types[t] is the type of token t, 0 without types.")
        .def("refused", &EncoderRunner::refused, "tokens"_a.noconvert(), "starts"_a.noconvert(),
             "The sequences of a batch that forward() refuses for their own tokens or length.")
        .def_prop_ro("weight_bytes", &EncoderRunner::weight_bytes)
        .def_prop_ro("isa", &EncoderRunner::isa);
}

}  // namespace llmos
