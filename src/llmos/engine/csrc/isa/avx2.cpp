#include "simd/avx2.h"

#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/quantize.h"
#include "ops/residual.h"
#include "ops/rotate.h"
#include "ops/softcap.h"
#include "ops/softmax.h"

namespace llmos {

extern const Kernels avx2_kernels;
const Kernels avx2_kernels = {"avx2",   matmul,     attend,       write_kv,   rotate,
                              rms_norm, layer_norm, activate,     cap_logits, add_scaled,
                              quantize, exp_all,    note_largest, find_above, find_largest};

}  // namespace llmos
