// SPDX-License-Identifier: Apache-2.0
// Writes GGUF version 3: metadata and the tensor table first, then tensor data as it comes.
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/gguf/file.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <ranges>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace gguf {

/// Takes bytes in order.
template <class S>
concept byte_sink = requires(S& s, std::span<const std::byte> bytes) {
  { s.write(bytes) } -> std::same_as<status>;
};

template <byte_sink Sink>
class tensor_stream;

/// Collects what will be in the file, then opens a stream for the tensors' data:
///
///     writer w;
///     BITNET_CHECK(w.set("general.architecture", "llama"));
///     BITNET_CHECK(w.add_tensor("output_norm.weight", {{256}}, tensor_type::f32));
///     BITNET_TRY(auto out, w.begin(sink));
///     BITNET_CHECK(out.write(bytes));     // as often as needed
///     BITNET_CHECK(out.finish());
///
/// The same calls give the same bytes. Errors, all invalid_argument or limit, name the key or
/// tensor. Not thread safe.
class writer {
 public:
  /// Sets a key that was not set before. The stored type is that of `value`: bool; 8 to 64 bit
  /// integers; float; double; anything that converts to std::string_view; ranges of these.
  template <class T>
  [[nodiscard]] status set(std::string_view key, const T& value) noexcept {
    if constexpr (std::is_convertible_v<const T&, std::string_view>) {
      BITNET_CHECK(add_key(key, value_type::string));
      put_string(keys_, value);
    } else if constexpr (std::ranges::range<const T&>) {
      return set_range(key, value);
    } else {
      if (key == alignment_key) {
        if constexpr (std::is_same_v<T, std::uint32_t>) {
          if (!std::has_single_bit(value) || value > limits::alignment)
            return error{errc::invalid_argument, "not a power of two up to 1 MiB", key};
        } else {
          return error{errc::invalid_argument, "the alignment is a u32", key};
        }
      }
      BITNET_CHECK(add_key(key, detail::type_for<T>()));
      if constexpr (std::is_same_v<T, std::uint32_t>)
        if (key == alignment_key) alignment_ = value;
      put(keys_, value);
    }
    return {};
  }
  /// Copies a value from a parsed file, byte by byte.
  [[nodiscard]] status set(std::string_view key, const metadata_value& value) noexcept {
    if (key == alignment_key) {
      BITNET_TRY(const auto alignment, value.as<std::uint32_t>(key));
      return set(key, alignment);
    }
    BITNET_CHECK(add_key(key, value.type()));
    put_bytes(keys_, value.encoded());
    return {};
  }

  /// Announces a tensor; data follow in the order of these calls. `dims` (at most 4, the row length
  /// first) must make whole blocks of the type.
  [[nodiscard]] status add_tensor(std::string_view name, std::span<const std::uint64_t> dims,
                                  tensor_type type) noexcept {
    if (name.empty()) return error{errc::invalid_argument, "a tensor needs a name"};
    if (name.size() > limits::tensor_name_bytes)
      return error{errc::limit, "a tensor name is longer than 63 bytes", name};
    if (dims.size() > limits::dimensions)
      return error{errc::limit, "the tensor has more than 4 dimensions", name};
    if (sizes_.size() >= limits::tensors) return error{errc::limit, "too many tensors", name};
    std::uint64_t elements = 1;
    for (const std::uint64_t d : dims) {
      const auto next = checked_mul(elements, std::max<std::uint64_t>(d, 1));
      if (!next || *next > std::uint64_t{std::numeric_limits<std::int64_t>::max()})
        return error{errc::limit, "the number of elements does not fit in 63 bits", name};
      elements = *next;
    }
    const storage_rule rule = storage_of(type);
    std::uint64_t rows = 1;
    for (std::size_t d = 1; d < dims.size(); ++d) rows *= dims[d];
    const std::uint64_t cols = dims.empty() ? 1 : dims[0];
    if (!rule.whole_blocks(cols, rows))
      return error{errc::invalid_argument, "the tensor is not made of whole blocks of its type",
                   name};
    const auto size = rule.bytes(cols, rows);
    if (!size) return error{errc::limit, "the tensor's size does not fit in 64 bits", name};
    if (!tensor_names_.emplace(name).second)
      return error{errc::invalid_argument, "the tensor was added before", name};
    put_string(tensors_, name);
    put(tensors_, static_cast<std::uint32_t>(dims.size()));
    for (const std::uint64_t d : dims) put(tensors_, d);
    put(tensors_, file_id(type));
    offset_places_.push_back(tensors_.size());
    put(tensors_, std::uint64_t{0});
    sizes_.push_back(*size);
    return {};
  }
  [[nodiscard]] status add_tensor(std::string_view name, std::initializer_list<std::uint64_t> dims,
                                  tensor_type type) noexcept {
    return add_tensor(name, std::span{dims.begin(), dims.size()}, type);
  }

  /// Writes everything before the tensors' data and gives the stream that takes the data. `sink`
  /// must outlive the stream.
  template <byte_sink Sink>
  [[nodiscard]] result<tensor_stream<Sink>> begin(Sink& sink) noexcept {
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < sizes_.size(); ++i) {
      std::memcpy(tensors_.data() + offset_places_[i], &offset, sizeof offset);
      const auto end = checked_add(offset, sizes_[i]);
      const auto next = end ? checked_align(*end, alignment_) : std::nullopt;
      if (!next) return error{errc::limit, "the tensors do not fit in a file"};
      offset = *next;
    }
    std::vector<std::byte> head;
    put_bytes(head, std::as_bytes(std::span{"GGUF", 4}));
    put(head, std::uint32_t{3});
    put(head, std::uint64_t{sizes_.size()});
    put(head, std::uint64_t{key_names_.size()});
    BITNET_CHECK(sink.write(head));
    BITNET_CHECK(sink.write(keys_));
    BITNET_CHECK(sink.write(tensors_));
    const std::size_t size = head.size() + keys_.size() + tensors_.size();
    tensor_stream<Sink> stream{sink, sizes_, alignment_};
    BITNET_CHECK(stream.pad(size));
    BITNET_CHECK(stream.skip_empty());
    return stream;
  }

 private:
  using bytes = std::vector<std::byte>;

  static void put_bytes(bytes& out, std::span<const std::byte> in) noexcept {
    out.insert(out.end(), in.begin(), in.end());
  }
  template <class T>
  static void put(bytes& out, const T& value) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    put_bytes(out, std::as_bytes(std::span{&value, 1}));
  }
  static void put_string(bytes& out, std::string_view text) noexcept {
    put(out, std::uint64_t{text.size()});
    put_bytes(out, std::as_bytes(std::span{text.data(), text.size()}));
  }

  [[nodiscard]] status add_key(std::string_view key, value_type type) noexcept {
    if (key.empty()) return error{errc::invalid_argument, "a key is empty"};
    if (key.size() > limits::key_bytes) return error{errc::limit, "a key is too long", key};
    if (key_names_.size() >= limits::keys) return error{errc::limit, "too many keys", key};
    if (!key_names_.emplace(key).second)
      return error{errc::invalid_argument, "the key was set before", key};
    put_string(keys_, key);
    put(keys_, static_cast<std::uint32_t>(type));
    return {};
  }

  template <class Range>
  [[nodiscard]] status set_range(std::string_view key, const Range& range) noexcept {
    using element = std::ranges::range_value_t<const Range&>;
    std::uint64_t count = 0;  // libc++ 13 has no std::ranges::distance
    for (auto at = std::ranges::begin(range); at != std::ranges::end(range); ++at) ++count;
    if (key == alignment_key) return error{errc::invalid_argument, "the alignment is a u32", key};
    if (count > limits::array_count) return error{errc::limit, "the array is too long", key};
    BITNET_CHECK(add_key(key, value_type::array));
    constexpr bool strings = std::is_convertible_v<element, std::string_view>;
    if constexpr (strings) {
      put(keys_, static_cast<std::uint32_t>(value_type::string));
    } else {
      put(keys_, static_cast<std::uint32_t>(detail::type_for<element>()));
    }
    put(keys_, count);
    for (auto&& x : range) {
      if constexpr (strings) {
        put_string(keys_, x);
      } else {
        put(keys_, static_cast<element>(x));
      }
    }
    return {};
  }

  bytes keys_;     // encoded
  bytes tensors_;  // encoded, offsets filled in by begin()
  std::vector<std::size_t> offset_places_;
  std::vector<std::uint64_t> sizes_;
  std::set<std::string, std::less<>> key_names_;
  std::set<std::string, std::less<>> tensor_names_;
  std::uint32_t alignment_ = default_alignment;
};

