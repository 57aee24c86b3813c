// SPDX-License-Identifier: Apache-2.0
// Reads all that a parsed GGUF file points to, and writes it again: shared by tests and fuzzing.
#pragma once

#include <bitnet/gguf/parser.hpp>
#include <bitnet/gguf/sink.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

namespace gguf_test {

/// Reads everything that a parsed file points to, so that a wrong bound shows. The sum depends on
/// all of it, so that no read is optimized away.
inline std::uint64_t touch(const bitnet::gguf::file& f) {
  using namespace bitnet::gguf;
  std::uint64_t sum = 0;
  const auto add = [&](const auto& r) {
    if (r) sum += static_cast<std::uint64_t>(static_cast<std::int64_t>(*r));
  };
  const auto add_all = [&]<class T>(std::type_identity<T>, const metadata_value& v) {
    const auto r = v.template as<array_view<T>>();
    if (!r) return;
    for (const T x : *r) {
      if constexpr (std::is_same_v<T, std::string_view>) {
        for (const char c : x) sum = sum * 31 + static_cast<unsigned char>(c);
      } else if constexpr (std::is_floating_point_v<T>) {
        sum += x > T{0} ? 1U : 0U;
      } else {
        sum += static_cast<std::uint64_t>(x);
      }
    }
  };
  for (const auto& [key, v] : f.meta()) {
    for (const char c : key) sum = sum * 31 + static_cast<unsigned char>(c);
    add(v.as<bool>(key));
    add(v.as<std::int8_t>(key));
    add(v.as<std::uint32_t>(key));
    add(v.as<std::int64_t>(key));
    if (const auto x = v.as<float>(key)) sum += *x > 0.0F ? 1U : 0U;
    if (const auto s = v.as<std::string_view>(key)) sum += s->size();
    add_all(std::type_identity<bool>{}, v);
    add_all(std::type_identity<std::uint8_t>{}, v);
    add_all(std::type_identity<std::int16_t>{}, v);
    add_all(std::type_identity<std::int32_t>{}, v);
    add_all(std::type_identity<std::uint64_t>{}, v);
    add_all(std::type_identity<float>{}, v);
    add_all(std::type_identity<double>{}, v);
    add_all(std::type_identity<std::string_view>{}, v);
    if (f.meta().find(key) != &v) sum += 1;
  }
  for (const tensor_info& t : f.tensors()) {
    sum += t.elements() + t.name.size() + (f.find(t.name) == &t ? 1U : 0U);
    if (!t.data.empty())
      sum += static_cast<std::uint64_t>(t.data.front()) + static_cast<std::uint64_t>(t.data.back());
  }
  return sum;
}

/// Writes keys and tensors of a file anew.
inline bitnet::status rewrite(const bitnet::gguf::file& f, bitnet::gguf::memory_sink& sink) {
  bitnet::gguf::writer w;
  for (const auto& [key, value] : f.meta()) BITNET_CHECK(w.set(key, value));
  for (const auto& t : f.tensors())
    BITNET_CHECK(w.add_tensor(t.name, std::span{t.dims}.first(t.n_dims), t.type));
  BITNET_TRY(auto out, w.begin(sink));
  for (const auto& t : f.tensors()) BITNET_CHECK(out.write(t.data));
  return out.finish();
}

/// Whether two files hold the same keys, values and tensors in the same order.
inline bool same(const bitnet::gguf::file& a, const bitnet::gguf::file& b) {
  const auto equal = [](std::span<const std::byte> x, std::span<const std::byte> y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end());
  };
  return a.alignment() == b.alignment() &&
         std::equal(a.meta().begin(), a.meta().end(), b.meta().begin(), b.meta().end(),
                    [&](const auto& x, const auto& y) {
                      return x.key == y.key && x.value.type() == y.value.type() &&
                             equal(x.value.encoded(), y.value.encoded());
                    }) &&
         std::equal(a.tensors().begin(), a.tensors().end(), b.tensors().begin(), b.tensors().end(),
                    [&](const auto& x, const auto& y) {
                      return x.name == y.name && x.dims == y.dims && x.n_dims == y.n_dims &&
                             x.type == y.type && equal(x.data, y.data);
                    });
}

}  // namespace gguf_test
