#include "pool.h"

#include <chrono>
#include <stdexcept>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__linux__)
#include <sched.h>
#endif

namespace llmos {
namespace {

using Clock = ActiveThreads::Clock;

using namespace std::chrono_literals;
constexpr auto spin_between_runs = 400us;               // between two runs
constexpr auto spin_on_one_core = 4ms;                  // within one, where it keeps another thread waiting
constexpr Clock::duration spin_before_sleeping = 10ms;  // within one
constexpr Clock::duration spin_before_sleeping_oversubscribed = 10us;  // where other threads need this core

constexpr int uncounted_pauses = 256;  // a wait that is over by then is no loss

// A run is announced as its number and its last active thread, in one word.
constexpr uint32_t thread_bits = 12;
constexpr uint32_t announce(uint32_t number, int num_active) {
    return number << thread_bits | uint32_t(num_active - 1);
}
constexpr bool takes_part(uint32_t announced, int thread) {
    return uint32_t(thread) <= (announced & ((1u << thread_bits) - 1));
}

// The cores that this process may use.
unsigned usable_cores() {
#if defined(__linux__)
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) == 0) return unsigned(CPU_COUNT(&cores));
#endif
    return std::thread::hardware_concurrency();
}

inline void pause_cpu() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// The core that the calling thread runs on; -1 where the system doesn't tell.
int current_core() {
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

// Spins until is_over(), for at most this long and only while is_useful(); returns the last is_over().
template <class IsOver, class IsUseful> bool spin_until(IsOver is_over, IsUseful is_useful, Clock::duration at_most) {
    const auto start = Clock::now();
    while (is_useful() && Clock::now() - start < at_most)
        for (int i = 0; i < 64; ++i) {
            if (is_over()) return true;
            pause_cpu();
        }
    return is_over();
}

}  // namespace

Pool::Pool(int num_threads)
    : num_threads_(num_threads),
      is_oversubscribed_(unsigned(num_threads) > usable_cores()),
      active_threads_(num_threads),
      slots_(num_threads),
      num_active_(num_threads) {
    try {
        for (int i = 1; i < num_threads; ++i) threads_.emplace_back([this, i] { work(i); });
    } catch (...) {  // the system refuses another thread
        stop();
        throw;
    }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
    if (getpid() != process_) {  // a fork has no threads to join
        for (auto& thread : threads_) thread.detach();
        return;
    }
    stopping_ = true;
    announced_.store(announce((announced_.load(std::memory_order_relaxed) >> thread_bits) + 1, num_threads_),
                     std::memory_order_release);
    announced_.notify_all();
    for (auto& thread : threads_) thread.join();
}

void Pool::work(int thread) {
    uint32_t seen = 0;
    for (;;) {
        const auto is_announced = [&] { return announced_.load(std::memory_order_acquire) != seen; };
        if (!spin_until(is_announced, [] { return true; }, spin_between_runs))
            while (!is_announced()) announced_.wait(seen, std::memory_order_acquire);
        // A thread that takes part is waited for, so the word can't change again before it has counted itself as done.
        seen = announced_.load(std::memory_order_acquire);
        if (stopping_) return;
        if (!takes_part(seen, thread)) continue;
        call(thread);
        arrive(thread);
        num_done_.fetch_add(1, std::memory_order_release);
        num_done_.notify_one();
    }
}

void Pool::call(int thread) noexcept {
    try {
        (*body_)(thread);
    } catch (...) {
        std::lock_guard lock(failure_mutex_);
        failure_ = std::current_exception();
    }
}

int Pool::run(const std::function<void(int)>& body) {
    if (num_threads_ > 1 && getpid() != process_)
        throw std::runtime_error(
            "This process is a fork, and threads stay behind: load the model in the process that uses it.");
    std::lock_guard lock(run_mutex_);
    const auto start = Clock::now();
    num_active_ = active_threads_.count();
    body_ = &body;
    num_done_.store(0, std::memory_order_relaxed);
    for (Slot& slot : slots_) {
        slot.phase = 0;
        slot.waited = {};
        slot.num_arrivals.store(0, std::memory_order_relaxed);
    }
    if (num_active_ > 1) {
        announced_.store(announce((announced_.load(std::memory_order_relaxed) >> thread_bits) + 1, num_active_),
                         std::memory_order_release);
        announced_.notify_all();
    }
    call(0);
    arrive(0);
    const uint32_t others = uint32_t(num_active_ - 1);
    for (uint32_t done; (done = num_done_.load(std::memory_order_acquire)) != others;) wait_while(0, num_done_, done);
    if (num_threads_ > 1) {
        Clock::duration waited{0};
        for (const Slot& slot : slots_) waited += slot.waited;
        const auto now = Clock::now();
        active_threads_.account(now - start, waited, now);
    }
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    return num_active_;
}

