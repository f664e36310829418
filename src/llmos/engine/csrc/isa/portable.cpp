#include "simd/portable.h"

#include "ops/table.h"

namespace llmos {

extern const Kernels portable_kernels;
constinit const Kernels portable_kernels = kernel_table("portable");

}  // namespace llmos
