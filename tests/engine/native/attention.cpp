// Attention over a paged cache of each type.
#include "buffer.h"
#include "comparison.h"
#include "inputs.h"

namespace llmos::test {
namespace {

constexpr int num_blocks = 13, num_positions = num_blocks * block_positions - 5;

const char* name_of(CacheType type) {
    return type == CacheType::float32 ? "float32" : type == CacheType::float16 ? "float16" : "int8";
}

// A row of a head, padded with zeros.
std::vector<float> head_of(Inputs& inputs, const CacheLayout& layout, bool at_edges) {
    std::vector<float> out = at_edges ? inputs.edges(size_t(layout.padded_head_dim()), false)
                                      : inputs.numbers(size_t(layout.padded_head_dim()), 2);
    std::fill(out.begin() + layout.head_dim, out.end(), 0.0f);
    return out;
}

void compare_write(Comparison& comparison, Inputs& inputs, const CacheLayout& layout) {
    for (bool at_edges : {false, true}) {
        const std::vector<float> key = head_of(inputs, layout, at_edges), value = head_of(inputs, layout, at_edges);
        for (int slot : {0, 7, 15})
            comparison.same(std::string("write_kv ") + name_of(layout.type) + std::to_string(layout.head_dim),
                            [&](const Kernels& kernels) {
                                std::vector<uint8_t> block(layout.bytes() + 64, 0xa5);
                                kernels.write_kv(layout, key.data(), value.data(), slot, block.data());
                                return block;
                            });
    }
}

// A cache whose blocks lie in any order; what was never written is NaN. `broken`: one position's key is NaN.
struct Cache {
    Buffer memory;
    size_t stride;
    std::vector<int32_t> table;

    Cache(const Kernels& kernels, Inputs& inputs, const CacheLayout& layout, bool broken)
        : memory(round_up(int(layout.bytes()), 64) * num_blocks), stride(round_up(int(layout.bytes()), 64)) {
        std::fill_n(memory.as<uint8_t>(), memory.bytes(), 0xff);
        for (int b = 0; b < num_blocks; ++b) table.push_back((b * 8 + 3) % num_blocks);
        for (int position = 0; position < num_positions; ++position) {
            std::vector<float> key = head_of(inputs, layout, false), value = head_of(inputs, layout, false);
            if (broken && position == 100) key[1] = nan;
            kernels.write_kv(layout, key.data(), value.data(), position % block_positions,
                             memory.as<uint8_t>() + size_t(table[position / block_positions]) * stride);
        }
    }
};

void compare_attend(Comparison& comparison, Inputs& inputs, const CacheLayout& layout, bool broken) {
    const Cache cache(comparison.reference(), inputs, layout, broken);
    const size_t padded = size_t(layout.padded_head_dim());
    constexpr size_t scores_stride = num_blocks * block_positions;
    for (int num_rows = 1; num_rows <= AttentionArgs::max_rows; ++num_rows)
        for (int variant = 0; variant < 3; ++variant) {
            AttentionArgs args{};
            std::vector<std::vector<float>> queries;
            args.num_rows = num_rows;
            for (int r = 0; r < num_rows; ++r) {
                queries.push_back(head_of(inputs, layout, false));
                args.queries[r] = queries.back().data();
                args.positions[r] = inputs.below(num_positions);
                args.first[r] = variant == 1 ? std::max(0, args.positions[r] - inputs.below(90)) : 0;
                args.sinks[r] = inputs.number(3);
            }
            args.layout = layout;
            args.cache = cache.memory.as<uint8_t>();
            args.block_table = cache.table.data();
            args.block_stride = cache.stride;
            args.scores_stride = scores_stride;
            if (variant == 2) {
                args.next_cache = args.cache;
                args.next_block_table = args.block_table;
                args.next_num_blocks = 5;
            }
            args.softcap = variant == 1 ? 20.0f : 0;
            args.has_sinks = variant == 2;
            const std::string what = std::string("attend ") + name_of(layout.type) + " head of " +
                                     std::to_string(layout.head_dim) + ", " + std::to_string(num_rows) + " rows" +
                                     (broken ? ", broken" : "");
            comparison.same(what, [&](const Kernels& kernels) {
                std::vector<float> out(num_rows * (padded + 16), 7.0f), scores(num_rows * scores_stride);
                std::vector<int8_t> query_bytes(num_rows * padded);
                for (int r = 0; r < num_rows; ++r) args.outs[r] = out.data() + size_t(r) * (padded + 16);
                args.scores = scores.data();
                args.query_bytes = query_bytes.data();
                kernels.attend(args);
                return out;
            });
        }
}

}  // namespace

void compare_attention(Comparison& comparison) {
    Inputs inputs(3);
    for (CacheType type : {CacheType::float32, CacheType::float16, CacheType::int8})
        for (int head_dim : {16, 18, 100}) {
            const CacheLayout layout{type, head_dim};
            compare_write(comparison, inputs, layout);
            compare_attend(comparison, inputs, layout, false);
            if (head_dim == 18) compare_attend(comparison, inputs, layout, true);
        }
}

}  // namespace llmos::test
