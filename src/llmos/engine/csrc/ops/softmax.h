// What the sampler needs of a row of logits.
#pragma once

#include <limits>
#include <vector>

#include "exp.h"

namespace {

double exp_all(const float* x, int size, float highest, float inverse_temperature, float* out) {
    const F shift = splat(highest), scale = splat(inverse_temperature);
    double total = 0;
    int i = 0;
    for (; i + 256 <= size; i += 256) {  // floats within a stretch, doubles across: exact enough for any vocabulary
        F part = zero();
        for (int j = 0; j < 256; j += 16) {
            const F e = exp((load(x + i + j) - shift) * scale);
            store(out + i + j, e);
            part = part + e;
        }
        total += double(sum(part));
    }
    for (; i < size; i += 16) {
        float rest[16];
        for (int j = 0; j < 16; ++j) rest[j] = i + j < size ? x[i + j] : -std::numeric_limits<float>::infinity();
        store(rest, exp((load(rest) - shift) * scale));
        for (int j = 0; j < 16 && i + j < size; ++j) {
            // Minus infinity stands for a token that is banned: exactly nothing, not a tiny remainder.
            out[i + j] = x[i + j] == -std::numeric_limits<float>::infinity() ? 0 : rest[j];
            total += double(out[i + j]);
        }
    }
    return total;
}

void find_above(const float* x, int size, float bound, std::vector<int32_t>& out) {
    int i = 0;
    for (; i + 64 <= size; i += 64) {
        const F four = max(max(load(x + i), load(x + i + 16)), max(load(x + i + 32), load(x + i + 48)));
        if (!(largest(four) > bound)) continue;
        for (int j = i; j < i + 64; ++j)
            if (x[j] > bound) out.push_back(j);
    }
    for (; i < size; ++i)
        if (x[i] > bound) out.push_back(i);
}

void find_largest(const float* x, int size, float& value, int32_t& index) {
    F best = splat(-std::numeric_limits<float>::infinity()), total = zero();
    int i = 0;
    for (; i + 16 <= size; i += 16) {
        const F v = load(x + i);
        best = max(best, v);
        total = total + v * zero();  // stays a number unless something isn't
    }
    value = largest(best);
    float check = sum(total);
    for (; i < size; ++i) {
        value = x[i] > value ? x[i] : value;
        check += x[i] * 0;
    }
    index = -1;
    bool broken = false;
    if (check != check)  // an infinity does this too: look again, one at a time
        for (i = 0; i < size; ++i) broken |= x[i] != x[i] || x[i] == std::numeric_limits<float>::infinity();
    if (broken) return;
    for (i = 0; i < size; ++i)
        if (x[i] == value) {
            index = i;
            return;
        }
}

}  // namespace
