// The rows that attention fills, head by head, for the product after it; and a thread's working memory for it.
#pragma once

#include <cstddef>

#include "buffer.h"
#include "kernels.h"
#include "transformer/projection.h"

namespace llmos {

// If a head's columns are whole blocks of 32, the thread that computed the head also quantizes it. Otherwise a block
// spans two heads: all heads are stored as floats first, and quantized in a phase of their own.
struct AttendedRows {
    Activations rows;      // [tokens][heads * head_dim, padded to whole blocks]
    InputFormats formats;  // that the next product reads
    int head_dim;

    bool heads_are_blocks() const { return head_dim % block_columns == 0; }

    // The place that a head is written to: its row, or `scratch` where the row has no floats.
    float* out(int token, int head, float* scratch) const {
        if (!formats.float32 && heads_are_blocks()) return scratch;
        return rows.values + size_t(token) * rows.columns + size_t(head) * head_dim;
    }

    void quantize_head(const Kernels& kernels, const float* head_values, int token, int head) const {
        const int blocks = head_dim / block_columns;
        kernels.quantize(head_values, rows, token, head * blocks, (head + 1) * blocks);
    }
    bool quantizes_heads() const { return formats.int8 && heads_are_blocks(); }
};

// A thread's working memory for AttentionArgs::max_rows rows that attend together.
struct AttentionScratch {
    Buffer heads;       // [max_rows][padded_head_dim], the padding zeros from the beginning
    Buffer head_bytes;  // [max_rows][padded_head_dim]
    Buffer outs;        // [max_rows][head_dim]
    Buffer scores;      // [max_rows][positions], grows with the longest sequence

    void reserve_heads(const CacheLayout& layout) {
        const size_t values = size_t(AttentionArgs::max_rows) * layout.padded_head_dim();
        heads = Buffer(values * sizeof(float));
        head_bytes = Buffer(values);
        outs = Buffer(values * sizeof(float));
    }
    void reserve_scores(int positions) { scores = Buffer(size_t(AttentionArgs::max_rows) * positions * sizeof(float)); }

    float* head(int index, const CacheLayout& layout) const {
        return heads.as<float>() + size_t(index) * layout.padded_head_dim();
    }
    float* out(int index, int head_dim) const { return outs.as<float>() + size_t(index) * head_dim; }
};

}  // namespace llmos
