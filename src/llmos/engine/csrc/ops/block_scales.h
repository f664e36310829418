// The scales of a block of 32 columns (packing.h) as floats: w = d * (u - offset) + m.
#pragma once

#include "packing.h"

namespace {

using llmos::Packing;
using llmos::Scales;

template <Packing P> struct BlockScales {
    static constexpr llmos::Scales kind = llmos::scales_of(P);
    static constexpr int halves = kind == Scales::bytes_of_halves ? 2 : 1;

    Floats d[halves];  // of columns 0-15 and of columns 16-31, where they differ
    Floats m;          // only with a minimum

    // `supers`: what is kept for 256 columns; null where there is no such thing.
    BlockScales(const uint8_t* supers, const uint8_t* scales) {
        const uint16_t* halves_of = (const uint16_t*)(llmos::is_super(P) ? supers : scales);
        if constexpr (kind == Scales::exponents) {
            d[0] = scale_by_power_of_two(splat(1), to_float(load_unsigned(scales)) + splat(-128));
            return;
        }
        d[0] = load_half(halves_of);
        if constexpr (llmos::has_minimum(P)) m = load_half(halves_of + 16);
        if constexpr (kind == Scales::bytes_and_minimums) {
            d[0] = d[0] * to_float(load_unsigned(scales));
            m = m * to_float(load_unsigned(scales + 16));
        } else if constexpr (kind == Scales::bytes) {
            d[0] = d[0] * to_float(load_signed(scales));
        } else if constexpr (kind == Scales::bytes_of_halves) {
            const Floats both = d[0];
            UNROLLED_FOR (int half = 0; half < halves; ++half)
                d[half] = both * to_float(load_signed(scales + 16 * half));
        }
    }
};

}  // namespace
