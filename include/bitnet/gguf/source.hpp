// SPDX-License-Identifier: Apache-2.0
// Where the bytes of a model come from: mapped files, the caller's memory or the caller's readers,
// in one part or several.
#pragma once

#include <bitnet/core/huge_pages.hpp>
#include <bitnet/gguf/os.hpp>
#include <bitnet/gguf/parser.hpp>
#include <bitnet/gguf/reader.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace gguf {

/// A file mapped read-only. Move-only; the bytes stay where they are when it moves. The file must
/// not be shortened while it is mapped: the system would end the process on access (SIGBUS). Where
/// that can happen, read the file into memory and use view().
class mapped_file {
 public:
  mapped_file() noexcept = default;
  mapped_file(mapped_file&& other) noexcept : map_{std::exchange(other.map_, {})} {}
  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(map_, other.map_);
    return *this;
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  ~mapped_file() { detail::unmap_file(map_.bytes); }

  /// Maps a regular file; `path` is UTF-8 on Windows. errc::io names the path.
  [[nodiscard]] static result<mapped_file> open(std::string_view path) noexcept {
    mapped_file f;
    BITNET_TRY(f.map_, detail::map_file(path));
    return f;
  }

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return map_.bytes; }
  /// Which file is mapped.
  [[nodiscard]] const file_identity& identity() const noexcept { return map_.identity; }

 private:
  detail::file_map map_;
};

/// Keys that tie the parts of a split model together.
inline constexpr std::string_view split_no_key = "split.no";
inline constexpr std::string_view split_count_key = "split.count";
inline constexpr std::string_view split_tensors_key = "split.tensors.count";

/// A model as stored: one GGUF file or all parts of a split one, with one list of tensors. Owns
/// its mappings, but not memory given to view() or readers given to read(). Move-only; tensors and
/// metadata stay where they are when it moves. Any number of threads may use it, but for
/// read_tensor() one at a time where there are readers.
class document {
 public:
  /// Maps and parses a file. If it is the first part of a split model, named
  /// `prefix-00001-of-NNNNN.gguf`, the other parts beside it are opened too.
  /// Errors: io; those of parse(); malformed if parts do not belong together; invalid_argument if
  /// `path` is not the first part.
  [[nodiscard]] static result<document> open(std::string_view path) noexcept {
    document d;
    BITNET_CHECK(d.add_file(path));
    BITNET_TRY(const std::uint64_t count, d.part_count(path));
    if (count > 1) {
      const std::string first = part_suffix(0, count);
      if (!path.ends_with(first))
        return detail::path_error(errc::invalid_argument,
                                  "the first part of a split model must be named "
                                  "prefix-00001-of-NNNNN.gguf, with NNNNN parts",
                                  path);
      const std::string prefix{path.substr(0, path.size() - first.size())};
      for (std::uint64_t i = 1; i < count; ++i)
        BITNET_CHECK(d.add_file(prefix + part_suffix(i, count)));
    }
    BITNET_CHECK(d.join());
    return d;
  }

  /// Parses a model in the caller's memory, which must outlive the document.
  [[nodiscard]] static result<document> view(std::span<const std::byte> bytes) noexcept {
    return view(std::span{&bytes, 1});
  }
  /// The same for all parts of a split model, in order.
  [[nodiscard]] static result<document> view(
      std::span<const std::span<const std::byte>> parts) noexcept {
    document d;
    if (parts.empty()) return error{errc::invalid_argument, "there are no parts"};
    for (const auto bytes : parts) BITNET_CHECK(d.add(bytes));
    BITNET_TRY(const std::uint64_t count, d.part_count({}));
    if (count != parts.size())
      return error{errc::invalid_argument, "the model has another number of parts than given",
                   split_count_key};
    BITNET_CHECK(d.join());
    return d;
  }

  /// Reads the tables of a model through the caller's readers, one for each part, in order. They
  /// must live until the model is loaded; tensors are read one at a time then.
  /// Errors: those of parse() and of the readers; limit for tables of more than 1 GiB.
  [[nodiscard]] static result<document> read(std::span<const reader_ref> parts) {
    document d;
    if (parts.empty()) return error{errc::invalid_argument, "there are no parts"};
    for (const reader_ref& part : parts) {
      BITNET_TRY(detail::read_head head, detail::read_tables(part));
      d.heads_.push_back(std::move(head.bytes));
      d.parts_.push_back(std::move(head.tables));
    }
    d.readers_.assign(parts.begin(), parts.end());
    BITNET_TRY(const std::uint64_t count, d.part_count({}));
    if (count != parts.size())
      return error{errc::invalid_argument, "the model has another number of parts than given",
                   split_count_key};
    BITNET_CHECK(d.join());
    return d;
  }

