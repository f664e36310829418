// A decoder's spec from Python: engine/spec.py's DecoderSpec.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "bindings/arguments.h"
#include "decoder/spec.h"

namespace llmos {

// A part of the layers: the first, and the one behind the last.
using Stage = std::optional<std::pair<int, int>>;

// Reads and checks the fields; throws std::invalid_argument. inverse_frequencies stay empty.
Spec decoder_spec_from(nb::handle fields, const Stage& stage = {});

// The same with inverse_frequencies [rotations][pairs].
Spec decoder_spec_from(nb::handle fields, std::vector<std::vector<double>> inverse_frequencies, const Stage& stage);

}  // namespace llmos
