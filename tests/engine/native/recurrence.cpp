// Convolutions and states that run along a sequence.
#include "comparison.h"
#include "inputs.h"

namespace llmos::test {
namespace {

void compare_convolve(Comparison& comparison, Inputs& inputs) {
    constexpr int stride = 40;
    for (int num_taps : {2, 4, 16})
        for (int num_tokens : {1, 3, 30})
            for (int variant = 0; variant < 4; ++variant) {
                const std::vector<float> x = inputs.numbers(size_t(num_tokens) * stride),
                                         gate = inputs.numbers(x.size()),
                                         before = inputs.numbers(size_t(num_taps) * stride);
                ConvolutionArgs args{};
                args.num_tokens = num_tokens;
                args.num_taps = num_taps;
                args.in_gate = variant & 1 ? gate.data() : nullptr;
                args.out_gate = variant & 1 ? gate.data() + 16 : nullptr;
                args.stride = args.before_stride = stride;
                for (auto& tap : args.taps)
                    for (float& value : tap) value = inputs.number();
                for (float& value : args.bias) value = inputs.number();
                args.is_activated = variant & 2;
                comparison.same("convolve with " + std::to_string(num_taps) + " taps", [&](const Kernels& kernels) {
                    std::vector<float> all = x, state = before;
                    args.x = all.data();
                    args.before = state.data();
                    kernels.convolve(args);
                    all.insert(all.end(), state.begin(), state.end());
                    return all;
                });
            }
}

void compare_recur(Comparison& comparison, Inputs& inputs) {
    constexpr int num_tokens = 5, key_size = 12, stride = 80;
    for (int columns : {16, 32, 48, 64})
        for (bool subtracts : {false, true}) {
            const std::vector<float> keys = inputs.numbers(num_tokens * stride), queries = inputs.numbers(keys.size()),
                                     values = inputs.numbers(keys.size()), decays = inputs.numbers(num_tokens * 3),
                                     corrections = inputs.numbers(num_tokens * 3),
                                     before = inputs.numbers(key_size * stride);
            RecurrenceArgs args{};
            args.num_tokens = num_tokens;
            args.key_size = key_size;
            args.num_columns = columns;
            args.subtracts_prediction = subtracts;
            args.keys = keys.data();
            args.queries = queries.data();
            args.values = values.data();
            args.key_stride = args.value_stride = args.out_stride = args.state_stride = stride;
            args.decays = decays.data();
            args.corrections = corrections.data();
            args.factor_stride = 3;
            args.skip = 0.6f;
            comparison.same("recur over " + std::to_string(columns) + " columns", [&](const Kernels& kernels) {
                std::vector<float> out(num_tokens * stride, 7.0f), state = before;
                args.out = out.data();
                args.state = state.data();
                kernels.recur(args);
                out.insert(out.end(), state.begin(), state.end());
                return out;
            });
        }
}

}  // namespace

void compare_recurrence(Comparison& comparison) {
    Inputs inputs(5);
    compare_convolve(comparison, inputs);
    compare_recur(comparison, inputs);
}

}  // namespace llmos::test
