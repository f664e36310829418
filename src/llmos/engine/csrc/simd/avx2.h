// Sixteen lanes on AVX2, whose dot products go through 16 bits. See portable.h for what the functions compute.
#pragma once

#include "simd/avx2_lanes.h"

namespace {

constexpr int tile_sums = 4, attention_sums = 6;  // of 16 registers, a sum takes two
constexpr bool unpacks_once = true;

// Integer additions may be made in any order, and GCC would make them in one that keeps all terms until the end, more
// than there are registers. It cannot look past this.
inline __m256i in_order(__m256i sum) {
    asm("" : "+x"(sum));
    return sum;
}

inline __m256i add_pairs(__m256i sum, __m256i words) {
    return in_order(_mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1))));
}

// maddubs adds two products in 16 bits, which a byte above 127 would overflow: take |w - 128| and give its sign to x.
constexpr int dot_bytes_offset = 128;
inline Bytes prepared(Bytes w) {
    const __m256i flip = _mm256_set1_epi8(-128);
    return {_mm256_xor_si256(w.a, flip), _mm256_xor_si256(w.b, flip)};
}
inline Ints dot_bytes(Ints sum, Bytes w, const int8_t* four) {
    const __m256i x = splat_four(four);
    return {add_pairs(sum.a, _mm256_maddubs_epi16(_mm256_abs_epi8(w.a), _mm256_sign_epi8(x, w.a))),
            add_pairs(sum.b, _mm256_maddubs_epi16(_mm256_abs_epi8(w.b), _mm256_sign_epi8(x, w.b)))};
}

inline Ints dot_signed(Ints sum, Bytes values, const uint8_t* four) {
    const __m256i x = splat_four(four);
    return {add_pairs(sum.a, _mm256_maddubs_epi16(x, values.a)), add_pairs(sum.b, _mm256_maddubs_epi16(x, values.b))};
}

// Small weights stay in 16 bits over as many quads as cannot overflow: eight of 4 bits, four of 5 bits, two of 6 bits.
template <int largest, int quads> class Dots {
  public:
    Dots() = default;
    explicit Dots(Ints first) : sum_(first) {}

    void add(int quad, Bytes w, const int8_t* four) {
        if constexpr (largest > 127) {
            sum_ = dot_bytes(sum_, w, four);
        } else {
            const __m256i x = splat_four(four);
            const __m256i a = _mm256_maddubs_epi16(w.a, x), b = _mm256_maddubs_epi16(w.b, x);
            if (quad % quads_in_words == 0) words_ = {a, b};
            else words_ = {in_order(_mm256_add_epi16(words_.a, a)), in_order(_mm256_add_epi16(words_.b, b))};
            if (quad % quads_in_words == quads_in_words - 1)
                sum_ = {add_pairs(sum_.a, words_.a), add_pairs(sum_.b, words_.b)};
        }
    }
    Ints total() const { return sum_; }

  private:
    static constexpr int fitting = 32767 / (2 * 127 * largest);
    static constexpr int quads_in_words = fitting >= 8 && quads >= 8 ? 8 : fitting >= 4 ? 4 : fitting >= 2 ? 2 : 1;

    Ints sum_;
    Ints words_;
};

}  // namespace
