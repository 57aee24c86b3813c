// SPDX-License-Identifier: Apache-2.0
// The state of a training run in a file: complete under its name, or not there.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/core/checksum.hpp>
#include <bitnet/gguf/sink.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/train/parameter.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

/// What a checkpoint says besides the arrays.
struct checkpoint_info {
  std::uint64_t step = 0;  ///< steps done
  std::string settings;    ///< of the run, in the program's own form; at most 1 GiB
};

namespace detail {

struct checkpoint_head {
  std::array<char, 8> magic = {'b', 'i', 't', 'n', 'c', 'k', 'p', 't'};
  std::uint32_t version = 1;
  std::uint32_t arrays = 0;
  std::uint64_t step = 0;
  std::uint64_t settings_bytes = 0;  ///< these follow, then the arrays
};
/// Before each array: its name follows, then its floats.
struct checkpoint_array {
  std::uint64_t name_bytes = 0;
  std::uint64_t count = 0;
};
static_assert(sizeof(checkpoint_head) == 32 && sizeof(checkpoint_array) == 16);

/// Writes to a sink and sums up what it writes.
struct summed_sink {
  gguf::file_sink file;
  std::uint64_t sum = 0;

  [[nodiscard]] status write(std::span<const std::byte> bytes) noexcept {
    sum = checksum(bytes, sum);
    return file.write(bytes);
  }
  template <class T>
  [[nodiscard]] status write_value(const T& x) noexcept {
    return write(std::as_bytes(std::span{&x, 1}));
  }
};

/// Takes pieces off bytes and sums up what it takes, in the pieces that summed_sink wrote.
struct summed_reader {
  std::span<const std::byte> left;
  std::uint64_t at = 0;
  std::uint64_t sum = 0;

  [[nodiscard]] result<std::span<const std::byte>> take(std::uint64_t size, const char* what) {
    if (size > left.size())
      return error{errc::truncated, "the checkpoint ends too early", what, at};
    const auto piece = left.first(static_cast<std::size_t>(size));
    left = left.subspan(piece.size());
    at += size;
    sum = checksum(piece, sum);
    return piece;
  }
  template <class T>
  [[nodiscard]] status take_value(T& x, const char* what) {
    BITNET_TRY(const auto bytes, take(sizeof x, what));
    std::memcpy(&x, bytes.data(), sizeof x);
    return {};
  }
};

}  // namespace detail

/// Writes a checkpoint under a temporary name, syncs it and renames it: a run that is killed at any
/// time leaves the one before. Errors: errc::io, errc::limit.
[[nodiscard]] inline status save_checkpoint(std::string_view path, const checkpoint_info& info,
                                            std::span<const named_array> arrays) {
  static_assert(std::endian::native == std::endian::little);
  if (arrays.size() > 0xFFFFFFFFU || info.settings.size() > (1U << 30))
    return error{errc::limit, "too much for a checkpoint", path};
  BITNET_TRY(gguf::file_sink file, gguf::file_sink::create(path));
  detail::summed_sink out{std::move(file)};
  detail::checkpoint_head head;
  head.arrays = static_cast<std::uint32_t>(arrays.size());
  head.step = info.step;
  head.settings_bytes = info.settings.size();
  BITNET_CHECK(out.write_value(head));
  BITNET_CHECK(out.write(std::as_bytes(std::span{info.settings})));
  for (const named_array& a : arrays) {
    BITNET_CHECK(out.write_value(detail::checkpoint_array{a.name.size(), a.values.size()}));
    BITNET_CHECK(out.write(std::as_bytes(std::span{a.name})));
    BITNET_CHECK(out.write(std::as_bytes(a.values)));
  }
  const std::uint64_t sum = out.sum;
  BITNET_CHECK(out.write_value(sum));
  return out.file.commit();
}

/// A checkpoint that was read and found whole: its arrays lie in the mapped file.
class checkpoint {
 public:
  /// Errors: errc::io, truncated, malformed (magic, sizes, checksum), unsupported (version).
  [[nodiscard]] static result<checkpoint> open(std::string_view path) {
    checkpoint c;
    BITNET_TRY(c.file_, gguf::mapped_file::open(path));
    BITNET_CHECK(c.read(c.file_.bytes()));
    return c;
  }

  [[nodiscard]] const checkpoint_info& info() const noexcept { return info_; }

  /// Copies the arrays to those of the same names. errc::missing or errc::shape name an array that
  /// the checkpoint lacks or has in another size, errc::malformed one that nobody asks for; nothing
  /// is copied then.
  [[nodiscard]] status restore(std::span<const named_array> arrays) const {
    if (arrays.size() != arrays_.size())
      return error{errc::malformed, "the checkpoint is of another model", "arrays"};
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      if (arrays[i].name != arrays_[i].name)
        return error{errc::missing, "the checkpoint lacks this array", arrays[i].name};
      if (arrays[i].values.size_bytes() != arrays_[i].bytes.size())
        return error{errc::shape, "the checkpoint has this array in another size", arrays[i].name};
    }
    for (std::size_t i = 0; i < arrays.size(); ++i)
      if (!arrays_[i].bytes.empty())
        std::memcpy(arrays[i].values.data(), arrays_[i].bytes.data(), arrays_[i].bytes.size());
    return {};
  }

 private:
  struct stored_array {
    std::string_view name;
    std::span<const std::byte> bytes;
  };

  [[nodiscard]] status read(std::span<const std::byte> bytes) {
    detail::summed_reader in{bytes};
    detail::checkpoint_head head;
    BITNET_CHECK(in.take_value(head, "head"));
    if (head.magic != detail::checkpoint_head{}.magic)
      return error{errc::malformed, "the file is no checkpoint", "magic", 0};
    if (head.version != 1)
      return error{errc::unsupported, "this version of checkpoints is not known", "version", 8};
    BITNET_TRY(const auto settings, in.take(head.settings_bytes, "settings"));
    info_.step = head.step;
    info_.settings.assign(reinterpret_cast<const char*>(settings.data()), settings.size());
    for (std::uint32_t i = 0; i < head.arrays; ++i) {
      detail::checkpoint_array a;
      BITNET_CHECK(in.take_value(a, "array"));
      BITNET_TRY(const auto name, in.take(a.name_bytes, "name"));
      const auto size = checked_mul(a.count, std::uint64_t{sizeof(float)});
      if (!size) return error{errc::limit, "an array is too large", "array", in.at};
      BITNET_TRY(const auto values, in.take(*size, "values"));
      arrays_.push_back({{reinterpret_cast<const char*>(name.data()), name.size()}, values});
    }
    const std::uint64_t sum = in.sum;
    std::uint64_t stored = 0;
    BITNET_CHECK(in.take_value(stored, "checksum"));
    if (stored != sum || !in.left.empty())
      return error{errc::malformed, "the checksum is wrong: the file is damaged", "checksum"};
    return {};
  }

  gguf::mapped_file file_;
  checkpoint_info info_;
  std::vector<stored_array> arrays_;
};

}  // namespace train
BITNET_NAMESPACE_END
