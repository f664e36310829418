#include "kernels.h"

#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace llmos {

extern const Kernels portable_kernels;
#if defined(__x86_64__)
extern const Kernels avx2_kernels, avx_vnni_kernels, avx512_kernels;
#elif defined(__aarch64__)
extern const Kernels neon_kernels, neon_dotprod_kernels, neon_i8mm_kernels;
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

#if defined(__aarch64__)
// The extensions that an Arm CPU may lack. Every 64-bit one has NEON, with 16-bit floats as a type to convert.
struct ArmFeatures {
    bool dotprod = false, i8mm = false;
};

ArmFeatures arm_features() {
#if defined(__linux__)
    // Documentation/arch/arm64/elf_hwcaps.rst of Linux; older headers of the C library lack the second name.
    constexpr unsigned long hwcap_dotprod = 1ul << 20, hwcap2_i8mm = 1ul << 13;
    return {(getauxval(AT_HWCAP) & hwcap_dotprod) != 0, (getauxval(AT_HWCAP2) & hwcap2_i8mm) != 0};
#elif defined(__APPLE__)
    const auto has = [](const char* name) {
        int value = 0;
        size_t size = sizeof value;
        return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
    };
    return {has("hw.optional.arm.FEAT_DotProd"), has("hw.optional.arm.FEAT_I8MM")};
#else
    return {};
#endif
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
#elif defined(__aarch64__)
    const ArmFeatures has = arm_features();
    if (has.dotprod && has.i8mm) found.push_back(&neon_i8mm_kernels);
    if (has.dotprod) found.push_back(&neon_dotprod_kernels);
    found.push_back(&neon_kernels);
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