  /// Metadata of the model: that of the first part.
  [[nodiscard]] const metadata& meta() const noexcept { return parts_.front().meta(); }
  /// The parsed parts; one for a file that is not split.
  [[nodiscard]] std::span<const file> parts() const noexcept { return parts_; }
  /// The files that are mapped, one for each part, or none if the caller has the bytes.
  [[nodiscard]] std::span<const mapped_file> mappings() const noexcept { return mappings_; }
  /// All tensors, in the order of the parts and of their tables.
  [[nodiscard]] std::span<const tensor_info* const> tensors() const noexcept { return tensors_; }

  /// The tensor of that name, or null.
  [[nodiscard]] const tensor_info* find(std::string_view name) const noexcept {
    for (const file& part : parts_)
      if (const tensor_info* t = part.find(name)) return t;
    return nullptr;
  }
  /// The tensor of that name; errc::missing if there is none.
  [[nodiscard]] result<const tensor_info*> get(std::string_view name) const noexcept {
    const tensor_info* t = find(name);
    if (t == nullptr) return error{errc::missing, "the file lacks this tensor", name};
    return t;
  }

  /// Copies out.size() bytes of a tensor of this document, from byte `offset` of it on, which must
  /// be there. Errors of readers, and errc::io after close_readers(), name the tensor and the place
  /// in its file.
  [[nodiscard]] status read_tensor(const tensor_info& t, std::uint64_t offset,
                                   std::span<std::byte> out) const {
    BITNET_ASSERT(offset <= t.size && out.size() <= t.size - offset, "read_tensor() out of range");
    if (out.empty()) return {};
    if (!t.data.empty()) {
      std::memcpy(out.data(), t.data.data() + offset, out.size());
      return {};
    }
    for (std::size_t i = 0; i < readers_.size(); ++i) {
      const std::span<const tensor_info> in_part = parts_[i].tensors();
      if (!std::less_equal<>{}(in_part.data(), &t) ||
          !std::less<>{}(&t, in_part.data() + in_part.size()))
        continue;
      return detail::read_exactly(readers_[i], parts_[i].size(), t.offset + offset, out, t.name);
    }
    return error{errc::io, "the reader of the file was closed", t.name, t.offset + offset};
  }
  /// Forgets the readers, so that they need not live any longer.
  void close_readers() noexcept { readers_.clear(); }

  /// Lets the system take back the memory of these bytes, part of a tensor's data, and of up to a
  /// huge page around them: they are read from the file again on the next access. Does nothing for
  /// bytes given to view().
  void forget(std::span<const std::byte> bytes) const noexcept {
    for (const mapped_file& m : mappings_) {
      const auto begin = reinterpret_cast<std::uintptr_t>(m.bytes().data());
      const auto at = reinterpret_cast<std::uintptr_t>(bytes.data());
      if (at < begin || at - begin >= m.bytes().size()) continue;
      // The ends may lie in huge pages, which are mapped, and forgotten, as one.
      const std::uintptr_t first = std::max(at / huge_page * huge_page, begin) - begin;
      const std::uintptr_t last = round_up(at + bytes.size(), huge_page) - begin;
      detail::forget_pages(
          m.bytes().subspan(first, std::min<std::size_t>(last, m.bytes().size()) - first));
    }
  }
  /// The same for all mapped bytes but `kept`, from now on too: single rows that are read of them
  /// bring small pages back. To be called when loading has ended.
  void settle(std::vector<std::span<const std::byte>> kept) const {
    std::sort(kept.begin(), kept.end(),
              [](auto a, auto b) { return std::less<>{}(a.data(), b.data()); });
    for (const mapped_file& m : mappings_) {
      std::span<const std::byte> rest = m.bytes();
      for (const auto k : kept) {
        if (std::less<>{}(k.data(), rest.data())) continue;
        if (!std::less<>{}(k.data(), rest.data() + rest.size())) break;
        const auto gap = rest.first(static_cast<std::size_t>(k.data() - rest.data()));
        if (gap.size() >= huge_page) detail::use_small_pages(gap);
        rest = rest.subspan(std::min(rest.size(), gap.size() + k.size()));
      }
      if (rest.size() >= huge_page) detail::use_small_pages(rest);
    }
  }

