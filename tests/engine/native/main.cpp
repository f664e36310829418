// Compares every operation of every kernel path that this CPU has with the portable path, to the bit.
//
//   compare_kernels [PATH...]     with PATHs, fails unless the CPU has exactly these besides "portable", best first
#include <algorithm>

#include "comparison.h"

using namespace llmos;

int main(int argc, char** argv) {
    const std::vector<std::string> expected(argv + 1, argv + argc);
    std::vector<std::string> isas = available_isas();
    std::erase(isas, "portable");
    if (!expected.empty() && isas != expected) {
        std::printf("This CPU's kernel paths are:");
        for (const std::string& isa : isas) std::printf(" %s", isa.c_str());
        std::printf("\n");
        return 2;
    }
    std::vector<const Kernels*> tested;
    for (const std::string& isa : isas) tested.push_back(&find_kernels(isa));
    test::Comparison comparison(find_kernels("portable"), tested);
    test::compare_matmul(comparison);
    test::compare_attention(comparison);
    test::compare_rows(comparison);
    test::compare_recurrence(comparison);
    test::compare_sampling(comparison);
    std::printf("%d operations, %d differences\n", comparison.count(), comparison.failures());
    return comparison.failures() ? 1 : 0;
}
