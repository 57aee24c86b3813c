// SPDX-License-Identifier: Apache-2.0
// Copies of a model file with other metadata: edited keys, and tensors that are copied as they are.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/gguf/writer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace gguf {

/// A metadata value that is not in a file yet. It is stored with the type that it has here.
using new_value =
    std::variant<bool, std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t,
                 std::int32_t, std::uint64_t, std::int64_t, float, double, std::string,
                 std::vector<std::string>, std::vector<std::uint32_t>, std::vector<std::int32_t>,
                 std::vector<float>>;

/// Changes to the metadata of a file.
class metadata_edits {
 public:
  /// Sets a key, whether the file has it or not. The last call for a key counts.
  void set(std::string_view key, new_value value) {
    remove(key);
    changes_.back().value = std::move(value);
    changes_.back().sets = true;
  }
  /// Leaves a key out.
  void remove(std::string_view key) {
    keep(key);
    changes_.push_back({std::string{key}, {}, false});
  }
  /// Leaves a key as the file has it: takes back what was set.
  void keep(std::string_view key) {
    std::erase_if(changes_, [&](const change& c) { return c.key == key; });
  }
  /// Leaves out what ties the parts of a split model together, for a copy that is one file.
  void remove_split() {
    for (const std::string_view key : {split_no_key, split_count_key, split_tensors_key})
      remove(key);
  }

  /// Sets all keys of `from`, changed ones in their place and new ones behind, in the order of the
  /// calls. Errors are those of writer::set().
  [[nodiscard]] status apply(const metadata& from, writer& to) const {
    for (const auto& [key, value] : from) {
      const auto at = std::find_if(changes_.begin(), changes_.end(),
                                   [&k = key](const change& c) { return c.key == k; });
      if (at == changes_.end()) {
        BITNET_CHECK(to.set(key, value));
      } else {
        BITNET_CHECK(put(*at, to));
      }
    }
    for (const change& c : changes_)
      if (!from.contains(c.key)) BITNET_CHECK(put(c, to));
    return {};
  }

 private:
  struct change {
    std::string key;
    new_value value;
    bool sets = false;
  };

  [[nodiscard]] static status put(const change& c, writer& to) {
    if (!c.sets) return {};
    return std::visit([&](const auto& value) { return to.set(c.key, value); }, c.value);
  }

  std::vector<change> changes_;
};

/// Writes the bytes of a tensor as they are, a few megabytes at a time where they are not in
/// memory. `memory` gives the room for that.
template <class Stream>
[[nodiscard]] status copy_tensor(const document& from, const tensor_info& t, Stream& out,
                                 const memory_source& memory = {}) {
  if (!t.data.empty()) {
    const status done = out.write(t.data);
    from.forget(t.data);
    return done;
  }
  constexpr std::uint64_t piece_bytes = std::uint64_t{4} << 20;
  const auto room = static_cast<std::size_t>(std::min(piece_bytes, t.size));
  BITNET_TRY(auto piece, aligned_buffer<std::byte>::uninitialized(room, t.name, false, memory));
  for (std::uint64_t at = 0; at < t.size;) {
    const auto now =
        piece.span().first(static_cast<std::size_t>(std::min<std::uint64_t>(room, t.size - at)));
    BITNET_CHECK(from.read_tensor(t, at, now));
    BITNET_CHECK(out.write(now));
    at += now.size();
  }
  return {};
}

}  // namespace gguf
BITNET_NAMESPACE_END
