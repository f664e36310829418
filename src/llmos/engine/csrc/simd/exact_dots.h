// Running dot products on instruction sets that add products of bytes in 32 bits at once: nothing can overflow. Included
// at the end of such a set's header; portable.h says what they are.
#pragma once

namespace {

template <int largest, int quads> class Dots {
  public:
    Dots() = default;
    explicit Dots(Ints first) : sum_(first) {}

    void add(int, Bytes weights, const int8_t* four) {
        if constexpr (largest > 127) sum_ = dot_bytes(sum_, weights, four);
        else sum_ = dot_nibbles(sum_, weights, four);
    }
    Ints total() const { return sum_; }

  private:
    Ints sum_;
};

}  // namespace
