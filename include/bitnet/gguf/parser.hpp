// SPDX-License-Identifier: Apache-2.0
// Turns the bytes of a GGUF file into tables, believing nothing that they say.
#pragma once

#include <bitnet/core/concat.hpp>
#include <bitnet/gguf/file.hpp>
#include <bitnet/gguf/layout.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace gguf {
namespace detail {

/// A position in the file. Reads either succeed whole or leave the position where it was.
class cursor {
 public:
  explicit cursor(std::span<const std::byte> bytes) noexcept : bytes_{bytes} {}

  [[nodiscard]] std::uint64_t position() const noexcept { return at_; }
  [[nodiscard]] std::uint64_t remaining() const noexcept { return bytes_.size() - at_; }
  [[nodiscard]] const std::byte* here() const noexcept { return bytes_.data() + at_; }

  template <class T>
  [[nodiscard]] bool read(T& out) noexcept {
    if (remaining() < sizeof(T)) return false;
    std::memcpy(&out, here(), sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  [[nodiscard]] bool read_string(std::string_view& out) noexcept {
    if (remaining() < 8) return false;
    const auto size = load<std::uint64_t>(here());
    if (size > remaining() - 8) return false;
    out = text_of(here() + 8, size);
    at_ += static_cast<std::size_t>(8 + size);
    return true;
  }
  [[nodiscard]] bool skip(std::uint64_t size) noexcept {
    if (size > remaining()) return false;
    at_ += static_cast<std::size_t>(size);
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t at_ = 0;
};

class parser {
 public:
  /// A file that lies whole in memory.
  explicit parser(std::span<const std::byte> bytes) noexcept : parser{bytes, bytes.size()} {
    whole_ = true;
  }
  /// The first bytes of a file of `size` bytes; its tensors have no data then.
  parser(std::span<const std::byte> bytes, std::uint64_t size) noexcept : in_{bytes} {
    file_.bytes_ = bytes;
    file_.size_ = size;
  }

  [[nodiscard]] result<file> run() noexcept {
    const auto tables = read_tables();
    wants_more_ = !tables && tables.error().code() == errc::truncated;
    BITNET_CHECK(tables);
    BITNET_CHECK(place_tensors());
    return std::move(file_);
  }

  /// After a failure: whether the tables go on behind the given bytes.
  [[nodiscard]] bool wants_more() const noexcept { return wants_more_; }

 private:
  [[nodiscard]] status read_tables() noexcept {
    BITNET_CHECK(read_header());
    BITNET_CHECK(read_metadata());
    BITNET_CHECK(read_alignment());
    BITNET_CHECK(read_layout_version());
    return read_tensors();
  }

  // The least that an entry can take: what bounds a count before anything is allocated for it.
  static constexpr std::uint64_t least_entry_bytes = 8 + 1 + 4 + 1;       // key, tag, value
  static constexpr std::uint64_t least_tensor_bytes = 8 + 1 + 4 + 4 + 8;  // name, n, type, offset
  // Tables grow as entries turn out to be there; this much is taken at once.
  static constexpr std::uint64_t reserve_at_most = 1024;

  [[nodiscard]] error truncated(const char* message, std::string_view what = {}) const noexcept {
    return {errc::truncated, message, what, in_.position()};
  }

  [[nodiscard]] status read_header() noexcept {
    if (in_.remaining() < 4)
      return error{errc::not_gguf, "the file is too small to be a GGUF file", {}, 0};
    const std::string_view magic = text_of(in_.here(), 4);
    if (magic == "lmgg" || magic == "fmgg" || magic == "tjgg" || magic == "algg")
      return error{
          errc::not_gguf, "this is a ggml file from before GGUF; convert the model again", {}, 0};
    if (magic == "FUGG")
      return error{errc::unsupported, "big-endian GGUF files are not supported", {}, 0};
    if (magic != "GGUF")
      return error{errc::not_gguf, "the file does not begin with the GGUF magic", {}, 0};
    std::uint32_t skipped = 0;
    std::uint64_t n_keys = 0;
    if (!in_.read(skipped) || !in_.read(file_.version_)) return truncated("the header is cut off");
    const std::uint32_t version = file_.version_;
    if (version == 1)
      return error{
          errc::unsupported, "GGUF version 1 is not supported; convert the model again", {}, 4};
    // Nothing marks the byte order, but no version has only its upper half set.
    if (version != 0 && (version & 0xffffU) == 0)
      return error{errc::unsupported, "big-endian GGUF files are not supported", {}, 4};
    if (version != 2 && version != 3)
      return error{errc::unknown, "this GGUF version is not known; versions 2 and 3 are read",
                   std::to_string(version), 4};
    if (!in_.read(n_tensors_) || !in_.read(n_keys)) return truncated("the header is cut off");
    if (n_tensors_ > limits::tensors)
      return error{errc::limit, "the file announces too many tensors", {}, 8};
    if (n_keys > limits::keys)
      return error{errc::limit, "the file announces too many keys", {}, 16};
    if (n_tensors_ > in_.remaining() / least_tensor_bytes)
      return error{errc::truncated, "the file is too small for the tensors it announces", {}, 8};
    if (n_keys > in_.remaining() / least_entry_bytes)
      return error{errc::truncated, "the file is too small for the keys it announces", {}, 16};
    if (n_keys == 0 && n_tensors_ == 0)
      return error{errc::malformed, "the file holds neither keys nor tensors", {}, 8};
    n_keys_ = n_keys;
    return {};
  }

  [[nodiscard]] status read_metadata() noexcept {
    auto& entries = file_.meta_.entries_;
    entries.reserve(static_cast<std::size_t>(std::min(n_keys_, reserve_at_most)));
    for (std::uint64_t i = 0; i < n_keys_; ++i) {
      const std::uint64_t start = in_.position();
      metadata_entry e;
      if (!in_.read_string(e.key)) return truncated("a key is cut off");
      if (e.key.empty()) return error{errc::malformed, "a key is empty", {}, start};
      if (e.key.size() > limits::key_bytes)
        return error{errc::limit, "a key is too long", e.key, start};
      BITNET_CHECK(read_value(e.key, e.value));
      entries.push_back(e);
    }
    const std::optional<std::uint32_t> twin =
        sort_by(file_.meta_.sorted_, entries, [](const metadata_entry& e) { return e.key; });
    if (twin)
      return error{errc::malformed, "the key occurs twice", entries[*twin].key,
                   entries[*twin].value.offset()};
    return {};
  }

  [[nodiscard]] status read_value(std::string_view key, metadata_value& v) noexcept {
    std::uint32_t tag = 0;
    if (!in_.read(tag)) return truncated("the type of a value is cut off", key);
    if (tag >= value_type_count)
      return error{errc::unknown, "the key has an unknown value type", key, in_.position() - 4};
    v.type_ = v.element_ = static_cast<value_type>(tag);
    v.offset_ = in_.position();
    const std::byte* start = in_.here();
    if (v.type_ == value_type::array) {
      BITNET_CHECK(read_array(key, v));
    } else if (v.type_ == value_type::string) {
      BITNET_CHECK(read_string(key));
    } else if (!in_.skip(size_of(v.type_))) {
      return truncated("a value is cut off", key);
    }
    v.encoded_ = {start, static_cast<std::size_t>(in_.position() - v.offset_)};
    return {};
  }

  [[nodiscard]] status read_string(std::string_view key) noexcept {
    std::string_view text;
    if (!in_.read_string(text)) return truncated("a string ends beyond the file", key);
    if (text.size() > limits::string_bytes)
      return error{errc::limit, "a string is too long", key, in_.position()};
    return {};
  }

  [[nodiscard]] status read_array(std::string_view key, metadata_value& v) noexcept {
    std::uint32_t tag = 0;
    if (!in_.read(tag) || !in_.read(v.count_)) return truncated("an array is cut off", key);
    if (tag >= value_type_count)
      return error{errc::unknown, "the array has an unknown element type", key, v.offset_};
    v.element_ = static_cast<value_type>(tag);
    if (v.element_ == value_type::array)  // none are in use, and nesting invites deep recursion
      return error{errc::unsupported, "arrays of arrays are not supported", key, v.offset_};
    if (v.count_ > limits::array_count)
      return error{errc::limit, "the array is too long", key, v.offset_ + 4};
    const bool strings = v.element_ == value_type::string;
    const std::uint64_t least = strings ? 8 : size_of(v.element_);
    if (v.count_ > in_.remaining() / least)
      return error{errc::truncated, "the array ends beyond the file", key, v.offset_ + 4};
    if (!strings) {
      if (!in_.skip(v.count_ * least)) return truncated("the array ends beyond the file", key);
      return {};
    }
    BITNET_TRY(auto starts,
               aligned_buffer<std::uint64_t>::make(static_cast<std::size_t>(v.count_), key));
    for (std::uint64_t& s : starts.span()) {
      s = in_.position() - v.offset_;
      std::string_view text;
      if (!in_.read_string(text)) return truncated("a string ends beyond the file", key);
      if (text.size() > limits::string_bytes)
        return error{errc::limit, "a string is too long", key, in_.position()};
    }
    v.starts_ = starts.data();
    file_.meta_.string_starts_.push_back(std::move(starts));
    return {};
  }

  [[nodiscard]] status read_alignment() noexcept {
    const metadata_value* v = file_.meta_.find(alignment_key);
    if (v == nullptr) return {};
    if (v->type() != value_type::u32)
      return error{errc::wrong_type, "the alignment is not a u32", alignment_key, v->offset()};
    BITNET_TRY(file_.alignment_, v->as<std::uint32_t>(alignment_key));
    if (!std::has_single_bit(file_.alignment_))
      return error{errc::malformed, "the alignment is not a power of two", alignment_key,
                   v->offset()};
    if (file_.alignment_ > limits::alignment)
      return error{errc::limit, "the alignment is over 1 MiB", alignment_key, v->offset()};
    return {};
  }

  /// A file of tiled tensors says how they are laid out; a layout of the future is not guessed.
  [[nodiscard]] status read_layout_version() noexcept {
    const metadata_value* v = file_.meta_.find(layout_key);
    if (v == nullptr) return {};
    BITNET_TRY(const auto version, v->as<std::uint32_t>(layout_key));
    if (version != layout_version)
      return error{
          errc::unsupported,
          "the file's tiles have another layout than this version reads; tile the original "
          "model again",
          layout_key, v->offset()};
    has_layout_ = true;
    return {};
  }

  [[nodiscard]] status read_tensors() noexcept {
    auto& tensors = file_.tensors_;
    const auto expected = static_cast<std::size_t>(std::min(n_tensors_, reserve_at_most));
    tensors.reserve(expected);
    pending_.reserve(expected);
    for (std::uint64_t i = 0; i < n_tensors_; ++i) {
      tensor_info t;
      pending_tensor p;
      p.info_offset = in_.position();
      if (!in_.read_string(t.name)) return truncated("a tensor name is cut off");
      if (t.name.empty())
        return error{errc::malformed, "a tensor name is empty", {}, p.info_offset};
      if (t.name.size() > limits::tensor_name_bytes)
        return error{errc::limit, "a tensor name is longer than 63 bytes", t.name, p.info_offset};
      BITNET_CHECK(read_dimensions(t));
      const std::uint64_t type_at = in_.position();
      std::uint32_t type = 0;
      if (!in_.read(type) || !in_.read(p.offset))
        return truncated("a tensor's type or offset is cut off", t.name);
      BITNET_CHECK(check_type(t, type, type_at));
      if (p.offset % file_.alignment_ != 0)
        return error{errc::malformed, "the tensor's offset is not aligned", t.name, type_at + 4};
      tensors.push_back(t);
      pending_.push_back(p);
    }
    const std::optional<std::uint32_t> twin =
        sort_by(file_.sorted_, tensors, [](const tensor_info& t) { return t.name; });
    if (twin)
      return error{errc::malformed, "the tensor occurs twice", tensors[*twin].name,
                   pending_[*twin].info_offset};
    return {};
  }

  [[nodiscard]] status read_dimensions(tensor_info& t) noexcept {
    const std::uint64_t at = in_.position();
    if (!in_.read(t.n_dims)) return truncated("a tensor's dimensions are cut off", t.name);
    if (t.n_dims > limits::dimensions)
      return error{errc::limit, "the tensor has more than 4 dimensions", t.name, at};
    // Zeros are left out of the product, so that no order of dimensions hides an overflow.
    std::uint64_t product = 1;
    for (std::uint32_t d = 0; d < t.n_dims; ++d) {
      if (!in_.read(t.dims[d])) return truncated("a tensor's dimensions are cut off", t.name);
      const auto next = checked_mul(product, std::max<std::uint64_t>(t.dims[d], 1));
      constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
      if (!next || *next > most)
        return error{errc::malformed, "the number of elements does not fit in 63 bits", t.name,
                     in_.position() - 8};
      product = *next;
    }
    if constexpr (sizeof(std::size_t) < 8) {
      const std::uint64_t cols = std::max<std::uint64_t>(t.dims[0], 1);
      const auto padded = checked_mul(round_up_64(cols, 64), round_up_64(product / cols, 16));
      if (cols > limits::row_weights_32 || !padded || *padded > limits::tensor_weights_32)
        return error{errc::limit, "the tensor is too large for 32-bit addresses", t.name, at};
    }
    return {};
  }
  [[nodiscard]] static constexpr std::uint64_t round_up_64(std::uint64_t a,
                                                           std::uint64_t power) noexcept {
    return (a + power - 1) & ~(power - 1);
  }

  [[nodiscard]] status check_type(tensor_info& t, std::uint32_t id,
                                  std::uint64_t at) const noexcept {
    if (tiled_type::in_family(id)) return check_tiled(t, id, at);
    const type_info* info = find_file_type(id);
    if (info == nullptr || info->refusal != nullptr) {
      const std::string_view name = info == nullptr ? std::string_view{} : info->name;
      const std::string what =
          concat({t.name, " (type ", id, name.empty() ? "" : " = ", name, ")"});
      if (info == nullptr)
        return error{errc::unknown, "this tensor type id is not known", what, at};
      return error{info->code, info->refusal, what, at};
    }
    t.type = static_cast<tensor_type>(id);
    if (!info->storage.whole_blocks(t.cols(), t.rows()))
      return error{errc::malformed, "the tensor is not made of whole blocks of its type", t.name,
                   at};
    return {};
  }

  [[nodiscard]] status check_tiled(tensor_info& t, std::uint32_t id,
                                   std::uint64_t at) const noexcept {
    if (!tiled_type::of(id))
      return error{errc::unknown,
                   "this tiled tensor type is not known: the file was made for another version",
                   concat({t.name, " (type ", id, ")"}), at};
    if (!has_layout_)
      return error{errc::missing, "the file has tiled tensors but does not say their layout",
                   layout_key, at};
    t.type = static_cast<tensor_type>(id);
    return {};
  }

  [[nodiscard]] status place_tensors() noexcept {
    const auto start = checked_align(in_.position(), file_.alignment_);
    const std::uint64_t size = file_.size_;
    // A file of metadata alone may end without padding.
    file_.data_offset_ = start && *start <= size ? *start : size;
    if (file_.tensors_.empty()) return {};
    if (!start || *start > size) return truncated("the file ends before its tensor data");
    const auto bytes = whole_ ? file_.bytes_ : std::span<const std::byte>{};
    return place(file_.tensors_, pending_, bytes, size, file_.data_offset_, file_.alignment_);
  }

  /// Fills `order` with positions sorted by name; the position of an entry whose name occurred
  /// before, if there is one. Sorting, since a hash table can be flooded by a hostile file.
  template <class T, class Name>
  [[nodiscard]] static std::optional<std::uint32_t> sort_by(std::vector<std::uint32_t>& order,
                                                            const std::vector<T>& items,
                                                            Name name) noexcept {
    order.resize(items.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::uint32_t>(i);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      const int c = name(items[a]).compare(name(items[b]));
      return c != 0 ? c < 0 : a < b;
    });
    for (std::size_t i = 1; i < order.size(); ++i)
      if (name(items[order[i - 1]]) == name(items[order[i]])) return order[i];
    return std::nullopt;
  }

  cursor in_;
  file file_;
  std::vector<pending_tensor> pending_;
  std::uint64_t n_tensors_ = 0;
  std::uint64_t n_keys_ = 0;
  bool has_layout_ = false;
  bool wants_more_ = false;
  bool whole_ = false;
};

}  // namespace detail

/// Reads the tables of a GGUF file (version 2 or 3, little-endian) that lies whole in `bytes`; the
/// tables point into `bytes`, which must outlive the result. Time and memory are bounded by the
/// size of `bytes`, whatever they say. Tensors may lie in any order with gaps between them, but
/// each lies inside the file, aligned, and apart from all others.
///
/// Type id 42 has two block sizes in published files: the size of the tensor, that is the distance
/// to the next one or to the end, tells `q2_0` (64 weights) from `q2_0_g128`.
///
/// Errors name the key or tensor and the byte: not_gguf, truncated, malformed, limit, wrong_type
/// (the alignment), unsupported and unknown (versions, tensor types), out_of_memory.
[[nodiscard]] inline result<file> parse(std::span<const std::byte> bytes) noexcept {
  return detail::parser{bytes}.run();
}

}  // namespace gguf
BITNET_NAMESPACE_END
