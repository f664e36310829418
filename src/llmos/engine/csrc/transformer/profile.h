// The times of a step: seconds that the pool's first thread spends in each region. Off by default.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>

namespace llmos {

enum class Region {
    embed,
    norm,
    qkv,
    position,
    attention,
    output,
    route,
    gate_up,
    down,
    layer_input,
    adapters,
    head,
    score,
    wait,
    count
};
constexpr std::array<const char*, size_t(Region::count)> region_names = {"embedding",
                                                                         "norm and quantize",
                                                                         "query, key, value",
                                                                         "rotate and write cache",
                                                                         "attention",
                                                                         "output",
                                                                         "choose experts",
                                                                         "gate, up and activation",
                                                                         "down",
                                                                         "layer inputs",
                                                                         "adapters",
                                                                         "head",
                                                                         "score",
                                                                         "wait for the others"};

class Profile {
  public:
    bool is_on = false;
    std::array<double, size_t(Region::count)> seconds{};

    void start() {
        last_ = Clock::now();
        region_ = Region::wait;
    }
    // Adds the time since the last call to the region entered then.
    void enter(Region region) {
        const Clock::time_point now = Clock::now();
        seconds[size_t(region_)] += std::chrono::duration<double>(now - last_).count();
        last_ = now;
        region_ = region;
    }

  private:
    using Clock = std::chrono::steady_clock;
    Clock::time_point last_;
    Region region_ = Region::wait;
};

}  // namespace llmos
