// The number of threads of a pool that take part in its next run: all of them, unless other processes use the cores.
//
// The threads of a run wait for each other some hundred times. Where a core is shared, one of them is often suspended
// for a time slice (milliseconds), and all the others wait that long. Then fewer threads are faster. So this counts
// the time that threads wait for each other, leaves some out where they wait too much, and tries again later with
// more, less and less often while that does not help.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

namespace llmos {

class ActiveThreads {
  public:
    using Clock = std::chrono::steady_clock;

    explicit ActiveThreads(int most) : most_(most), count_(most) {}

    int count() const { return count_.load(std::memory_order_relaxed); }

    // Takes the account of a run of count() threads: how long it took, and how long the threads waited, all together.
    void account(Clock::duration took, Clock::duration waited, Clock::time_point now) {
        took_ += took;
        waited_ += waited;
        const int active = count();
        if (active > 1 && took_ >= window) {
            // While one thread is suspended, active - 1 wait.
            const double lost = double(waited_.count()) / (double(took_.count()) * (active - 1));
            const bool is_slow = lost > std::max(0.8 / active, 0.25);
            if (is_slow && (is_trial_ || was_slow_)) {
                if (is_trial_) retry_after_ = std::min(2 * retry_after_, longest_retry);
                resize(active - std::max(1, active / 8), false);
                retry_at_ = now + retry_after_;
                return;
            }
            if (is_trial_) retry_after_ = first_retry;
            resize(active, false);
            was_slow_ = is_slow;
        }
        if (active < most_ && !is_trial_ && now >= retry_at_) resize(active + 1, true);
    }

  private:
    static constexpr Clock::duration window = std::chrono::milliseconds(20);
    static constexpr Clock::duration first_retry = std::chrono::milliseconds(20);
    static constexpr Clock::duration longest_retry = std::chrono::seconds(3);

    void resize(int count, bool is_trial) {
        count_.store(count, std::memory_order_relaxed);
        is_trial_ = is_trial;
        was_slow_ = false;
        took_ = waited_ = Clock::duration::zero();
    }

    const int most_;
    std::atomic<int> count_;
    bool is_trial_ = false;  // whether these are more threads than before, for a window of time
    bool was_slow_ = false;  // whether the threads waited too much in the last window; once, that is an accident
    Clock::duration took_{0}, waited_{0}, retry_after_ = first_retry;
    Clock::time_point retry_at_{};
};

}  // namespace llmos
