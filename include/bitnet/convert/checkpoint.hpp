// SPDX-License-Identifier: Apache-2.0
// A folder as Hugging Face publishes models: its small files, and its weights in one or many
// shards.
#pragma once

#include <bitnet/convert/safetensors.hpp>
#include <bitnet/gguf/source.hpp>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert {

/// A small file of a folder, kept mapped.
class small_file {
 public:
  /// Nothing if there is no such file; errc::io if it cannot be read.
  [[nodiscard]] static result<std::optional<small_file>> open(const std::string& folder,
                                                              std::string_view name) {
    small_file f;
    f.name_ = name;
    const std::string path = folder + "/" + f.name_;
    std::error_code failed;
    const std::u8string utf8{path.begin(), path.end()};
    if (!std::filesystem::exists(std::filesystem::path{utf8}, failed))
      return std::optional<small_file>{};
    BITNET_TRY(f.bytes_, gguf::mapped_file::open(path));
    return std::optional<small_file>{std::move(f)};
  }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::string_view text() const noexcept {
    const auto bytes = bytes_.bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  /// The file as JSON; it must outlive the document.
  [[nodiscard]] result<json::document> parse(json::twins members = json::twins::refused) const {
    return json::parse(text(), name_, members);
  }

 private:
  std::string name_;
  gguf::mapped_file bytes_;
};

/// All tensors of a folder with model.safetensors, or with model.safetensors.index.json and the
/// shards that it names. Move-only; the tensors' bytes lie in mapped files that it owns.
class checkpoint {
 public:
  /// errc::missing if there are no such files; malformed if index and shards disagree, or a shard's
  /// name leads out of the folder; errors of read_safetensors().
  [[nodiscard]] static result<checkpoint> open(const std::string& folder) {
    checkpoint c;
    BITNET_TRY(const bool whole, c.add_shard(folder, "model.safetensors"));
    if (!whole) {
      BITNET_TRY(const auto index, small_file::open(folder, "model.safetensors.index.json"));
      if (!index)
        return error{errc::missing,
                     "the folder has neither model.safetensors nor model.safetensors.index.json; "
                     "other checkpoints must be saved as safetensors first",
                     folder};
      BITNET_CHECK(c.add_shards(folder, *index));
    }
    std::sort(c.tensors_.begin(), c.tensors_.end(),
              [](const source_tensor& a, const source_tensor& b) { return a.name < b.name; });
    for (std::size_t i = 1; i < c.tensors_.size(); ++i)
      if (c.tensors_[i].name == c.tensors_[i - 1].name)
        return c.tensors_[i].wrong(errc::malformed, "the tensor is in two shards");
    return c;
  }

  /// By name.
  [[nodiscard]] std::span<const source_tensor> tensors() const noexcept { return tensors_; }
  [[nodiscard]] const source_tensor* find(std::string_view name) const noexcept {
    const auto at = std::lower_bound(
        tensors_.begin(), tensors_.end(), name,
        [](const source_tensor& t, std::string_view wanted) { return t.name < wanted; });
    return at != tensors_.end() && at->name == name ? &*at : nullptr;
  }
  /// The mapped shards.
  [[nodiscard]] std::span<const gguf::mapped_file> mappings() const noexcept { return shards_; }

 private:
  /// False if there is no such file.
  [[nodiscard]] result<bool> add_shard(const std::string& folder, const std::string& name) {
    const std::string path = folder + "/" + name;
    std::error_code failed;
    const std::u8string utf8{path.begin(), path.end()};
    if (!std::filesystem::exists(std::filesystem::path{utf8}, failed)) return false;
    BITNET_TRY(auto shard, gguf::mapped_file::open(path));
    BITNET_TRY(auto tensors, read_safetensors(shard.bytes(), name));
    for (source_tensor& t : tensors) t.mapped = true;
    shards_.push_back(std::move(shard));
    tensors_.insert(tensors_.end(), std::move_iterator{tensors.begin()},
                    std::move_iterator{tensors.end()});
    return true;
  }

  /// Every shard holds just the tensors that the index says.
  [[nodiscard]] status add_shards(const std::string& folder, const small_file& index) {
    BITNET_TRY(const json::document parsed, index.parse());
    BITNET_TRY(const auto map, json::root(parsed).get<json::value>("weight_map"));
    std::vector<std::pair<std::string, std::string>> wanted;  // shard, tensor
    for (const json::value entry : map) {
      BITNET_TRY(const auto shard, entry.as<std::string_view>());
      if (!is_plain_name(shard))
        return entry.wrong(errc::malformed, "a shard is named by a file name alone");
      wanted.emplace_back(shard, entry.key());
    }
    std::sort(wanted.begin(), wanted.end());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (i != 0 && wanted[i].first == wanted[i - 1].first) continue;
      BITNET_TRY(const bool there, add_shard(folder, wanted[i].first));
      if (!there) return error{errc::missing, "the folder lacks this shard", wanted[i].first};
    }
    std::vector<std::pair<std::string, std::string>> found;
    for (const source_tensor& t : tensors_) found.emplace_back(t.file, t.name);
    std::sort(found.begin(), found.end());
    for (std::size_t i = 0; i < std::max(wanted.size(), found.size()); ++i) {
      if (i == found.size() || (i < wanted.size() && wanted[i] < found[i]))
        return error{errc::missing, "the index names a tensor that the shard lacks",
                     wanted[i].first + ": " + wanted[i].second};
      if (i == wanted.size() || found[i] < wanted[i])
        return error{errc::malformed, "the shard has a tensor that the index places elsewhere",
                     found[i].first + ": " + found[i].second};
    }
    return {};
  }

  [[nodiscard]] static bool is_plain_name(std::string_view name) noexcept {
    return name.size() < 256 && name.ends_with(".safetensors") && !name.starts_with('.') &&
           name.find_first_of(std::string_view{"/\\:\0", 4}) == std::string_view::npos;
  }

  std::vector<gguf::mapped_file> shards_;
  std::vector<source_tensor> tensors_;
};

}  // namespace convert
BITNET_NAMESPACE_END
