// All operations as one table. Include simd/<instruction set>.h first: it defines the lanes that they compute on.
//
// Everything here is in an anonymous namespace, so that each instruction set has code of its own.
#pragma once

#include "kernels.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/matmul.h"
#include "ops/norm.h"
#include "ops/quantize.h"
#include "ops/recurrence.h"
#include "ops/residual.h"
#include "ops/rotate.h"
#include "ops/score.h"
#include "ops/softcap.h"
#include "ops/softmax.h"

namespace {

constexpr llmos::Kernels kernel_table(const char* name) {
    return {.name = name,
            .matmul = matmul,
            .attend = attend,
            .write_kv = write_kv,
            .rotate = rotate,
            .rms_norm = rms_norm,
            .layer_norm = layer_norm,
            .activate = activate,
            .multiply_sigmoid = multiply_sigmoid,
            .convolve = convolve,
            .recur = recur,
            .cap_logits = cap_logits,
            .add_scaled = add_scaled,
            .quantize = quantize,
            .exp_all = exp_all,
            .update_largest = update_largest,
            .sum_block = sum_block,
            .count_before = count_before,
            .update_top = update_top,
            .find_above = find_above,
            .find_largest = find_largest};
}

}  // namespace
