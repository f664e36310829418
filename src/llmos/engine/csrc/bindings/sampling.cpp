// llmos.engine._native.sample: checks the arrays, then samples.

#include <nanobind/stl/optional.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "bindings/arguments.h"
#include "pool.h"
#include "sampler.h"

using namespace nb::literals;

namespace llmos {
namespace {

void check_logits(const Mutable2<float>& logits) {
    const size_t rows = logits.shape(0), columns = logits.shape(1);
    require(columns > 0 && columns <= size_t(max_size) && rows <= size_t(max_batch_tokens) &&
                (rows == 0 || logits.stride(1) == 1),
            "logits must be rows of a vocabulary");
    require(rows < 2 || (logits.stride(0) >= int64_t(columns) && logits.stride(0) <= INT32_MAX),
            "rows of logits must lie one after another");
}

// Tokens of each row, row after row: row r has ids[starts[r]] to ids[starts[r + 1] - 1].
void check_ids(const Array1<int32_t>& starts, const Array1<int32_t>& ids, size_t num_values, size_t rows,
               int vocab_size) {
    require(starts.size() == rows + 1 && ids.size() == num_values, "starts, ids and values disagree");
    require(starts(0) == 0 && size_t(starts(rows)) == num_values, "starts must run from 0 to the number of ids");
    for (size_t r = 0; r < rows; ++r) require(starts(r) <= starts(r + 1), "starts must ascend");
    for (size_t i = 0; i < num_values; ++i)
        require(uint32_t(ids(i)) < uint32_t(vocab_size), "a token is outside the vocabulary");
}

void check_likeliest(const std::optional<Array1<float>>& highest, const std::optional<Array1<int32_t>>& likeliest,
                     size_t rows, int vocab_size) {
    require(highest.has_value() == likeliest.has_value(), "highest and likeliest go together");
    if (!highest) return;
    require(highest->size() == rows && likeliest->size() == rows, "highest and likeliest have an entry for each row");
    for (size_t r = 0; r < rows; ++r)
        require((*likeliest)(r) >= -1 && (*likeliest)(r) < vocab_size, "a token is outside the vocabulary");
}

void check_masks(const std::optional<Array2<uint32_t>>& masks, const std::optional<Array1<int32_t>>& mask_rows,
                 size_t rows, int vocab_size) {
    require(masks.has_value() == mask_rows.has_value(), "masks and mask_rows go together");
    if (!masks) return;
    require(mask_rows->size() == rows, "mask_rows has an entry for each row");
    require(masks->shape(1) >= size_t(vocab_size + 31) / 32 && masks->shape(1) <= size_t(max_size),
            "a mask has a bit for each token");
    for (size_t r = 0; r < rows; ++r)
        require((*mask_rows)(r) >= -1 && (*mask_rows)(r) < int64_t(masks->shape(0)), "a mask row is outside the masks");
}

nb::tuple sample_rows(Pool& pool, Mutable2<float> logits, Array1<float> temperature, Array1<int32_t> top_k,
                      Array1<float> top_p, Array1<float> min_p, Array1<uint64_t> seeds, Array1<uint64_t> steps,
                      Array1<int32_t> num_logprobs, Array1<float> repetition, Array1<float> presence,
                      Array1<float> frequency, Array1<int32_t> seen_starts, Array1<int32_t> seen_ids,
                      Array1<int32_t> seen_counts, Array1<int32_t> bias_starts, Array1<int32_t> bias_ids,
                      Array1<float> bias_values, std::optional<Array1<float>> highest,
                      std::optional<Array1<int32_t>> likeliest, std::optional<Array2<uint32_t>> masks,
                      std::optional<Array1<int32_t>> mask_rows, const std::string& isa) {
    check_logits(logits);
    const size_t rows = logits.shape(0);
    const int vocab_size = int(logits.shape(1));
    for (const size_t size : {temperature.size(), top_k.size(), top_p.size(), min_p.size(), seeds.size(), steps.size(),
                              num_logprobs.size(), repetition.size(), presence.size(), frequency.size()})
        require(size == rows, "every row of logits needs one entry of each parameter");
    int num_top = 0;
    for (size_t r = 0; r < rows; ++r) {
        require(temperature(r) == 0 || (temperature(r) > 0 && std::isnormal(temperature(r))),
                "a temperature is 0 or a positive number");
        require(top_p(r) >= 0 && top_p(r) <= 1 && min_p(r) >= 0 && min_p(r) <= 1,
                "top_p and min_p are numbers from 0 to 1");
        num_top = std::max(num_top, std::min(num_logprobs(r), vocab_size));
    }
    check_ids(seen_starts, seen_ids, seen_counts.size(), rows, vocab_size);
    check_ids(bias_starts, bias_ids, bias_values.size(), rows, vocab_size);
    check_likeliest(highest, likeliest, rows, vocab_size);
    check_masks(masks, mask_rows, rows, vocab_size);

    OwnedMemory<int32_t> ids(rows), top_ids(rows * size_t(num_top));
    OwnedMemory<float> logprobs(rows), top_logprobs(rows * size_t(num_top));
    SamplingArgs args{};
    args.num_rows = int(rows);
    args.vocab_size = vocab_size;
    args.logits_stride = rows > 1 ? int(logits.stride(0)) : vocab_size;
    args.num_top = num_top;
    args.logits = logits.data();
    args.temperature = temperature.data();
    args.top_p = top_p.data();
    args.min_p = min_p.data();
    args.repetition = repetition.data();
    args.presence = presence.data();
    args.frequency = frequency.data();
    args.top_k = top_k.data();
    args.num_logprobs = num_logprobs.data();
    args.seeds = seeds.data();
    args.steps = steps.data();
    args.seen_starts = seen_starts.data();
    args.seen_ids = seen_ids.data();
    args.seen_counts = seen_counts.data();
    args.bias_starts = bias_starts.data();
    args.bias_ids = bias_ids.data();
    args.bias_values = bias_values.data();
    if (masks) {
        args.masks = masks->data();
        args.mask_rows = mask_rows->data();
        args.mask_words = int(masks->shape(1));
    }
    if (highest) {
        args.highest = highest->data();
        args.likeliest = likeliest->data();
    }
    args.ids = ids.data;
    args.logprobs = logprobs.data;
    args.top_ids = top_ids.data;
    args.top_logprobs = top_logprobs.data;
    {
        const Kernels& kernels = find_kernels(isa);
        nb::gil_scoped_release release;
        sample(pool, kernels, args);
    }
    using Ids = nb::ndarray<nb::numpy, int32_t>;
    using Values = nb::ndarray<nb::numpy, float>;
    return nb::make_tuple(Ids(ids.data, {rows}, ids.owner), Values(logprobs.data, {rows}, logprobs.owner),
                          Ids(top_ids.data, {rows, size_t(num_top)}, top_ids.owner),
                          Values(top_logprobs.data, {rows, size_t(num_top)}, top_logprobs.owner));
}

}  // namespace

void bind_sampling(nb::module_& m) {
    m.def(
        "sample", &sample_rows, "pool"_a, "logits"_a.noconvert(), "temperature"_a, "top_k"_a, "top_p"_a, "min_p"_a,
        "seeds"_a, "steps"_a, "num_logprobs"_a, "repetition"_a, "presence"_a, "frequency"_a, "seen_starts"_a,
        "seen_ids"_a, "seen_counts"_a, "bias_starts"_a, "bias_ids"_a, "bias_values"_a, "highest"_a = nb::none(),
        "likeliest"_a = nb::none(), "masks"_a = nb::none(), "mask_rows"_a = nb::none(), "isa"_a = "",
        "Choose a token for each row of logits (which it modifies): ids, logprobs, top_ids, top_logprobs.\n"
        "`highest` and `likeliest` are Runner.likeliest() of these rows, where it is known. Row r takes a token whose\n"
        "bit is set in masks[mask_rows[r]], or any where mask_rows[r] is -1.");
}

}  // namespace llmos
