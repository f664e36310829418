// Threads that run one function together and wait for each other at barriers inside it.
//
// A forward pass is one such run: waking threads costs more than a layer's arithmetic, a barrier between awake threads
// a fraction of a microsecond. Between runs the threads spin for a moment, then sleep: an idle server uses no CPU.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "active_threads.h"

namespace llmos {

class Pool {
  public:
    explicit Pool(int num_threads);
    ~Pool();
    Pool(const Pool&) = delete;

    int size() const { return num_threads_; }

    // The threads that take part in a run, at most size(): fewer while other processes use the cores. Inside a run: in
    // this one.
    int active() const { return active_threads_.count(); }

    // Calls body(thread) on the active threads, 0 to active() - 1 (0 is the caller's), and returns their number when all
    // have returned. Rethrows a body's exception; a body that uses barriers must not throw. Throws std::runtime_error in a
    // fork of the process, which has no copy of the threads.
    int run(const std::function<void(int)>& body);

    // Inside a run: a barrier that also opens a phase of `count` units of work. Every thread calls it with the same
    // count, then calls take() until there is no work left.
    void open_phase(int thread, int count);

    // Takes up to `grain` units, [begin, end); returns false when none are left. A thread takes from the front of its
    // own equal part first, then from the back of the others', so that a slow core delays nobody.
    bool take(int thread, int grain, int& begin, int& end);

  private:
    struct alignas(64) Slot {
        std::atomic<uint64_t> span[2];  // begin in the high half, end in the low; phases alternate
        uint32_t phase = 0;
        std::atomic<uint32_t> num_arrivals{0};     // at barriers and at the end, in this run
        std::atomic<int> core{-1};                 // at the last arrival
        ActiveThreads::Clock::duration waited{0};  // for other threads, in this run
    };
    void work(int thread);
    void call(int thread) noexcept;
    void barrier(int thread);
    void arrive(int thread);
    bool keeps_another_waiting(int thread) const;
    void wait_while(int thread, const std::atomic<uint32_t>& word, uint32_t old);
    void stop();

    const int num_threads_;
    const bool is_oversubscribed_;  // more threads than cores
    ActiveThreads active_threads_;
    std::vector<Slot> slots_;
    std::vector<std::thread> threads_;
    std::mutex run_mutex_;
    const pid_t process_ = getpid();
    const std::function<void(int)>* body_ = nullptr;
    std::mutex failure_mutex_;
    std::exception_ptr failure_;
    std::atomic<bool> stopping_{false};
    int num_active_;                                  // of the current run
    alignas(64) std::atomic<uint32_t> announced_{0};  // the current run: its number, and its last active thread
    alignas(64) std::atomic<uint32_t> num_done_{0};
    alignas(64) std::atomic<uint32_t> num_arrived_{0};
    alignas(64) std::atomic<uint32_t> generation_{0};
};

}  // namespace llmos
