// What the sampler needs of a row of logits.
#pragma once

#include <limits>
#include <vector>

#include "ops/exp.h"

namespace {

double exp_all(const float* x, int size, float highest, float inverse_temperature, float* out) {
    const Floats shift = splat(highest), scale = splat(inverse_temperature);
    double total = 0;
    int i = 0;
    for (; i + 256 <= size; i += 256) {  // floats within a stretch, doubles across: exact enough for any vocabulary
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
        const Floats four = max(max(load(x + i), load(x + i + 16)), max(load(x + i + 32), load(x + i + 48)));
        if (!(largest(four) > bound)) continue;
        for (int j = i; j < i + 64; ++j)
            if (x[j] > bound) out.push_back(j);
    }
    for (; i < size; ++i)
        if (x[i] > bound) out.push_back(i);
}

void note_largest(const float* x, int size, int first_token, llmos::Largest& largest) {
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

// Stretch by stretch: only the one that holds the largest value is searched for its place.
void find_largest(const float* x, int size, float& value, int32_t& index) {
    constexpr int stretch = 512;
    constexpr float infinity = std::numeric_limits<float>::infinity();
    value = -infinity;
    index = 0;
    bool is_suspect = false;
    for (int begin = 0; begin < size; begin += stretch) {
        const int end = begin + stretch < size ? begin + stretch : size;
        Floats best = splat(-infinity), check = zero();
        int i = begin;
        for (; i + 16 <= end; i += 16) {
            const Floats v = load(x + i);
            best = max(best, v);
            check = fma(v, zero(), check);  // stays zero unless something is no number, or infinite
        }
        float here = largest(best), is_zero = sum(check);
        for (; i < end; ++i) {
            here = x[i] > here ? x[i] : here;
            is_zero += x[i] * 0;
        }
        is_suspect |= is_zero != 0;  // true for what is no number, too
        if (here > value) {
            value = here;
            index = begin;
        }
    }
    if (is_suspect)  // a banned token's minus infinity is no fault
        for (int i = 0; i < size; ++i)
            if (x[i] != x[i] || x[i] == infinity) {
                index = -1;
                return;
            }
    while (x[index] != value) ++index;
}

}  // namespace
