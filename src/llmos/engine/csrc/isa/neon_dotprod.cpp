#include "simd/neon.h"

#include "ops/table.h"

namespace llmos {

extern const Kernels neon_dotprod_kernels;
constinit const Kernels neon_dotprod_kernels = kernel_table("neon_dotprod");

}  // namespace llmos
