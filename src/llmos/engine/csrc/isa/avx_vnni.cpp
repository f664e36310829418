#include "simd/avx_vnni.h"

#include "ops/table.h"

namespace llmos {

extern const Kernels avx_vnni_kernels;
constinit const Kernels avx_vnni_kernels = kernel_table("avx_vnni");

}  // namespace llmos
