#include "simd/avx2.h"

#include "ops/table.h"

namespace llmos {

extern const Kernels avx2_kernels;
constinit const Kernels avx2_kernels = kernel_table("avx2");

}  // namespace llmos
