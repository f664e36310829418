// The operations on one row: norms, activations, rotary positions, residuals, caps of logits.
#include "comparison.h"
#include "inputs.h"

namespace llmos::test {
namespace {

using Values = std::vector<float>;

void compare_norms(Comparison& comparison, Inputs& inputs) {
    for (int columns : {16, 48, 576})
        for (int missing : {0, 1, 15})
            for (bool at_edges : {false, true}) {
                Values x = at_edges ? inputs.edges(size_t(columns), true) : inputs.numbers(size_t(columns), 4);
                const Values weight = inputs.numbers(size_t(columns)), bias = inputs.numbers(size_t(columns));
                const int size = columns - missing;
                std::fill(x.begin() + size, x.end(), 0.0f);
                const std::string what = " of " + std::to_string(size) + (at_edges ? ", edges" : "");
                comparison.same("rms_norm" + what, [&](const Kernels& kernels) {
                    Values out(size_t(columns) + 16, 7.0f);
                    kernels.rms_norm(x.data(), weight.data(), 1e-5f, size, columns, out.data());
                    return out;
                });
                comparison.same("layer_norm" + what, [&](const Kernels& kernels) {
                    Values out(size_t(columns) + 16, 7.0f);
                    kernels.layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, size, columns, out.data());
                    return out;
                });
            }
}

// Over floats of every exponent: e^x, the quotient and each polynomial are in these.
void compare_activations(Comparison& comparison, Inputs& inputs) {
    constexpr ActivationKind kinds[] = {ActivationKind::silu, ActivationKind::gelu_tanh, ActivationKind::gelu,
                                        ActivationKind::relu_squared, ActivationKind::clamped_swiglu};
    const Values gate = sweep_of_floats(149993), up = inputs.edges(gate.size(), true);
    for (ActivationKind kind : kinds)
        for (bool is_gated : {true, false}) {
            if (!is_gated && kind == ActivationKind::clamped_swiglu) continue;
            comparison.same("activate " + std::to_string(int(kind)), [&](const Kernels& kernels) {
                Values out(gate.size() + 16, 7.0f);
                kernels.activate(kind, gate.data(), is_gated ? up.data() : nullptr, int(gate.size()), out.data());
                return out;
            });
        }
    for (int size : {1, 16, 31, 200})
        comparison.same("multiply_sigmoid of " + std::to_string(size), [&](const Kernels& kernels) {
            Values x = up;
            kernels.multiply_sigmoid(gate.data() + 8192, size, x.data());
            return x;
        });
}

void compare_rotate(Comparison& comparison, Inputs& inputs) {
    for (int head_dim : {2, 18, 64, 100})
        for (int half_dim : {head_dim / 2, head_dim / 4}) {
            const Values head = inputs.numbers(size_t(head_dim)), cosine = inputs.numbers(64),
                         sine = inputs.numbers(64);
            comparison.same(
                "rotate " + std::to_string(half_dim) + " of " + std::to_string(head_dim), [&](const Kernels& kernels) {
                    Values out(size_t(head_dim) + 16, 7.0f);
                    kernels.rotate(head.data(), cosine.data(), sine.data(), half_dim, head_dim, 0.3f, out.data());
                    return out;
                });
        }
}

}  // namespace

void compare_rows(Comparison& comparison) {
    Inputs inputs(4);
    compare_norms(comparison, inputs);
    compare_activations(comparison, inputs);
    compare_rotate(comparison, inputs);
    const Values all = sweep_of_floats(1299827), other = inputs.edges(all.size(), true);
    for (float cap : {0.0f, 30.0f})
        comparison.same("cap_logits", [&](const Kernels& kernels) {
            Values x = all;
            kernels.cap_logits(x.data(), int(x.size()), 0.7f, cap);
            return x;
        });
    comparison.same("add_scaled", [&](const Kernels& kernels) {
        Values x = other;
        kernels.add_scaled(all.data(), int(x.size()), 0.3f, x.data());
        return x;
    });
}

}  // namespace llmos::test
