// The peak rates of this machine, with a number of threads: read memory, multiply 8-bit integers, multiply floats.
//
//     g++ -O3 -march=native -pthread -std=c++20 benchmarks/probe.cpp -o probe && ./probe 2
//
// Prints one JSON object. Every figure is the best of several runs, so a disturbed run doesn't count.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr int num_runs = 9;
constexpr long num_rounds = 20'000'000;
constexpr size_t buffer_bytes = size_t(256) << 20;

volatile int64_t sink;  // keeps results from being optimized away

// Seconds of the fastest run of work(thread) on all threads at once.
template <class Work>
double fastest(int num_threads, Work work) {
    double best = 1e30;
    for (int run = 0; run < num_runs; ++run) {
        const auto began = std::chrono::steady_clock::now();
        std::vector<std::thread> others;
        for (int t = 1; t < num_threads; ++t) others.emplace_back([&work, t] { work(t); });
        work(0);
        for (auto& other : others) other.join();
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        if (seconds < best) best = seconds;
    }
    return best;
}

// Each loop keeps 12 independent sums in registers, enough to hide the latency of the two units that there may be.
// They are separate variables, and every instruction is written out in assembly: so the compiler can neither spill
// the sums, nor see that the operands never change.

#define TWELVE(step) step(0) step(1) step(2) step(3) step(4) step(5) step(6) step(7) step(8) step(9) step(10) step(11)

#if defined(__AVX512F__)
using Ints = __m512i;
using Floats = __m512;
#elif defined(__AVX2__)
using Ints = __m256i;
using Floats = __m256;
#endif

#if defined(__AVX2__)
constexpr int num_bytes = sizeof(Ints), num_floats = sizeof(Floats) / sizeof(float);

#define DECLARE_INT(i) Ints a##i{};
#define DECLARE_FLOAT(i) Floats a##i{};
#define KEEP(i) asm volatile("" : "+v"(a##i));

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#if defined(__AVX512VNNI__) && defined(__AVX512F__)
constexpr const char* instructions = "vpdpbusd on 512 bits";
#define DOT(i) asm volatile("vpdpbusd %1, %2, %0" : "+v"(a##i) : "v"(y), "v"(x));
#else
constexpr const char* instructions = "vpdpbusd on 256 bits";
#define DOT(i) asm volatile("{vex} vpdpbusd %1, %2, %0" : "+x"(a##i) : "x"(y), "x"(x));
#endif
#else
// Without it a dot product of bytes takes three instructions.
constexpr const char* instructions = "vpmaddubsw, vpmaddwd, vpaddd";
#define DOT(i)                                                                                                        \
    {                                                                                                                 \
        Ints pairs;                                                                                                   \
        asm volatile("vpmaddubsw %2, %3, %1\n\tvpmaddwd %4, %1, %1\n\tvpaddd %1, %0, %0"                              \
                     : "+v"(a##i), "=&v"(pairs)                                                                       \
                     : "v"(y), "v"(x), "v"(ones));                                                                    \
    }
#endif
#define MULTIPLY_ADD(i) asm volatile("vfmadd231ps %1, %2, %0" : "+v"(a##i) : "v"(y), "v"(x));

void multiply_ints(int) {
    Ints x, y, ones;
    std::memset(&x, 3, sizeof x);
    std::memset(&y, 5, sizeof y);
    std::memset(&ones, 1, sizeof ones);
    (void)ones;
    TWELVE(DECLARE_INT)
    for (long n = 0; n < num_rounds; ++n) { TWELVE(DOT) }
    TWELVE(KEEP)
}

void multiply_floats(int) {
    Floats x{}, y{};
    TWELVE(DECLARE_FLOAT)
    for (long n = 0; n < num_rounds; ++n) { TWELVE(MULTIPLY_ADD) }
    TWELVE(KEEP)
}

#else
// Another kind of machine: what the compiler makes of plain loops.
constexpr const char* instructions = "plain loops";
constexpr int num_bytes = 16, num_floats = 4;

void multiply_ints(int thread) {
    int32_t sums[12][4] = {};
    int8_t x[16], y[16];
    for (int i = 0; i < 16; ++i) x[i] = int8_t(thread + i), y[i] = int8_t(i);
    for (long n = 0; n < num_rounds; ++n) {
        asm volatile("" : : "r"(x), "r"(y) : "memory");
        for (auto& sum : sums)
            for (int i = 0; i < 16; ++i) sum[i / 4] += x[i] * y[i];
    }
    for (auto& sum : sums) sink = sink + sum[0] + sum[1] + sum[2] + sum[3];
}

void multiply_floats(int thread) {
    float sums[12][4] = {}, x[4], y[4];
    for (int i = 0; i < 4; ++i) x[i] = float(thread + i), y[i] = float(i);
    for (long n = 0; n < num_rounds; ++n) {
        asm volatile("" : : "r"(x), "r"(y) : "memory");
        for (auto& sum : sums)
            for (int i = 0; i < 4; ++i) sum[i] += x[i] * y[i];
    }
    for (auto& sum : sums) sink = sink + int64_t(sum[0] + sum[1] + sum[2] + sum[3]);
}
#endif

}  // namespace

int main(int argc, char** argv) {
    const int num_threads = argc > 1 ? std::atoi(argv[1]) : int(std::thread::hardware_concurrency());
    if (num_threads < 1) {
        std::fprintf(stderr, "usage: probe THREADS\n");
        return 2;
    }
    auto* buffer = static_cast<uint64_t*>(std::aligned_alloc(64, buffer_bytes));
    if (!buffer) return 1;
    std::memset(buffer, 1, buffer_bytes);
    const size_t words = buffer_bytes / sizeof(uint64_t) / size_t(num_threads) / 64 * 64;
    const double read_seconds = fastest(num_threads, [&](int thread) {
        const uint64_t* from = buffer + words * size_t(thread);
        uint64_t sums[16] = {};
        for (size_t i = 0; i < words; i += 16)
            for (size_t j = 0; j < 16; ++j) sums[j] += from[i + j];
        uint64_t all = 0;
        for (uint64_t sum : sums) all += sum;
        sink = int64_t(all);
    });
    const double loops = 12.0 * double(num_rounds) * num_threads;
    std::printf(
        "{\"read_bytes_per_second\": %.4g, \"int8_macs_per_second\": %.4g, \"f32_fmas_per_second\": %.4g, "
        "\"instructions\": \"%s\"}\n",
        double(words * sizeof(uint64_t) * size_t(num_threads)) / read_seconds,
        loops * num_bytes / fastest(num_threads, multiply_ints),
        loops * num_floats / fastest(num_threads, multiply_floats), instructions);
    std::free(buffer);
}
