// SPDX-License-Identifier: Apache-2.0
// What went wrong, as a small value: a code, a remedy, the thing it is about and where it lies.
#pragma once

#include <bitnet/config.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

BITNET_NAMESPACE_BEGIN

/// Classes of failure. Values are stable; new ones are added at the end.
enum class errc : std::uint8_t {
  io,                ///< the operating system refused a read, write or map
  not_gguf,          ///< the bytes are not a GGUF file this library reads
  truncated,         ///< the file ends before something that it announces
  malformed,         ///< a count, size, offset or value contradicts the format
  limit,             ///< a size is over a stated limit
  missing,           ///< a required key or tensor is absent
  wrong_type,        ///< a key or tensor has another type than its meaning needs
  shape,             ///< a tensor's shape contradicts the hyper-parameters
  unsupported,       ///< known semantics that this build does not implement
  unknown,           ///< semantics that this library does not know; never guessed
  out_of_memory,     ///< memory or an arena is too small
  context_full,      ///< no room left for more tokens
  invalid_argument,  ///< an option or argument is outside its range
  cancelled          ///< the caller asked to stop
};

/// Name of an error class, for messages and logs.
[[nodiscard]] constexpr std::string_view name_of(errc code) noexcept {
  switch (code) {
    case errc::io:
      return "io";
    case errc::not_gguf:
      return "not gguf";
    case errc::truncated:
      return "truncated";
    case errc::malformed:
      return "malformed";
    case errc::limit:
      return "limit";
    case errc::missing:
      return "missing";
    case errc::wrong_type:
      return "wrong type";
    case errc::shape:
      return "shape";
    case errc::unsupported:
      return "unsupported";
    case errc::unknown:
      return "unknown";
    case errc::out_of_memory:
      return "out of memory";
    case errc::context_full:
      return "context full";
    case errc::invalid_argument:
      return "invalid argument";
    case errc::cancelled:
      return "cancelled";
  }
  return "error";
}

/// An error value. It owns its text (the first 95 bytes of `what`), so it may outlive the file.
class error {
 public:
  static constexpr std::uint64_t no_offset = ~std::uint64_t{0};

  /// `message` must be a string literal: what is wrong and, where it helps, what to do.
  /// `what` names the tensor, key or argument; `offset` is a byte position in the file.
  constexpr error(errc code, const char* message, std::string_view what = {},
                  std::uint64_t offset = no_offset) noexcept
      : message_{message}, offset_{offset}, code_{code} {
    what_size_ = static_cast<std::uint8_t>(std::min(what.size(), sizeof what_));
    for (std::size_t i = 0; i < what_size_; ++i) what_[i] = what[i];
  }
  /// A call: errors are copied at hundreds of places and hardly ever.
  BITNET_NOINLINE constexpr error(const error& other) noexcept
      : message_{other.message_},
        offset_{other.offset_},
        what_size_{other.what_size_},
        code_{other.code_} {
    for (std::size_t i = 0; i < what_size_; ++i) what_[i] = other.what_[i];
  }
  constexpr error& operator=(const error&) noexcept = default;
  ~error() = default;

  [[nodiscard]] constexpr errc code() const noexcept { return code_; }
  [[nodiscard]] constexpr std::string_view message() const noexcept { return message_; }
  [[nodiscard]] constexpr std::string_view what() const noexcept { return {what_, what_size_}; }
  [[nodiscard]] constexpr std::uint64_t offset() const noexcept { return offset_; }
  [[nodiscard]] constexpr bool has_offset() const noexcept { return offset_ != no_offset; }

 private:
  const char* message_;
  std::uint64_t offset_;
  char what_[95] = {};
  std::uint8_t what_size_ = 0;
  errc code_;
};

/// One line for people: "malformed: 'blk.0.attn_q.weight' at byte 1234: message". Control bytes of
/// a hostile name are shown as '?', so the line is safe to print.
[[nodiscard]] inline std::string to_string(const error& e) {
  std::string s{name_of(e.code())};
  if (!e.what().empty()) {
    s += ": '";
    for (const char c : e.what()) {
      const auto u = static_cast<unsigned char>(c);
      s += (u < 0x20 || u == 0x7f) ? '?' : c;
    }
    s += '\'';
  }
  if (e.has_offset()) s += " at byte " + std::to_string(e.offset());
  s += ": ";
  s += e.message();
  return s;
}

BITNET_NAMESPACE_END
