// The weights of a block of 32 columns (packing.h) as bytes, four columns of sixteen rows at a time.
#pragma once

#include "packing.h"

namespace {

using llmos::Packing;

// Reads the quads of one block of 4 to 6 bits, in ascending order: columns 4 quad to 4 quad + 3, or 16 more.
template <Packing P> class BlockWeights {
  public:
    BlockWeights() = default;
    explicit BlockWeights(const uint8_t* block) : block_(block) {}

    void read(int quad, Bytes& low, Bytes& high) {
        low = read<0>(quad);
        high = read<1>(quad);
    }

    // Columns 0-15 for half 0, columns 16-31 for half 1.
    template <int half> Bytes read(int quad) {
        const Bytes pairs = load_bytes(block_ + quad * 64);
        Bytes u = half ? high_nibbles(pairs) : low_nibbles(pairs);
        if constexpr (upper_bits > 0) {
            if (quad % quads_of_vector == 0) {
                const Bytes both = load_bytes(block_ + 256 + quad / quads_of_vector * 64);
                upper_[half] = half ? shift_left<4>(both) : both;
            } else {
                upper_[half] = shift_right<upper_bits>(upper_[half]);
            }
            u = with_bits(u, upper_[half], upper_mask);
        }
        if constexpr (llmos::table_of(P) != nullptr) u = look_up(load_table(llmos::table_of(P)), u);
        return u;
    }

  private:
    static constexpr int upper_bits = llmos::bits_of(P) - 4, quads_of_vector = upper_bits ? 4 / upper_bits : 1;
    static constexpr int upper_mask = ((1 << upper_bits) - 1) << 4;

    const uint8_t* block_;
    Bytes upper_[2];
};

// The largest weight, as it is read.
template <Packing P> constexpr int largest_weight() {
    const uint8_t* table = llmos::table_of(P);
    int largest = table ? 0 : (1 << llmos::bits_of(P)) - 1;
    for (int i = 0; table && i < 16; ++i) largest = table[i] > largest ? table[i] : largest;
    return largest;
}

// True if a weight takes more than a shift and a mask, or its scale more than a conversion.
template <Packing P> constexpr bool is_costly_to_read() {
    return llmos::bits_of(P) == 5 || llmos::bits_of(P) == 6 || llmos::table_of(P) || llmos::is_super(P);
}

// True if a dot product needs the instructions for bytes.
template <Packing P> constexpr bool has_large_weights() { return largest_weight<P>() > 127; }

// The part of the offset that a dot product doesn't subtract from every weight by itself.
template <Packing P> constexpr int remaining_offset() {
    return llmos::offset_of(P) - (has_large_weights<P>() ? dot_bytes_offset : 0);
}

// The dot products of a block, or of one of its halves where these have scales of their own.
template <Packing P>
using BlockDots = Dots<largest_weight<P>(), llmos::scales_of(P) == llmos::Scales::bytes_of_halves ? 4 : 8>;

template <Packing P> inline Bytes prepared_for_dots(Bytes u) {
    if constexpr (has_large_weights<P>()) return prepared(u);
    else return u;
}

}  // namespace
