// The operations of a forward pass, as a table that each instruction set fills from the same source (ops/).
//
// The order in which a row of a result is computed depends on nothing but the row: the same prompt gives the same bits
// whatever else is in the batch, in whatever chunks it was computed, and with any number of threads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace llmos {

class PackedMatrix;

constexpr int block_columns = 32;    // columns that share one scale
constexpr int group_rows = 16;       // rows that are interleaved in memory
constexpr int block_positions = 16;  // positions of a block of the KV cache

inline int round_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }

// Rows of activations, as floats and as bytes with a scale for each block of 32: x ~ scale * q.
struct Activations {
    float* values;       // [rows][columns], filled only where a product of floats reads them
    int8_t* quantized;   // [rows][columns]
    float* scales;       // [rows][blocks]
    float* scaled_sums;  // [rows][blocks]  scale * sum of the block's q
    int32_t* sums;       // [rows][blocks]  sum of the block's q
    int32_t* half_sums;  // [rows][blocks]  sum of the first 16 of them
    int columns;         // a multiple of 32, padded with zeros
    int blocks() const { return columns / block_columns; }
};

// out[token][row] (+)= weights[row] . x[token] (+ bias[row]), for rows of groups [first_group, last_group).
struct MatmulArgs {
    const PackedMatrix* weights;
    const Activations* x;
    int first_token, last_token;
    int first_group, last_group;
    const float* bias;  // of the whole matrix, padded to whole groups, or null
    float* out;         // of first_token and the first row of first_group
    int out_stride;
    bool accumulate;
};

enum class CacheType { float32, float16, int8 };

// One block of one key/value head: sixteen positions.
//
//   floats   keys [head_dim][16], then values [16][padded_head_dim]
//   int8     keys [head_dim / 4][16][4], unsigned (k + 128), then values [4][padded_head_dim][4 positions], signed,
//            then the scales of the keys [16] and of the values [16], floats: one for each position
struct CacheLayout {
    CacheType type;
    int head_dim;
    int padded_head_dim() const { return round_up(head_dim, 16); }
    int quads() const { return (head_dim + 3) / 4; }
    size_t values_offset() const {
        return type == CacheType::int8 ? size_t(quads()) * 64 : 16 * size_t(head_dim) * element();
    }
    size_t scales_offset() const { return values_offset() + 16 * size_t(padded_head_dim()); }  // int8 only
    size_t bytes() const {
        return type == CacheType::int8 ? scales_offset() + 128
                                       : values_offset() + 16 * size_t(padded_head_dim()) * element();
    }

  private:
    size_t element() const { return type == CacheType::float32 ? 4 : 2; }
};

// One key/value head and up to max_rows rows (a row is a token with one query head).
struct AttentionArgs {
    static constexpr int max_rows = 6;
    int num_rows;
    const float* queries[max_rows];  // [padded_head_dim], padded with zeros, times the scale of the scores
    float* outs[max_rows];           // [head_dim]
    int positions[max_rows];         // a row attends to positions first[r] to positions[r]
    int first[max_rows];
    CacheLayout layout;
    // Block b of the sequence begins at cache + block_table[b] * block_stride.
    const uint8_t* cache;
    const int32_t* block_table;
    size_t block_stride;
    float* scores;  // scratch [max_rows][positions, rounded up to a block]
    int scores_stride;
    // Keys and values to prefetch into the CPU's cache while these are computed; null: none.
    const uint8_t* next_cache;
    const int32_t* next_block_table;
    int next_num_blocks;
    int8_t* query_bytes;  // scratch [max_rows][padded_head_dim]
    float softcap;        // scores become softcap * tanh(score / softcap); 0: unchanged
    bool has_sinks;
    float sinks[max_rows];  // a score that takes part in a row's softmax and has no value
};

// A causal convolution of sixteen channels of one sequence, each with taps of its own, in place:
//   x[t] = out_gate[t] * act(bias + sum over j of taps[j] * in[t - last + j]), with in = in_gate * x
struct ConvolutionArgs {
    static constexpr int max_taps = 16;
    int num_tokens, num_taps;
    float* x;                         // [tokens][stride], the first of the sixteen channels
    const float *in_gate, *out_gate;  // [tokens][stride] alike; null: 1
    int stride;
    float taps[max_taps][group_rows], bias[group_rows];
    bool is_activated;  // by SiLU
    float* before;      // [num_taps - 1][before_stride]: the last inputs, which are replaced
    int before_stride;
};