 private:
  /// "-00002-of-00003.gguf" for part 1 of 3.
  [[nodiscard]] static std::string part_suffix(std::uint64_t no, std::uint64_t count) noexcept {
    const auto five = [](std::uint64_t n) {
      std::string digits = std::to_string(n);
      if (digits.size() < 5) digits.insert(0, 5 - digits.size(), '0');
      return digits;
    };
    return "-" + five(no + 1) + "-of-" + five(count) + ".gguf";
  }

  [[nodiscard]] status add(std::span<const std::byte> bytes) noexcept {
    BITNET_TRY(file f, parse(bytes));
    parts_.push_back(std::move(f));
    return {};
  }
  [[nodiscard]] status add_file(std::string_view path) noexcept {
    BITNET_TRY(mapped_file m, mapped_file::open(path));
    BITNET_CHECK(add(m.bytes()));
    mappings_.push_back(std::move(m));
    return {};
  }

  /// Number of parts that the first one announces; an error if it is not the first one.
  [[nodiscard]] result<std::uint64_t> part_count(std::string_view path) const noexcept {
    const std::string_view what = path.empty() ? split_no_key : path;
    BITNET_TRY(const std::uint16_t count, meta().get_or<std::uint16_t>(split_count_key, 1));
    BITNET_TRY(const std::uint16_t no, meta().get_or<std::uint16_t>(split_no_key, 0));
    if (count == 0) return error{errc::malformed, "the number of parts is zero", split_count_key};
    if (no >= count)
      return error{errc::malformed, "the part's number is not below the number of parts",
                   split_no_key};
    if (no != 0)
      return detail::path_error(errc::invalid_argument,
                                "this is a later part of a split model; give the first one", what);
    return std::uint64_t{count};
  }

  /// Checks that the parts belong together and lists their tensors.
  [[nodiscard]] status join() noexcept {
    std::size_t total = 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      total += parts_[i].tensors().size();
      if (parts_.size() == 1) break;
      const metadata& m = parts_[i].meta();
      BITNET_TRY(const std::uint16_t no, m.get<std::uint16_t>(split_no_key));
      BITNET_TRY(const std::uint16_t count, m.get<std::uint16_t>(split_count_key));
      if (no != i || count != parts_.size())
        return error{errc::malformed, "the parts of the split model do not belong together",
                     no != i ? split_no_key : split_count_key};
    }
    tensors_.reserve(total);
    for (const file& part : parts_)
      for (const tensor_info& t : part.tensors()) tensors_.push_back(&t);
    if (parts_.size() == 1) return {};

    BITNET_TRY(const std::uint64_t announced, meta().get<std::uint64_t>(split_tensors_key));
    if (announced != total)
      return error{errc::malformed, "the parts have another number of tensors than announced",
                   split_tensors_key};
    std::vector<const tensor_info*> sorted = tensors_;
    std::sort(sorted.begin(), sorted.end(),
              [](const tensor_info* a, const tensor_info* b) { return a->name < b->name; });
    const auto twin = std::adjacent_find(
        sorted.begin(), sorted.end(),
        [](const tensor_info* a, const tensor_info* b) { return a->name == b->name; });
    if (twin != sorted.end())
      return error{errc::malformed, "the tensor is in two parts of the split model", (*twin)->name};
    return {};
  }

  std::vector<mapped_file> mappings_;
  std::vector<reader_ref> readers_;               // one for each part, or none
  std::vector<aligned_buffer<std::byte>> heads_;  // what they read
  std::vector<file> parts_;
  std::vector<const tensor_info*> tensors_;
};

/// Maps and parses a model file; see document::open().
[[nodiscard]] inline result<document> open(std::string_view path) noexcept {
  return document::open(path);
}
/// Parses a model in the caller's memory; see document::view().
[[nodiscard]] inline result<document> view(std::span<const std::byte> bytes) noexcept {
  return document::view(bytes);
}
/// Parses the parts of a split model in the caller's memory; see document::view().
[[nodiscard]] inline result<document> view(
    std::span<const std::span<const std::byte>> parts) noexcept {
  return document::view(parts);
}
/// Reads the tables of a model through the caller's reader; see document::read().
[[nodiscard]] inline result<document> read(reader_ref reader) {
  return document::read(std::span{&reader, 1});
}
/// The same for all parts of a split model.
[[nodiscard]] inline result<document> read(std::span<const reader_ref> parts) {
  return document::read(parts);
}

}  // namespace gguf
BITNET_NAMESPACE_END