// Returns when every active thread has called it.
void Pool::barrier(int thread) {
    if (num_active_ == 1) return;
    const uint32_t generation = generation_.load(std::memory_order_relaxed);
    arrive(thread);
    if (num_arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == uint32_t(num_active_)) {
        num_arrived_.store(0, std::memory_order_relaxed);
        generation_.store(generation + 1,
                          std::memory_order_seq_cst);  // notify_all must not look for waiters before this
        generation_.notify_all();
    } else {
        wait_while(thread, generation_, generation);
    }
}

// Notes that a thread has come to the next point where it is waited for, and on which core it did.
void Pool::arrive(int thread) {
    Slot& slot = slots_[thread];
    slot.core.store(current_core(), std::memory_order_relaxed);
    slot.num_arrivals.store(slot.num_arrivals.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

// True if a thread that is yet to arrive was last seen on this thread's core: it can't run before this one sleeps.
bool Pool::keeps_another_waiting(int thread) const {
    const int core = current_core();
    if (core < 0) return false;
    const uint32_t num_arrivals = slots_[thread].num_arrivals.load(std::memory_order_relaxed);
    for (int other = 0; other < num_active_; ++other) {
        const Slot& slot = slots_[other];
        if (slot.num_arrivals.load(std::memory_order_relaxed) != num_arrivals &&
            slot.core.load(std::memory_order_relaxed) == core)
            return true;
    }
    return false;
}

// Waits until `word` is no longer `old`. The threads are a fraction of a microsecond apart, but where other processes
// use the cores, one of them may be suspended for some milliseconds. A thread that yields or sleeps meanwhile loses its
// own core for as long, and the threads meet ever more rarely. So it spins for longer than a time slice before it
// sleeps, unless that keeps the awaited thread from running: where the pool has more threads than there are cores, or
// where both are on one core. There it spins for some milliseconds of a run nevertheless: if another core is idle, the
// system moves one of two threads that compute, but not one of two that sleep in turn.
void Pool::wait_while(int thread, const std::atomic<uint32_t>& word, uint32_t old) {
    Clock::duration& waited = slots_[thread].waited;
    const auto is_over = [&] { return word.load(std::memory_order_acquire) != old; };
    for (int i = 0; i < uncounted_pauses; ++i) {
        if (is_over()) return;
        pause_cpu();
    }
    const auto start = Clock::now();
    const auto is_useful = [&] {
        return waited + (Clock::now() - start) < spin_on_one_core || !keeps_another_waiting(thread);
    };
    const auto at_most = is_oversubscribed_ ? spin_before_sleeping_oversubscribed : spin_before_sleeping;
    if (!spin_until(is_over, is_useful, at_most))
        while (!is_over()) word.wait(old, std::memory_order_acquire);
    waited += Clock::now() - start;
}

// A thread writes its span of the next phase while others may still take from this one, so each has two spans.
void Pool::open_phase(int thread, int count) {
    const uint64_t begin = uint64_t(count) * thread / num_active_, end = uint64_t(count) * (thread + 1) / num_active_;
    Slot& slot = slots_[thread];
    slot.phase ^= 1;
    slot.span[slot.phase].store(begin << 32 | end, std::memory_order_relaxed);
    barrier(thread);
}

bool Pool::take(int thread, int grain, int& begin, int& end) {
    const uint32_t phase = slots_[thread].phase;
    for (int i = 0; i < num_active_; ++i) {
        const int owner = (thread + i) % num_active_;
        std::atomic<uint64_t>& span = slots_[owner].span[phase];
        uint64_t now = span.load(std::memory_order_relaxed);
        for (;;) {
            const uint32_t first = uint32_t(now >> 32), last = uint32_t(now);
            if (first >= last) break;
            const uint32_t count = last - first < uint32_t(grain) ? last - first : uint32_t(grain);
            const uint64_t rest =
                i == 0 ? uint64_t(first + count) << 32 | last : uint64_t(first) << 32 | (last - count);
            if (!span.compare_exchange_weak(now, rest, std::memory_order_relaxed)) continue;
            begin = int(i == 0 ? first : last - count);
            end = begin + int(count);
            return true;
        }
    }
    return false;
}

}  // namespace llmos
