// SPDX-License-Identifier: Apache-2.0
// Builds GGUF bytes field by field, right or wrong, without the library's writer.
#pragma once

#include <bitnet/gguf/parser.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace gguf_test {

class raw_gguf {
 public:
  std::vector<std::byte> bytes;

  raw_gguf() = default;
  raw_gguf(std::uint64_t n_tensors, std::uint64_t n_keys, std::uint32_t version = 3) {
    text("GGUF").put(version).put(n_tensors).put(n_keys);
  }

  template <class T>
  raw_gguf& put(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto b = std::as_bytes(std::span{&value, 1});
    bytes.insert(bytes.end(), b.begin(), b.end());
    return *this;
  }
  raw_gguf& text(std::string_view s) {
    for (const char c : s) bytes.push_back(static_cast<std::byte>(c));
    return *this;
  }
  raw_gguf& string(std::string_view s) { return put(std::uint64_t{s.size()}).text(s); }
  raw_gguf& key(std::string_view k, std::uint32_t type) { return string(k).put(type); }
  raw_gguf& key(std::string_view k, bitnet::gguf::value_type type) {
    return key(k, static_cast<std::uint32_t>(type));
  }
  template <class T>
  raw_gguf& key(std::string_view k, bitnet::gguf::value_type type, T value) {
    return key(k, type).put(value);
  }
  raw_gguf& array(std::string_view k, std::uint32_t element, std::uint64_t count) {
    return key(k, bitnet::gguf::value_type::array).put(element).put(count);
  }
  raw_gguf& tensor(std::string_view name, std::initializer_list<std::uint64_t> dims,
                   std::uint32_t type, std::uint64_t offset) {
    string(name).put(static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t d : dims) put(d);
    return put(type).put(offset);
  }
  /// Pads to the data section and appends zeros as data.
  raw_gguf& data(std::size_t size, std::size_t alignment = 32) {
    while (bytes.size() % alignment != 0) bytes.push_back({});
    bytes.resize(bytes.size() + size);
    return *this;
  }

  /// The tables point into this object and are valid until the next call.
  bitnet::result<bitnet::gguf::file> parse() const&& = delete;
  [[nodiscard]] bitnet::result<bitnet::gguf::file> parse() const& {
    // An exact copy, so that a sanitizer sees a read behind the end.
    exact_.emplace(bytes.begin(), bytes.end());
    exact_->shrink_to_fit();
    return bitnet::gguf::parse(*exact_);
  }
  /// The class of the error, or nothing if the bytes were accepted.
  [[nodiscard]] std::optional<bitnet::errc> code() const {
    const auto f = parse();
    if (f) return std::nullopt;
    last_ = to_string(f.error());
    return f.error().code();
  }
  /// The text of the error that code() saw last.
  [[nodiscard]] const std::string& message() const { return last_; }

 private:
  mutable std::optional<std::vector<std::byte>> exact_;
  mutable std::string last_;
};

/// The bytes of a file, empty if it cannot be read.
inline std::vector<std::byte> read_all(const std::string& path) {
  std::vector<std::byte> out;
  if (std::FILE* f = std::fopen(path.c_str(), "rb")) {
    std::byte buffer[65536];
    while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, f))
      out.insert(out.end(), buffer, buffer + n);
    std::fclose(f);
  }
  return out;
}

}  // namespace gguf_test
