// SPDX-License-Identifier: Apache-2.0
// Quantization-aware training of small models, on Eigen: everything of train/.
#pragma once

#include <bitnet/train/trainer.hpp>
