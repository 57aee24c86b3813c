// SPDX-License-Identifier: Apache-2.0
// Numbered strings in one block of memory, with a hash index from string to number.
#pragma once

#include <bitnet/core/result.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace text {

namespace detail {

template <class Word>
[[nodiscard]] inline std::uint64_t load_word(const char* p) noexcept {
  Word word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

}  // namespace detail

/// 64-bit hash of a short string: multiply and fold, eight bytes at a time.
[[nodiscard]] inline std::uint64_t hash_of(std::string_view s) noexcept {
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15U;
  std::uint64_t h = s.size() * odd;
  const char* p = s.data();
  std::size_t left = s.size();
  for (; left > 8; left -= 8, p += 8) {
    h = (h ^ detail::load_word<std::uint64_t>(p)) * odd;
    h ^= h >> 29;
  }
  std::uint64_t tail = 0;  // the last 1 to 8 bytes; two loads may overlap
  if (left >= 4) {
    tail = detail::load_word<std::uint32_t>(p) | detail::load_word<std::uint32_t>(p + left - 4)
                                                     << 32;
  } else if (left >= 2) {
    tail = detail::load_word<std::uint16_t>(p) | detail::load_word<std::uint16_t>(p + left - 2)
                                                     << 16;
  } else if (left == 1) {
    tail = static_cast<unsigned char>(*p);
  }
  h = (h ^ tail) * odd;
  h ^= h >> 32;
  h *= 0xD6E8FEB86659FD93U;
  return h ^ h >> 32;
}

/// Strings one after another in one block of memory. Owns their bytes.
class string_list {
 public:
  void reserve(std::size_t count, std::size_t bytes) {
    bytes_.reserve(bytes);
    ends_.reserve(count);
  }
  [[nodiscard]] std::size_t size() const noexcept { return ends_.size(); }
  [[nodiscard]] std::string_view operator[](std::size_t i) const noexcept {
    const std::size_t start = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + start, ends_[i] - start};
  }
  void push_back(std::string_view s) {
    bytes_.append(s);
    ends_.push_back(bytes_.size());
  }

 private:
  std::string bytes_;
  std::vector<std::size_t> ends_;
};

/// Strings numbered 0, 1, 2 ... in the order of `add`, found again by hash. Reading is thread safe.
class string_table {
 public:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  /// Room for `count` strings of `bytes` bytes together, so that adding them does not move data.
  void reserve(std::size_t count, std::size_t bytes) {
    strings_.reserve(count, bytes);
    grow(count);
  }
  [[nodiscard]] std::size_t size() const noexcept { return strings_.size(); }
  [[nodiscard]] std::string_view operator[](std::size_t i) const noexcept { return strings_[i]; }

  /// Number of `s`, or `none`.
  [[nodiscard]] std::uint32_t find(std::string_view s) const noexcept {
    return slots_.empty() ? none : slots_[probe(s, hash_of(s))].index;
  }

  /// Gives `s` the next number. errc::malformed if it has one already; the empty string may be
  /// added any number of times and is never found. errc::limit if its hash meets absurdly many
  /// others, which takes a file made for that.
  [[nodiscard]] status add(std::string_view s) {
    if (!s.empty()) {
      grow(strings_.size() + 1);
      const std::uint64_t hash = hash_of(s);
      const std::size_t place = probe(s, hash);
      const std::size_t mask = slots_.size() - 1;
      if (slots_[place].index != none) return error{errc::malformed, "a token occurs twice", s};
      if (((place - static_cast<std::size_t>(hash)) & mask) > probe_limit)
        return error{errc::limit, "too many tokens with the same hash", s};
      slots_[place] = {tag_of(hash), static_cast<std::uint32_t>(strings_.size())};
    }
    strings_.push_back(s);
    return {};
  }

 private:
  struct slot {
    std::uint32_t tag = 0;
    std::uint32_t index = none;
  };
  static constexpr std::size_t probe_limit = 1024;

  static std::uint32_t tag_of(std::uint64_t hash) noexcept {
    return static_cast<std::uint32_t>(hash >> 32);
  }

  /// Slot of `s`, or the free slot where it belongs.
  [[nodiscard]] std::size_t probe(std::string_view s, std::uint64_t hash) const noexcept {
    const std::size_t mask = slots_.size() - 1;
    std::size_t i = static_cast<std::size_t>(hash) & mask;
    while (slots_[i].index != none &&
           (slots_[i].tag != tag_of(hash) || strings_[slots_[i].index] != s))
      i = (i + 1) & mask;
    return i;
  }

  /// Keeps at least half of the slots free.
  void grow(std::size_t count) {
    if (count * 2 <= slots_.size()) return;
    slots_.assign(std::bit_ceil(std::max<std::size_t>(count * 2, 16)), {});
    for (std::size_t i = 0; i < strings_.size(); ++i) {
      if (strings_[i].empty()) continue;
      const std::uint64_t hash = hash_of(strings_[i]);
      slots_[probe(strings_[i], hash)] = {tag_of(hash), static_cast<std::uint32_t>(i)};
    }
  }

  string_list strings_;
  std::vector<slot> slots_;
};

}  // namespace text
BITNET_NAMESPACE_END
