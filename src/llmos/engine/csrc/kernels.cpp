#include "kernels.h"

#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace llmos {

extern const Kernels portable_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels, avx_vnni_kernels, avx512_kernels;
#endif

namespace {

#if defined(__x86_64__)
// clang 14 knows neither "f16c" nor "avxvnni" in __builtin_cpu_supports.
bool has_f16c() {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}

// The dot products of AVX-VNNI. They need no more of the operating system than AVX2 does.
bool has_avx_vnni() {
    constexpr unsigned bit_avx_vnni = 1u << 4;
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax & bit_avx_vnni);
}
#endif

std::vector<const Kernels*> available() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    if (has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni"))
        found.push_back(&avx512_kernels);
    if (has_avx2 && has_avx_vnni()) found.push_back(&avx_vnni_kernels);
    if (has_avx2) found.push_back(&avx2_kernels);
#endif
    found.push_back(&portable_kernels);
    return found;
}

}  // namespace

const Kernels& find_kernels(const std::string& isa) {
    for (const Kernels* kernels : available())
        if (isa.empty() || isa == kernels->name) return *kernels;
    throw std::invalid_argument("This CPU cannot run the kernel path '" + isa + "'.");
}

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const Kernels* kernels : available()) names.push_back(kernels->name);
    return names;
}

}  // namespace llmos
