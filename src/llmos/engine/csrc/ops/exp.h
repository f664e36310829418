// e^x and 2^x for sixteen floats.
//
// e^x is within 2 units in the last place (Cephes' expf: range reduction by ln 2, a degree-5 polynomial).
#pragma once

namespace {

inline Floats exp(Floats x) {
    x = max(splat(-103.0f), min(splat(88.3762626647950f), x));  // this order of max and min keeps NaN
    const Floats n = round(x * splat(1.44269504088896341f));
    Floats r = fma(n, splat(-0.693359375f), x);
    r = fma(n, splat(2.12194440e-4f), r);
    Floats p = splat(1.9875691500e-4f);
    p = fma(p, r, splat(1.3981999507e-3f));
    p = fma(p, r, splat(8.3334519073e-3f));
    p = fma(p, r, splat(4.1665795894e-2f));
    p = fma(p, r, splat(1.6666665459e-1f));
    p = fma(p, r, splat(5.0000001201e-1f));
    p = fma(p, r * r, r) + splat(1.0f);
    return scale_by_power_of_two(p, n);
}

// The same for one number.
inline float exp_one(float x) {
    float lanes[16];
    store(lanes, exp(splat(x)));
    return lanes[0];
}

// 2^x for x up to 0, within 3 parts in a million: enough for weights that are rounded to 7 bits.
inline Floats exp2_below_one(Floats x) {
    x = max(splat(-126.0f), x);  // keeps NaN, too
    const Floats n = round(x), f = x - n;
    Floats p = splat(9.5701e-3f);
    p = fma(p, f, splat(5.591786e-2f));
    p = fma(p, f, splat(2.4024745e-1f));
    p = fma(p, f, splat(6.9312181e-1f));
    p = fma(p, f, splat(0.99999926f));
    return scale_by_power_of_two(p, n);
}

}  // namespace
