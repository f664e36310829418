// The operations of a forward pass, as a table that each instruction set fills from the same source (ops/).
//
// Every row of every result is computed in an order that depends on nothing but the row itself: the same prompt gives
// the same bits whatever else is in the batch, however it was chunked, and however many threads there are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace llmos {

class PackedMatrix;

constexpr int block_columns = 32;   // columns that share one scale
constexpr int group_rows = 16;      // rows that lie interleaved
constexpr int block_positions = 16; // positions of a block of the KV cache

inline int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// Rows of activations, as floats and as bytes with a scale for each block of 32: x ~ scale * q.
struct Activations {
    float* values;         // [rows][columns]
    int8_t* quantized;     // [rows][columns]
    float* scales;         // [rows][blocks]
    float* scaled_sums;    // [rows][blocks]  scale * sum of the block's q
    int32_t* sums;         // [rows][blocks]  sum of the block's q
    int columns;           // a multiple of 32, padded with zeros
    int blocks() const { return columns / block_columns; }
};

// out[token][row] (+)= weights[row] . x[token] (+ bias[row]), for rows of groups [first_group, last_group).
struct MatmulArgs {
    const PackedMatrix* weights;
    const Activations* x;
    int first_token, last_token;
    int first_group, last_group;
    const float* bias;  // padded to whole groups, or null
    float* out;
    int out_stride;
    bool accumulate;
};

// One key/value head and up to max_rows rows (a row is a token with one query head).
struct AttentionArgs {
    static constexpr int max_rows = 6;
    int num_rows;
    const float* queries[max_rows];  // [head_dim], scaled by 1 / sqrt(head_dim)
    float* outs[max_rows];           // [head_dim]
    int positions[max_rows];         // a row attends to positions first[r] to positions[r]
    int first[max_rows];
    int head_dim, padded_head_dim;
    // Block b of the sequence begins at keys + block_table[b] * block_stride: keys [head_dim][16], then values
    // [16][padded_head_dim], in elements of the cache's type.
    const void* cache;
    const int32_t* block_table;
    int64_t block_stride;
    bool half;       // 16-bit floats, else 32-bit
    float* scores;   // scratch [max_rows][positions, rounded up to a block]
    int scores_stride;
};

enum class ActivationKind { silu, gelu_tanh };

struct Kernels {
    const char* name;
    void (*matmul)(const MatmulArgs& args);
    void (*attend)(const AttentionArgs& args);
    // Keys go transposed into their block, values as they are.
    void (*write_kv)(const float* key, const float* value, int head_dim, int padded_head_dim, int slot, bool half, void* block);
    // columns are a multiple of 16 and padded with zeros; the mean is over the first `size`.
    void (*rms_norm)(const float* x, const float* weight, float epsilon, int size, int columns, float* out);
    void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon, int size, int columns, float* out);
    // out = act(gate) * up, or act(gate) where up is null
    void (*activate)(ActivationKind kind, const float* gate, const float* up, int columns, float* out);
    void (*quantize)(const Activations& x, int row);
    // out[i] = exp((x[i] - highest) * inverse_temperature); returns their sum in double precision, in a fixed order.
    double (*exp_all)(const float* x, int size, float highest, float inverse_temperature, float* out);
    // Appends every i with x[i] > bound, ascending.
    void (*find_above)(const float* x, int size, float bound, std::vector<int32_t>& out);
    // The largest value and the lowest index that has it; index -1 where any value is not a number.
    void (*find_largest)(const float* x, int size, float& value, int32_t& index);
};

// The kernels of this name, or of the best instruction set that the CPU has for "". Throws std::invalid_argument.
const Kernels& find_kernels(const std::string& isa);
// The names of all that this CPU can run, best first.
std::vector<std::string> available_isas();

}  // namespace llmos
