// SPDX-License-Identifier: Apache-2.0
// Files that are read by the host: in a pak, compressed, encrypted, on a network.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/gguf/parser.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

BITNET_NAMESPACE_BEGIN
namespace gguf {

/// Reads a file that somebody else knows how to read. `size()` is the number of its bytes, and
/// `read(offset, out)` fills all of `out` from there on or says why not; the message of its error
/// must be a literal. Called by one thread at a time.
template <class R>
concept byte_reader = requires(R& r, std::uint64_t offset, std::span<std::byte> out) {
  { r.size() } -> std::convertible_to<std::uint64_t>;
  { r.read(offset, out) } -> std::same_as<status>;
};

/// A borrowed reader of any type.
class reader_ref {
 public:
  template <byte_reader R>
    requires(!std::same_as<R, reader_ref>)
  reader_ref(R& r)
  noexcept  // NOLINT(google-explicit-constructor)
      : object_{&r},
        size_{[](void* object) -> std::uint64_t { return static_cast<R*>(object)->size(); }},
        read_{[](void* object, std::uint64_t offset, std::span<std::byte> out) {
          return static_cast<R*>(object)->read(offset, out);
        }} {}

  [[nodiscard]] std::uint64_t size() const { return size_(object_); }
  [[nodiscard]] status read(std::uint64_t offset, std::span<std::byte> out) const {
    return read_(object_, offset, out);
  }

 private:
  void* object_;
  std::uint64_t (*size_)(void*);
  status (*read_)(void*, std::uint64_t, std::span<std::byte>);
};

namespace detail {

/// `out` from a file of `size` bytes; errors say what was being read and where it lies.
[[nodiscard]] inline status read_exactly(reader_ref from, std::uint64_t size, std::uint64_t offset,
                                         std::span<std::byte> out, std::string_view what) {
  if (from.size() != size)
    return error{errc::io, "the size of the file changed while it was read", what, offset};
  if (out.empty()) return {};  // its pointer may be null, which memcpy must not get
  const status done = from.read(offset, out);
  if (done) return {};
  const char* const message = done.error().message().data();
  return error{done.error().code(), *message != '\0' ? message : "the reader failed", what, offset};
}

/// The beginning of a file that is not in memory, and what it says.
struct read_head {
  aligned_buffer<std::byte> bytes;
  file tables;
};

/// Reads as much of a file as its tables take. errc::limit for tables over limits::table_bytes.
[[nodiscard]] inline result<read_head> read_tables(reader_ref from) {
  constexpr std::string_view what = "header";
  const std::uint64_t size = from.size();
  read_head head;
  for (std::uint64_t room = std::uint64_t{1} << 16;; room *= 2) {
    const auto now = static_cast<std::size_t>(std::min(room, size));
    BITNET_TRY(auto more, aligned_buffer<std::byte>::uninitialized(now, what));
    const std::size_t before = head.bytes.size();
    if (before != 0) std::memcpy(more.data(), head.bytes.data(), before);
    BITNET_CHECK(read_exactly(from, size, before, more.span().subspan(before), what));
    head.bytes = std::move(more);
    parser p{head.bytes.span(), size};
    auto tables = p.run();
    if (tables) {
      head.tables = *std::move(tables);
      return head;
    }
    if (!p.wants_more() || now == size) return tables.error();
    if (now >= limits::table_bytes)
      return error{errc::limit, "the tables of the file are too long", what, now};
  }
}

}  // namespace detail
}  // namespace gguf
BITNET_NAMESPACE_END
