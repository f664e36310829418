// The parts of recurrent layers that run along a sequence: a short convolution, and a state that each token changes.
#pragma once

#include "kernels.h"
#include "ops/activation.h"

namespace {

using llmos::ConvolutionArgs;
using llmos::RecurrenceArgs;

void convolve(const ConvolutionArgs& a) {
    const int last = a.num_taps - 1;
    float in[ConvolutionArgs::max_taps][16];  // a ring: the input of token t is at (t + last) % num_taps
    for (int j = 0; j < last; ++j) store(in[j], load(a.before + size_t(j) * a.before_stride));
    for (int t = 0; t < a.num_tokens; ++t) {
        float* x = a.x + size_t(t) * a.stride;
        Floats value = load(x);
        if (a.in_gate) value = load(a.in_gate + size_t(t) * a.stride) * value;
        store(in[(t + last) % a.num_taps], value);
        Floats total = load(a.bias);
        for (int j = 0; j <= last; ++j) total = fma(load(a.taps[j]), load(in[(t + j) % a.num_taps]), total);
        if (a.is_activated) total = total * sigmoid(total);
        if (a.out_gate) total = load(a.out_gate + size_t(t) * a.stride) * total;
        store(x, total);
    }
    for (int j = 0; j < last; ++j)
        store(a.before + size_t(j) * a.before_stride, load(in[(a.num_tokens + j) % a.num_taps]));
}

template <int V> void recur_columns(const RecurrenceArgs& a) {
    for (int t = 0; t < a.num_tokens; ++t) {
        const float *key = a.keys + size_t(t) * a.key_stride, *query = a.queries + size_t(t) * a.key_stride;
        const float* value = a.values + size_t(t) * a.value_stride;
        const Floats decay = splat(a.decays[size_t(t) * a.factor_stride]);
        const Floats correction = splat(a.corrections[size_t(t) * a.factor_stride]);
        Floats update[V], out[V];
        UNROLLED_FOR (int v = 0; v < V; ++v) update[v] = zero();
        if (a.subtracts_prediction)
            for (int i = 0; i < a.key_size; ++i) {
                const float* row = a.state + size_t(i) * a.state_stride;
                const Floats k = splat(key[i]);
                UNROLLED_FOR (int v = 0; v < V; ++v) update[v] = fma(k, load(row + v * 16) * decay, update[v]);
            }
        UNROLLED_FOR (int v = 0; v < V; ++v) {
            const Floats x = load(value + v * 16);
            update[v] = correction * (x - update[v]);
            out[v] = splat(a.skip) * x;
        }
        for (int i = 0; i < a.key_size; ++i) {
            float* row = a.state + size_t(i) * a.state_stride;
            const Floats k = splat(key[i]), q = splat(query[i]);
            UNROLLED_FOR (int v = 0; v < V; ++v) {
                const Floats state = fma(k, update[v], load(row + v * 16) * decay);
                store(row + v * 16, state);
                out[v] = fma(q, state, out[v]);
            }
        }
        UNROLLED_FOR (int v = 0; v < V; ++v) store(a.out + size_t(t) * a.out_stride + v * 16, out[v]);
    }
}

void recur(const RecurrenceArgs& a) {
    switch (a.num_columns / 16) {
        case 1: recur_columns<1>(a); break;
        case 2: recur_columns<2>(a); break;
        case 3: recur_columns<3>(a); break;
        case 4: recur_columns<4>(a); break;
    }
}

}  // namespace