// The state of one head of one sequence, [key_size][stride]: some columns of it, over several tokens. For each token:
//   state *= decay;  state += key x (correction * (value - key . state)), or key x (correction * value);
//   out = query . state + skip * value
struct RecurrenceArgs {
    int num_tokens, key_size, num_columns;  // columns: a multiple of 16, up to max_columns
    static constexpr int max_columns = 64;
    bool subtracts_prediction;             // the first kind (delta), else the second (mamba)
    const float *keys, *queries, *values;  // of the first token
    int key_stride, value_stride, out_stride;
    const float *decays, *corrections;  // of the first token
    int factor_stride;
    float skip;
    float* state;
    int state_stride;
    float* out;
};

// The largest of the logits seen so far, lane by lane. The largest of all lanes is what find_largest returns where all
// logits are finite.
struct alignas(64) Largest {
    float value[group_rows];
    float not_finite[group_rows];  // 0, or NaN after a logit that is not finite
    int32_t group[group_rows];     // the lane's token is 16 * group + lane
};

// A row of logits is summed in blocks of so many, one after another, wherever its log-probabilities are made: their bits
// don't depend on who makes them. A multiple of group_rows.
constexpr int logit_block = 1024;

// The sums that the distribution over a block of a row's logits is made of; see row_sums.h.
struct BlockSums {
    double exps;      // the sum of exp(x - highest)
    double weighted;  // the sum of exp(x - highest) * (x - highest)
    float highest;
    bool is_finite;  // all logits of the block are
};

// The largest logits of a row that were seen so far, best first; of equal ones the lowest token comes first. What it
// holds in the end does not depend on the order in which they were seen.
struct TopLogits {
    static constexpr int max_count = 20;
    int32_t count;
    int32_t ids[max_count];
    float logits[max_count];
};

enum class ActivationKind { silu, gelu_tanh, gelu, relu_squared, clamped_swiglu };

struct Kernels {
    const char* name;
    void (*matmul)(const MatmulArgs& args);
    void (*attend)(const AttentionArgs& args);
    // Stores the key and value of one position, [padded_head_dim] padded with zeros, in slot `slot` of a block.
    void (*write_kv)(const CacheLayout& layout, const float* key, const float* value, int slot, uint8_t* block);
    // Rotary positions (Su et al. 2021), dimension i with i + half_dim; then everything times `scale`.
    void (*rotate)(const float* head, const float* cosine, const float* sine, int half_dim, int head_dim, float scale,
                   float* out);
    // `columns` is a multiple of 16, padded with zeros; the mean is over the first `size`.
    void (*rms_norm)(const float* x, const float* weight, float epsilon, int size, int columns, float* out);
    void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon, int size, int columns,
                       float* out);
    // out = act(gate) * up, or act(gate) where up is null
    void (*activate)(ActivationKind kind, const float* gate, const float* up, int size, float* out);
    // x *= sigmoid(gate)
    void (*multiply_sigmoid)(const float* gate, int size, float* x);
    void (*convolve)(const ConvolutionArgs& args);
    void (*recur)(const RecurrenceArgs& args);
    // x = cap * tanh(multiplier * x / cap), or multiplier * x for a cap of 0; size is a multiple of 16.
    void (*cap_logits)(float* x, int size, float multiplier, float cap);
    // to += multiplier * x; size is a multiple of 16.
    void (*add_scaled)(const float* x, int size, float multiplier, float* to);
    // Stores blocks [first, last) of a row, from values [(last - first) * 32]. A block with a NaN gets NaN as its
    // scale.
    void (*quantize)(const float* values, const Activations& x, int row, int first_block, int last_block);
    // out[i] = exp((x[i] - highest) * inverse_temperature); returns their sum in double precision, in a fixed order.
    double (*exp_all)(const float* x, int size, float highest, float inverse_temperature, float* out);
    // Updates `largest` with x[size], the logits of the tokens from first_token (a multiple of 16) on.
    void (*update_largest)(const float* x, int size, int first_token, Largest& largest);
    // Sums x[size], at most logit_block. Where logits are minus infinity and others are not, `exps` is right.
    void (*sum_block)(const float* x, int size, BlockSums& sums);
    // The number of logits in x[size], those of the tokens from first_token on, that come before `token`, whose logit is
    // `logit`: the larger ones, and equal ones of lower tokens.
    int (*count_before)(const float* x, int size, int first_token, float logit, int token);
    // Updates the `capacity` largest logits with x[size], those of the tokens from first_token on.
    void (*update_top)(const float* x, int size, int first_token, int capacity, TopLogits& top);
    // Appends every i with x[i] > bound, ascending.
    void (*find_above)(const float* x, int size, float bound, std::vector<int32_t>& out);
    // The largest value and the lowest index that has it; index -1 where any value is NaN or plus infinity.
    void (*find_largest)(const float* x, int size, float& value, int32_t& index);
};

// The kernels of this name; for "" those of the best instruction set that the CPU has. Throws std::invalid_argument.
const Kernels& find_kernels(const std::string& isa);
// The names of all kernels that this CPU can run, best first.
std::vector<std::string> available_isas();

}  // namespace llmos
