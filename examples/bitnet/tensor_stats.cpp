// SPDX-License-Identifier: Apache-2.0
// Reading of all weights of a file, to tell what looks wrong in it.
#include "tensor_stats.hpp"

#include "failure.hpp"
#include "terminal.hpp"

#include <bitnet/core/thread_pool.hpp>
#include <bitnet/engine/formats.hpp>

#include <algorithm>
#include <cmath>
#include <optional>

namespace cli {
namespace {

struct sums {
  double squares = 0.0;
  double largest = 0.0;
  std::uint64_t not_finite = 0;
};

void add_row(sums& s, std::span<const float> row) {
  float squares = 0.0F;
  float largest = 0.0F;
  for (const float x : row) {
    if (!std::isfinite(x)) {
      ++s.not_finite;
      continue;
    }
    squares += x * x;
    largest = std::max(largest, std::fabs(x));
  }
  s.squares += static_cast<double>(squares);
  s.largest = std::max(s.largest, static_cast<double>(largest));
}

/// Bounds outside which the root mean square of a tensor is unusual. Norms of BitNet models lie
/// between 0.01 (before the first projection) and about 2, those of other families reach tens;
/// projections lie between 0.002 and 0.4. These bounds are wider on purpose.
struct envelope {
  double low, high;
};

envelope usual(std::string_view name, std::string_view architecture) {
  if (name.find("norm") != std::string_view::npos)
    return architecture.starts_with("bitnet") ? envelope{0.005, 10.0} : envelope{0.005, 200.0};
  return {0.0003, 2.0};
}

std::string suspicion(const tensor_stats& stats, const sums& s, std::string_view name,
                      std::string_view architecture) {
  if (s.not_finite != 0) return std::to_string(s.not_finite) + " values are not finite";
  if (s.largest == 0.0 && !name.ends_with(".bias")) return "all values are zero";
  if (!name.ends_with(".weight")) return {};
  const envelope e = usual(name, architecture);
  if (stats.rms >= e.low && stats.rms <= e.high) return {};
  return "RMS " + number(stats.rms, 5) + " is outside the usual " + number(e.low, 4) + " .. " +
         number(e.high, 0);
}

}  // namespace

std::vector<tensor_stats> measure_tensors(const bitnet::gguf::document& document,
                                          std::string_view architecture) {
  auto threads = check(bitnet::thread_pool::make(), "cannot start threads");
  progress bar{"reading weights"};
  std::uint64_t total = 0;
  std::uint64_t done = 0;
  for (const auto* t : document.tensors()) total += t->data.size();

  std::vector<tensor_stats> all;
  std::vector<std::vector<float>> rows(threads.concurrency());
  for (const auto* t : document.tensors()) {
    stop_if_interrupted();
    tensor_stats& stats = all.emplace_back();
    const auto format = bitnet::detail::find_format(t->type);
    done += t->data.size();
    if (!format || t->elements() == 0 || !format->accepts_shape(t->rows(), t->cols())) continue;
    std::vector<sums> parts(t->rows());  // by row, so that the order of additions is fixed
    for (auto& row : rows) row.resize(t->cols());
    const bitnet::quant::packed_rows packed{t->data.data(), t->rows(), t->cols()};
    threads.parallel_for(t->rows(), [&](std::size_t r, std::size_t worker) {
      format->decode_row(packed, r, rows[worker]);
      add_row(parts[r], rows[worker]);
    });
    sums s;
    for (const sums& p : parts) {
      s.squares += p.squares;
      s.largest = std::max(s.largest, p.largest);
      s.not_finite += p.not_finite;
    }
    stats.known = true;
    stats.rms = std::sqrt(s.squares / static_cast<double>(t->elements()));
    stats.largest = s.largest;
    stats.suspicion = suspicion(stats, s, t->name, architecture);
    bar.update(done, total, bytes_text(done));
  }
  return all;
}

}  // namespace cli
