// SPDX-License-Identifier: Apache-2.0
// Decoded rows and products against the operator data of the conformance models.
#include "doctest.hpp"

#include <bitnet/gguf/parser.hpp>
#include <bitnet/quant/any.hpp>

#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace bitnet;
using namespace bitnet::quant;

template <class T>
std::vector<T> read_file(const std::string& path) {
  std::vector<T> out;
  std::FILE* f = std::fopen(path.c_str(), "rb");
  if (f == nullptr) return out;
  std::fseek(f, 0, SEEK_END);
  out.resize(static_cast<std::size_t>(std::ftell(f)) / sizeof(T));
  std::fseek(f, 0, SEEK_SET);
  const std::size_t got = std::fread(out.data(), sizeof(T), out.size(), f);
  std::fclose(f);
  out.resize(got);
  return out;
}

struct listed_model {
  std::string name;
  std::string linear_type;
};
std::vector<listed_model> list_models(const std::string& folder) {
  const auto text = read_file<char>(folder + "/manifest.tsv");
  std::vector<listed_model> out;
  for (auto at = text.begin(); at != text.end();) {
    const auto end = std::find(at, text.end(), '\n');
    const std::string line{at, end};
    at = end == text.end() ? end : end + 1;
    if (line.empty() || line[0] == '#') continue;
    const std::size_t first = line.find('\t');
    const std::size_t second = line.find('\t', first + 1);
    const std::size_t third = line.find('\t', second + 1);
    out.push_back({line.substr(0, first), line.substr(second + 1, third - second - 1)});
  }
  return out;
}

format_id id_of(const gguf::tensor_info& tensor) {
  if (tensor.type == gguf::tensor_type::q2_0_g128) return format_id::q2_0_g128;
  return static_cast<format_id>(tensor.type);
}

double relative_rms(const std::vector<double>& got, const float* expected) {
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double e = static_cast<double>(expected[i]);
    difference += (got[i] - e) * (got[i] - e);
    size += e * e;
  }
  return std::sqrt(difference / size);
}

/// `decoded` is the row by decode_row; the expected one is stored.
void check_row(const std::vector<float>& decoded, const float* expected, bool exact) {
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    const bool good = exact ? decoded[i] == expected[i]
                            : std::fabs(decoded[i] - expected[i]) <=
                                  1e-6F * std::max(1.0F, std::fabs(expected[i]));
    wrong += good ? 0U : 1U;
  }
  CHECK(wrong == 0);
}

void check_model(const std::string& folder, const listed_model& model) {
  const std::string path = folder + "/" + model.name;
  CAPTURE(path);
  const auto bytes = read_file<std::byte>(path + ".gguf");
  const auto file = gguf::parse(bytes);
  REQUIRE(file);
  if (!file) return;
  const gguf::tensor_info* tensor = file->find("blk.1.ffn_down.weight");
  REQUIRE(tensor != nullptr);
  if (tensor == nullptr) return;
  const auto format = find_format(id_of(*tensor));
  REQUIRE(format);
  if (!format) return;

  const packed_rows w{tensor->data.data(), tensor->rows(), tensor->cols()};
  REQUIRE(format->accepts_shape(w.rows, w.cols));
  REQUIRE(format->tensor_bytes(w.rows, w.cols) == tensor->data.size());
  const auto op = read_file<float>(path + ".op.f32");
  REQUIRE(op.size() == 3 * w.cols + 2 * w.rows);
  if (op.size() != 3 * w.cols + 2 * w.rows) return;
  const float* x = op.data();
  const float* products = x + w.cols;
  const float* rows = products + 2 * w.rows;

  std::vector<float> decoded(w.cols);
  std::vector<double> y(w.rows);
  const bool exact = model.linear_type != "q4_k" && model.linear_type != "q6_k";
  for (std::size_t r = 0; r < w.rows; ++r) {
    format->decode_row(w, r, decoded);
    for (std::size_t c = 0; c < w.cols; ++c)
      y[r] += static_cast<double>(decoded[c]) * static_cast<double>(x[c]);
    if (r == 0) check_row(decoded, rows, exact);
    if (r == w.rows - 1) check_row(decoded, rows + w.cols, exact);
  }
  CHECK(relative_rms(y, products) < 1e-6);

  // The tiles give the same product.
  if (!format->tileable) return;
  serial_executor serial;
  const auto tiled = format->make_tiled(w, serial, tensor->name);
  REQUIRE(tiled);
  if (!tiled) return;
  const tiled_view v = tiled->view();
  std::fill(y.begin(), y.end(), 0.0);
  for (std::size_t r = 0; r < w.rows; ++r)
    for (std::size_t c = 0; c < w.cols; ++c)
      y[r] += static_cast<double>(weight_at(v, r, c)) * static_cast<double>(x[c]);
  CHECK(relative_rms(y, products) < 1e-6);
}

}  // namespace

TEST_CASE("decoded rows and products of the models in tests/data") {
  const std::string folder = std::string{BITNET_TEST_DATA_DIR} + "/models";
  const auto models = list_models(folder);
  REQUIRE(models.size() >= 10);
  for (const auto& model : models) check_model(folder, model);
}

TEST_CASE("decoded rows and products of the whole conformance suite") {
  const std::string shared{BITNET_SHARED_DIR};
  if (shared.empty()) {
    MESSAGE("the shared data folder is absent; only the models in tests/data were checked");
    return;
  }
  const std::string folder = shared + "/conformance/models";
  const auto models = list_models(folder);
  REQUIRE(models.size() >= 28);
  for (const auto& model : models) check_model(folder, model);
}
