// Passes over a row of logits for the sampler: exponentials, candidates above a bound, the largest.
#pragma once

#include <limits>
#include <vector>

#include "ops/exp.h"

namespace {

double exp_all(const float* x, int size, float highest, float inverse_temperature, float* out) {
    const Floats shift = splat(highest), scale = splat(inverse_temperature);
    double total = 0;
    int i = 0;
    for (; i + 256 <= size; i += 256) {  // sums in float within 256, in double across
        Floats part = zero();
        for (int j = 0; j < 256; j += 16) {
            const Floats e = exp((load(x + i + j) - shift) * scale);
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
            // Minus infinity is a banned token: its probability is exactly zero, not tiny.
            out[i + j] = x[i + j] == -std::numeric_limits<float>::infinity() ? 0 : rest[j];
            total += double(out[i + j]);
        }
    }
    return total;
}

void find_above(const float* x, int size, float bound, std::vector<int32_t>& out) {
    int i = 0;
    for (; i + 64 <= size; i += 64) {
        const Floats four = max(max(load(x + i), load(x + i + 16)), max(load(x + i + 32), load(x + i + 48)));
        if (!(largest(four) > bound)) continue;
        for (int j = i; j < i + 64; ++j)
            if (x[j] > bound) out.push_back(j);
    }
    for (; i < size; ++i)
        if (x[i] > bound) out.push_back(i);
}

void update_largest(const float* x, int size, int first_token, llmos::Largest& largest) {
    Floats best = load(largest.value), check = load(largest.not_finite);
    Ints group = load_int(largest.group);
    for (int i = 0; i < size; i += 16) {
        const Floats v =
            size - i < 16 ? keep_lanes(load(x + i), 0, size - i, -std::numeric_limits<float>::max()) : load(x + i);
        check = fma(v, zero(), check);
        const Ints here = splat_int((first_token + i) / 16);
        group = choose_larger(v, here, best, group);
        best = max(v, best);
    }
    store(largest.value, best);
    store(largest.not_finite, check);
    store_int(largest.group, group);
}

// Section by section: only the section that holds the largest value is searched for its index.
void find_largest(const float* x, int size, float& value, int32_t& index) {
    constexpr int section = 512;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    value = -infinity;
    index = 0;
    bool has_suspect = false;
    for (int begin = 0; begin < size; begin += section) {
        const int end = begin + section < size ? begin + section : size;
        Floats best = splat(-infinity), check = zero();
        int i = begin;
        for (; i + 16 <= end; i += 16) {
            const Floats v = load(x + i);
            best = max(best, v);
            check = fma(v, zero(), check);  // NaN where any value is not finite
        }
        float here = largest(best), is_zero = sum(check);
        for (; i < end; ++i) {
            here = x[i] > here ? x[i] : here;
            is_zero += x[i] * 0;
        }
        has_suspect |= is_zero != 0;  // true for NaN, too
        if (here > value) {
            value = here;
            index = begin;
        }
    }
    if (has_suspect)  // minus infinity is a banned token, not an error
        for (int i = 0; i < size; ++i)
            if (x[i] != x[i] || x[i] == infinity) {
                index = -1;
                return;
            }
    while (x[index] != value) ++index;
}

}  // namespace