/// Takes the data of the announced tensors, in order, and pads between them.
template <byte_sink Sink>
class tensor_stream {
 public:
  /// The next bytes of the current tensor, which may come in pieces; the following tensor is
  /// current once they are all there. Errors: those of the sink; invalid_argument if there are more
  /// bytes than the current tensor has left.
  [[nodiscard]] status write(std::span<const std::byte> bytes) noexcept {
    if (bytes.empty()) return {};
    if (current_ == sizes_.size() || bytes.size() > sizes_[current_] - written_)
      return error{errc::invalid_argument, "more data than the tensor was announced with",
                   position()};
    BITNET_CHECK(sink_->write(bytes));
    written_ += bytes.size();
    if (written_ < sizes_[current_]) return {};
    BITNET_CHECK(pad(written_));
    ++current_;
    written_ = 0;
    return skip_empty();
  }
  /// Says whether all tensors are written; does not flush the sink.
  [[nodiscard]] status finish() noexcept {
    if (current_ != sizes_.size())
      return error{errc::invalid_argument, "a tensor lacks data", position()};
    return {};
  }

 private:
  friend class writer;

  tensor_stream(Sink& sink, std::vector<std::uint64_t> sizes, std::uint32_t alignment) noexcept
      : sink_{&sink}, sizes_{std::move(sizes)}, alignment_{alignment} {}

  [[nodiscard]] std::string position() const noexcept {
    return "tensor number " + std::to_string(current_);
  }
  [[nodiscard]] status pad(std::uint64_t size) noexcept {
    static constexpr std::byte zeros[256] = {};
    std::uint64_t left = (alignment_ - size % alignment_) % alignment_;
    while (left != 0) {
      const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(left, 256));
      BITNET_CHECK(sink_->write(std::span{zeros, piece}));
      left -= piece;
    }
    return {};
  }
  [[nodiscard]] status skip_empty() noexcept {
    while (current_ < sizes_.size() && sizes_[current_] == 0) ++current_;
    return {};
  }

  Sink* sink_;
  std::vector<std::uint64_t> sizes_;
  std::size_t current_ = 0;
  std::uint64_t written_ = 0;
  std::uint32_t alignment_;
};

}  // namespace gguf
BITNET_NAMESPACE_END
