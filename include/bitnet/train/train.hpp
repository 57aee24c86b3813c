// SPDX-License-Identifier: Apache-2.0
// Quantization-aware training of small models, on Eigen: everything of train/.
#pragma once

#include <bitnet/train/bpe_trainer.hpp>
#include <bitnet/train/checkpoint.hpp>
#include <bitnet/train/dataset.hpp>
#include <bitnet/train/export.hpp>
#include <bitnet/train/plot.hpp>
#include <bitnet/train/trainer.hpp>
