// A decoder's spec from Python: engine/spec.py's DecoderSpec.
#pragma once

#include <vector>

#include "bindings/arguments.h"
#include "decoder/spec.h"

namespace llmos {

// Reads and checks the fields; throws std::invalid_argument. inverse_frequencies stay empty.
Spec decoder_spec_from(nb::handle fields);

// The same with inverse_frequencies [rotations][pairs].
Spec decoder_spec_from(nb::handle fields, std::vector<std::vector<double>> inverse_frequencies);

}  // namespace llmos
