// Paged attention of a few rows over one key/value head.
//
// Scores for all positions first, then one softmax, then the weighted values: each in ascending order of position, so
// that a row's result does not depend on the rows beside it. Positions that a row does not see have a weight of zero.
#pragma once

#include "ops/attention_float.h"
#include "ops/attention_int8.h"

namespace {

using llmos::CacheType;

template <int R> void attend_rows(const AttentionArgs& a) {
    switch (a.layout.type) {
        case CacheType::float32: attend_floats<float, R>(a); break;
        case CacheType::float16: attend_floats<uint16_t, R>(a); break;
        case CacheType::int8: attend_int8<R>(a); break;
    }
}

void attend(const AttentionArgs& a) {
    switch (a.num_rows) {
        case 1: attend_rows<1>(a); break;
        case 2: attend_rows<2>(a); break;
        case 3: attend_rows<3>(a); break;
        case 4: attend_rows<4>(a); break;
        case 5: attend_rows<5>(a); break;
        case 6: attend_rows<6>(a); break;
    }
}

void write_kv(const CacheLayout& layout, const float* key, const float* value, int slot, uint8_t* block) {
    switch (layout.type) {
        case CacheType::float32: write_floats<float>(layout, key, value, slot, block); break;
        case CacheType::float16: write_floats<uint16_t>(layout, key, value, slot, block); break;
        case CacheType::int8: write_int8(layout, key, value, slot, block); break;
    }
}

}  // namespace
