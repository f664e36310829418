// A team of threads that runs one function together and meets at barriers inside it.
//
// A forward pass is one such run: waking the team costs more than a layer's arithmetic, a barrier between awake
// threads a fraction of a microsecond. Between runs the threads spin for a moment, then park: an idle server uses no CPU.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace llmos {

class Pool {
  public:
    explicit Pool(int num_threads);
    ~Pool();
    Pool(const Pool&) = delete;

    int size() const { return num_threads_; }

    // Calls body(thread) on every thread, 0 to size() - 1 (0 is the caller's), and returns when all have. What a body
    // throws is thrown here, unless it meets others at barriers: then it must not throw. Throws std::runtime_error in a
    // fork of the process, where the team is not.
    void run(const std::function<void(int)>& body);

    // Inside a run: returns once every thread of the team has called it.
    void barrier();

    // Inside a run: a barrier that also opens a phase of `count` units of work, shared among the team.
    // Every thread calls it with the same count, then takes spans until there are none.
    void open(int thread, int count);

    // Takes up to `grain` units. A thread owns an equal part and takes from its front; when that is empty it takes
    // from the back of the others', so that a core that a neighbour slows down holds nobody up.
    bool take(int thread, int grain, int& begin, int& end);

  private:
    struct alignas(64) Slot {
        std::atomic<uint64_t> span[2];  // begin in the high half, end in the low; one for each of two phases in turn
        uint32_t phase = 0;
    };
    void work(int thread);
    void call(int thread) noexcept;
    void stop();

    const int num_threads_;
    const bool is_crowded_;  // more threads than cores that they may use
    std::vector<Slot> slots_;
    std::vector<std::thread> threads_;
    std::mutex one_run_;
    const pid_t process_ = getpid();
    const std::function<void(int)>* body_ = nullptr;
    std::mutex one_failure_;
    std::exception_ptr failure_;
    bool stopping_ = false;
    alignas(64) std::atomic<uint32_t> epoch_{0};
    alignas(64) std::atomic<uint32_t> num_done_{0};
    alignas(64) std::atomic<uint32_t> num_arrived_{0};
    alignas(64) std::atomic<uint32_t> generation_{0};
};

}  // namespace llmos
