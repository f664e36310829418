// Products of packed matrices, and the rounding of activations that they read.
#include "comparison.h"
#include "inputs.h"
#include "matrix.h"

namespace llmos::test {
namespace {

constexpr struct {
    Packing packing;
    const char* name;
} packings[] = {{Packing::bytes, "bytes"},   {Packing::nibbles, "nibbles"}, {Packing::affine_nibbles, "affine_nibbles"},
                {Packing::floats, "floats"}, {Packing::q4_k, "q4_k"},       {Packing::q5_k, "q5_k"},
                {Packing::q6_k, "q6_k"},     {Packing::q5_0, "q5_0"},       {Packing::q5_1, "q5_1"},
                {Packing::iq4_nl, "iq4_nl"}, {Packing::iq4_xs, "iq4_xs"},   {Packing::mxfp4, "mxfp4"}};

constexpr int num_rows = 6 * group_rows + 5, num_columns = 2 * super_blocks * block_columns;

// A matrix of random weights, whose scales are usual ones or of any bits.
PackedMatrix random_matrix(Inputs& inputs, Packing packing, int rows, int columns, bool at_edges) {
    Buffer memory(PackedMatrix::bytes_for(packing, rows, columns));
    uint8_t* bytes = memory.as<uint8_t>();
    for (size_t i = 0; i < memory.bytes(); ++i) bytes[i] = uint8_t(inputs.bits());
    PackedMatrix matrix(packing, rows, columns, std::move(memory));
    const auto place_halves = [&](uint8_t* at, size_t count) {
        for (size_t i = 0; i < count; ++i) ((uint16_t*)at)[i] = inputs.half(at_edges);
    };
    for (int g = 0; g < matrix.groups(); ++g) {
        uint8_t* group = bytes + size_t(g) * matrix.group_bytes();
        if (packing == Packing::floats) {
            const std::vector<float> values = at_edges ? inputs.edges(size_t(columns) * group_rows, true)
                                                       : inputs.numbers(size_t(columns) * group_rows);
            std::copy(values.begin(), values.end(), (float*)group);
        } else if (is_super(packing)) {
            place_halves(group + matrix.supers_offset(), (matrix.scales_offset() - matrix.supers_offset()) / 2);
        } else if (scales_of(packing) != Scales::exponents) {
            place_halves(group + matrix.scales_offset(), size_t(matrix.blocks()) * scale_bytes(packing) / 2);
        }
    }
    return matrix;
}

// Rounded rows of activations, and the memory that they are in.
struct Rows {
    std::vector<float> values, scales, scaled_sums;
    std::vector<int8_t> quantized;
    std::vector<int32_t> sums, half_sums;
    Activations activations;

    Rows(const Kernels& kernels, std::vector<float> from, int columns) : values(std::move(from)) {
        const size_t rows = values.size() / size_t(columns), blocks = size_t(columns / block_columns);
        quantized.resize(values.size());
        scales.resize(rows * blocks);
        scaled_sums.resize(rows * blocks);
        sums.resize(rows * blocks);
        half_sums.resize(rows * blocks);
        activations = {values.data(), quantized.data(), scales.data(), scaled_sums.data(),
                       sums.data(),   half_sums.data(), columns};
        for (size_t row = 0; row < rows; ++row)
            kernels.quantize(values.data() + row * size_t(columns), activations, int(row), 0, int(blocks));
    }
};

void compare_quantize(Comparison& comparison) {
    Inputs inputs(1);
    for (const std::vector<float>& values :
         {inputs.edges(64 * 96, false), inputs.edges(64 * 96, true), inputs.halfway_numbers(64 * 96)}) {
        const auto part = [&](auto member) {
            return [&values, member](const Kernels& kernels) { return member(Rows(kernels, values, 96)); };
        };
        comparison.same("quantize: scales", part([](const Rows& rows) { return rows.scales; }));
        comparison.same("quantize: scaled sums", part([](const Rows& rows) { return rows.scaled_sums; }));
        comparison.same("quantize: sums", part([](const Rows& rows) { return rows.sums; }));
        comparison.same("quantize: sums of halves", part([](const Rows& rows) { return rows.half_sums; }));
        comparison.same("quantize: bytes", part([](const Rows& rows) {
                            std::vector<int32_t> bytes(rows.quantized.begin(), rows.quantized.end());
                            for (size_t i = 0; i < bytes.size(); ++i)  // without a scale they mean nothing
                                if (!std::isfinite(rows.scales[i / block_columns])) bytes[i] = 0;
                            return bytes;
                        }));
    }
}

// More tokens than have their sums in the cache at once.
void compare_many_tokens(Comparison& comparison, Inputs& inputs) {
    constexpr int num_tokens = 131, columns = super_blocks * block_columns;
    const Rows rows(comparison.reference(), inputs.numbers(num_tokens * columns, 3), columns);
    for (Packing packing : {Packing::nibbles, Packing::q4_k, Packing::q6_k}) {
        const PackedMatrix matrix = random_matrix(inputs, packing, group_rows, columns, false);
        comparison.same("matmul with many tokens", [&](const Kernels& kernels) {
            std::vector<float> out(num_tokens * group_rows);
            kernels.matmul({.weights = &matrix,
                            .x = &rows.activations,
                            .first_token = 0,
                            .last_token = num_tokens,
                            .first_group = 0,
                            .last_group = 1,
                            .bias = nullptr,
                            .out = out.data(),
                            .out_stride = group_rows,
                            .accumulate = false});
            return out;
        });
    }
}

}  // namespace

void compare_matmul(Comparison& comparison) {
    compare_quantize(comparison);
    constexpr int max_tokens = 7;
    constexpr size_t stride = num_rows + 27;
    Inputs inputs(2);
    const Rows usual(comparison.reference(), inputs.numbers(max_tokens * num_columns, 3), num_columns);
    const Rows edges(comparison.reference(), inputs.edges(max_tokens * num_columns, true), num_columns);
    const std::vector<float> bias = inputs.numbers(stride), before = inputs.numbers(max_tokens * stride);
    for (const auto& [packing, name] : packings)
        for (bool at_edges : {false, true}) {
            const PackedMatrix matrix = random_matrix(inputs, packing, num_rows, num_columns, at_edges);
            for (int num_tokens = 1; num_tokens <= max_tokens; ++num_tokens) {
                const int first_token = inputs.below(max_tokens - num_tokens + 1);
                const int first_group = inputs.below(2), last_group = matrix.groups() - inputs.below(3);
                MatmulArgs args{.weights = &matrix,
                                .x = at_edges && num_tokens % 2 ? &edges.activations : &usual.activations,
                                .first_token = first_token,
                                .last_token = first_token + num_tokens,
                                .first_group = first_group,
                                .last_group = last_group,
                                .bias = inputs.coin() ? bias.data() : nullptr,
                                .out = nullptr,
                                .out_stride = int(stride),
                                .accumulate = inputs.coin()};
                const std::string what = std::string("matmul of ") + name + " with " + std::to_string(num_tokens) +
                                         " tokens" + (at_edges ? ", edges" : "");
                comparison.same(what, [&](const Kernels& kernels) {
                    std::vector<float> out = before;
                    args.out = out.data();
                    kernels.matmul(args);
                    return out;
                });
            }
        }
    compare_many_tokens(comparison, inputs);
}

}  // namespace llmos::test
