#include "simd/avx512.h"

#include "ops/table.h"

namespace llmos {

extern const Kernels avx512_kernels;
constinit const Kernels avx512_kernels = kernel_table("avx512");

}  // namespace llmos
