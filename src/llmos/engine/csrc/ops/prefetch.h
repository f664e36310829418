// Fetching memory into the CPU's second-level cache ahead of its use.
#pragma once

#include <cstddef>
#include <cstdint>

namespace {

// Always inlined: GCC takes a function that only prefetches for one without effects, and drops its calls.
template <size_t bytes> __attribute__((always_inline)) inline void prefetch(const uint8_t* p) {
    UNROLLED_FOR (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(p + line, 0, 2);
}

}  // namespace
