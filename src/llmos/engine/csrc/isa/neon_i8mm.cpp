#include "simd/neon.h"

#include "ops/table.h"

namespace llmos {

extern const Kernels neon_i8mm_kernels;
constinit const Kernels neon_i8mm_kernels = kernel_table("neon_i8mm");

}  // namespace llmos
