#include "simd/neon.h"

#include "ops/table.h"

namespace llmos {

extern const Kernels neon_kernels;
constinit const Kernels neon_kernels = kernel_table("neon");

}  // namespace llmos
