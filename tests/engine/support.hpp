// SPDX-License-Identifier: Apache-2.0
// What the engine's tests share: golden files, comparisons, and logits of a model in one call.
#pragma once

#include <bitnet/bitnet.hpp>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace testing {

inline std::string read_text(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::ostringstream all;
  all << in.rdbuf();
  return all.str();
}

/// Those of these numbers of threads that the platform has: one without threads has 1.
inline std::vector<std::size_t> thread_counts(std::vector<std::size_t> counts) {
#if defined(__EMSCRIPTEN__)
  counts.resize(1);
#endif
  return counts;
}

/// Two threads, or one where the platform has no more.
inline std::size_t two_threads() { return thread_counts({1, 2}).back(); }

inline bool exists(const std::string& path) { return std::ifstream{path}.good(); }

template <class T>
std::vector<T> read_values(const std::string& path) {
  const std::string bytes = read_text(path);
  std::vector<T> values(bytes.size() / sizeof(T));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

/// White-space or comma separated ids.
inline std::vector<bitnet::token> read_tokens(std::string text) {
  for (char& c : text)
    if (c == ',') c = ' ';
  std::istringstream in{text};
  std::vector<bitnet::token> ids;
  for (bitnet::token t; in >> t;) ids.push_back(t);
  return ids;
}

/// Root mean square of a - b over that of b; infinite if the sizes differ or a value is not finite.
inline double relative_rms(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) return HUGE_VAL;
  double difference = 0.0;
  double size = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return HUGE_VAL;
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    size += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(difference / size);
}

/// How rows of logits compare with exact ones.
struct agreement {
  double mean_kld = 0.0;         ///< Kullback-Leibler divergence of the softmaxes
  std::size_t wrong_argmax = 0;  ///< where the exact top two are further apart than the margin
};

inline agreement compare_rows(const std::vector<float>& a, const std::vector<float>& exact,
                              std::size_t vocab, double margin) {
  agreement result;
  const std::size_t rows = exact.size() / vocab;
  for (std::size_t r = 0; r < rows; ++r) {
    const float* x = a.data() + r * vocab;
    const float* e = exact.data() + r * vocab;
    std::size_t best_x = 0;
    std::size_t best_e = 0;
    for (std::size_t i = 1; i < vocab; ++i) {
      if (x[i] > x[best_x]) best_x = i;
      if (e[i] > e[best_e]) best_e = i;
    }
    double second = -HUGE_VAL;
    double sum_x = 0.0;
    double sum_e = 0.0;
    for (std::size_t i = 0; i < vocab; ++i) {
      if (i != best_e) second = std::max(second, static_cast<double>(e[i]));
      sum_x += std::exp(static_cast<double>(x[i] - x[best_x]));
      sum_e += std::exp(static_cast<double>(e[i] - e[best_e]));
    }
    for (std::size_t i = 0; i < vocab; ++i) {
      const double log_e = static_cast<double>(e[i] - e[best_e]) - std::log(sum_e);
      const double log_x = static_cast<double>(x[i] - x[best_x]) - std::log(sum_x);
      result.mean_kld += std::exp(log_e) * (log_e - log_x) / static_cast<double>(rows);
    }
    if (best_x != best_e && static_cast<double>(e[best_e]) - second > margin) ++result.wrong_argmax;
  }
  return result;
}

/// Logits of every position; fails the calling test if something goes wrong.
inline std::vector<float> all_logits(const bitnet::dynamic_model& model,
                                     std::span<const bitnet::token> tokens, bitnet::nn::kv_type kv,
                                     std::size_t batch = 64,
                                     bitnet::executor_ref* threads = nullptr) {
  std::vector<float> logits;
  auto s = bitnet::session<bitnet::dynamic_model>::make(
      model, threads != nullptr ? *threads : model.threads(),
      {.context = tokens.size() + 3, .batch = batch, .kv = kv});
  if (!s) return logits;
  const auto scored = s->score(tokens, [&](std::size_t, std::span<const float> row) {
    logits.insert(logits.end(), row.begin(), row.end());
  });
  if (!scored) logits.clear();
  return logits;
}

/// A conformance model of the manifest.
struct golden_model {
  std::string name;
  std::string path;  ///< without the extension
  std::size_t vocab = 0;
  double tolerance = 0.0;
  double tolerance_kld = 0.0;
  double argmax_margin = 0.0;

  [[nodiscard]] std::vector<bitnet::token> tokens() const {
    return read_tokens(read_text(path + ".tokens.txt"));
  }
  [[nodiscard]] std::vector<float> logits(const std::string& oracle) const {
    return read_values<float>(path + "." + oracle + ".f32");
  }
  [[nodiscard]] bool has(const std::string& oracle) const {
    return exists(path + "." + oracle + ".f32");
  }
};

/// The models to test: all of the shared suite where it is there and wanted, else the own tree's.
inline std::vector<golden_model> golden_models() {
  const std::string shared = std::string{BITNET_SHARED_DIR} + "/conformance/models/";
  const std::string own = std::string{BITNET_TEST_DATA_DIR} + "/models/";
  const bool all = BITNET_TEST_ALL_MODELS != 0 && exists(shared + "manifest.tsv");
  const std::string folder = all ? shared : own;
  std::istringstream lines{read_text(folder + "manifest.tsv")};
  std::vector<golden_model> models;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream fields{line};
    golden_model m;
    std::string skip;
    std::string count;
    fields >> m.name >> skip >> skip >> count >> m.vocab >> skip >> skip >> skip >> m.tolerance >>
        m.tolerance_kld >> m.argmax_margin;
    m.path = folder + m.name;
    models.push_back(m);
  }
  return models;
}

/// The file of the first of them whose name starts so; empty if there is none.
inline std::string golden_path(std::string_view start) {
  for (const auto& m : golden_models())
    if (m.name.starts_with(start)) return m.path + ".gguf";
  return {};
}

/// It opened. 0 threads: as many as bitnet::open takes.
inline bitnet::result<bitnet::dynamic_model> small_model(std::string_view start,
                                                         std::size_t threads = 0,
                                                         std::string_view isa = {}) {
  bitnet::open_options options;
  options.threads = threads;
  options.isa = isa;
  return bitnet::open(golden_path(start), options);
}

/// Tokens [first, first + n) of a sequence without end, all in the vocabulary of every such model.
inline std::vector<bitnet::token> tokens_from(std::size_t first, std::size_t n) {
  std::vector<bitnet::token> t;
  for (std::size_t i = first; i < first + n; ++i)
    t.push_back(static_cast<bitnet::token>(3 + 11 * i % 83));
  return t;
}

inline std::vector<float> logits_of(bitnet::session<bitnet::dynamic_model>& s) {
  return {s.logits().begin(), s.logits().end()};
}

}  // namespace testing
