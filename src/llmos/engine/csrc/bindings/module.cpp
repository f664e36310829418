// The module llmos.engine._native. Sizes are checked in the bindings, not in the loops.

#include "bindings/arguments.h"
#include "kernels.h"
#include "pool.h"

using namespace nb::literals;
using namespace llmos;

NB_MODULE(_native, m) {
    m.doc() = "The CPU runner and the sampler, in C++. Calls release the GIL while they compute.";

    nb::class_<Pool>(m, "Pool", "A team of threads that forward passes and sampling share.")
        .def(
            "__init__",
            [](Pool* pool, int num_threads) {
                require(num_threads >= 1 && num_threads <= 4096, "a pool has between 1 and 4096 threads");
                new (pool) Pool(num_threads);
            },
            "num_threads"_a)
        .def_prop_ro("num_threads", &Pool::size)
        .def_prop_ro("num_active", &Pool::active,
                     "The threads that take part in the next run: fewer while other processes use the cores.");
    m.def("available_isas", &available_isas, "The kernel paths that this CPU can run, best first.");

    bind_decoder(m);
    bind_encoder(m);
    bind_packing(m);
    bind_sampling(m);
}
