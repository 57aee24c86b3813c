// SPDX-License-Identifier: Apache-2.0
// What a repair is asked, finds and changes.
#pragma once

#include <bitnet/engine/repair/vocabulary_evidence.hpp>
#include <bitnet/gguf/edit.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

BITNET_NAMESPACE_BEGIN

/// What a user knows about a file. Everything set here counts, whatever the file says.
struct repair_options {
  std::string_view pre = {};            ///< pre-tokenizer, a name of text::find_pre_tokenizer()
  std::string_view chat_template = {};  ///< Jinja, for example text::chat_template_of(format)
  /// Special tokens: their number, or else their text; "none" leaves the key out.
  std::string_view bos = {}, eos = {}, eot = {}, unk = {}, pad = {};
  std::optional<bool> add_bos = {};
  std::optional<bool> add_eos = {};
  /// Any keys with their values, but for those that tie the parts of a split model together.
  std::vector<std::pair<std::string, gguf::new_value>> set = {};
  std::vector<std::string> remove = {};  ///< keys to leave out
};

/// A key that a repair changes. The texts are for people.
struct metadata_change {
  std::string key;
  std::string from;  ///< empty: the key was absent
  std::string to;    ///< empty: the key is left out
  std::string reason;
};

/// Something missing or wrong that the file does not decide.
struct open_question {
  std::string key;
  std::string problem;
  std::string_view option;  ///< member of repair_options that answers it
};

/// What plan_repair() found.
struct metadata_repair {
  std::vector<metadata_change> changes;
  std::vector<open_question> open;
  std::vector<std::string> notes;  ///< what may be missed, but is not wrong
  gguf::metadata_edits edits;      ///< the changes, for a writer
};

namespace detail {

/// A text of a file, for messages: one line, and not a long one.
[[nodiscard]] inline std::string quoted_text(std::string_view text) {
  constexpr std::size_t most = 60;
  std::string out{'\''};
  std::size_t end = std::min(text.size(), most);
  while (end < text.size() && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U)
    --end;
  for (const char c : text.substr(0, end)) {
    const auto u = static_cast<unsigned char>(c);
    out += u < 0x20 || u == 0x7f ? '?' : c;
  }
  out += end < text.size() ? "...'" : "'";
  return out;
}

[[nodiscard]] inline std::string describe(double x) {
  return x > -1e15 && x < 1e15 ? std::to_string(x) : "no ordinary number";
}

[[nodiscard]] inline std::string describe(const gguf::metadata_value& value) {
  using gguf::value_type;
  switch (value.type()) {
    case value_type::string:
      return quoted_text(*value.as<std::string_view>());
    case value_type::boolean:
      return *value.as<bool>() ? "true" : "false";
    case value_type::array:
      return "list of " + std::to_string(value.count());
    case value_type::f32:
    case value_type::f64:
      return describe(*value.as<double>());
    case value_type::u64:
      return std::to_string(*value.as<std::uint64_t>());
    default:
      return std::to_string(*value.as<std::int64_t>());
  }
}

[[nodiscard]] inline std::string describe(const gguf::new_value& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::remove_cvref_t<decltype(v)>;
        if constexpr (std::is_same_v<T, bool>) {
          return v ? "true" : "false";
        } else if constexpr (std::is_same_v<T, std::string>) {
          return quoted_text(v);
        } else if constexpr (std::is_floating_point_v<T>) {
          return describe(static_cast<double>(v));
        } else if constexpr (std::is_arithmetic_v<T>) {
          return std::to_string(v);
        } else {
          return "list of " + std::to_string(v.size());
        }
      },
      value);
}

/// Whether the file has this value already, stored with the same type. Lists are never compared.
[[nodiscard]] inline bool same_value(const gguf::metadata_value& there,
                                     const gguf::new_value& wanted) {
  return std::visit(
      [&](const auto& v) {
        using T = std::remove_cvref_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>) {
          return there.type() == gguf::value_type::string && *there.as<std::string_view>() == v;
        } else if constexpr (std::is_arithmetic_v<T>) {
          return there.type() == gguf::detail::type_for<T>() && *there.as<T>() == v;
        } else {
          return false;
        }
      },
      wanted);
}

/// A repair in the making: the file, what is asked of it, and what was decided so far.
struct repair_draft {
  const gguf::metadata& meta;
  const repair_options& options;
  vocabulary_evidence tokens = {};
  std::string_view architecture = {};
  metadata_repair out = {};

  static constexpr const char* as_asked = "as asked for";

  /// Sets a key, unless the file has that value. `to` says it in words.
  void set(std::string_view key, gguf::new_value value, std::string reason, std::string to = {}) {
    const gguf::metadata_value* there = meta.find(key);
    if (there != nullptr && same_value(*there, value)) return forget(key);
    change(key, to.empty() ? describe(value) : std::move(to), std::move(reason));
    out.edits.set(key, std::move(value));
  }
  void remove(std::string_view key, std::string reason) {
    if (!meta.contains(key)) return forget(key);
    change(key, {}, std::move(reason));
    out.edits.remove(key);
  }
  void ask(std::string_view key, std::string problem, std::string_view option) {
    out.open.push_back({std::string{key}, std::move(problem), option});
  }

  /// The file's text under a key; empty if there is none or it is no text.
  [[nodiscard]] std::string_view text_of(std::string_view key) const noexcept {
    const gguf::metadata_value* value = meta.find(key);
    return value != nullptr ? value->as<std::string_view>().value_or("") : std::string_view{};
  }
  [[nodiscard]] std::string describe_token(text::token_id id) const {
    return std::to_string(id) + " (" + quoted_text(tokens[id]) + ")";
  }
  /// The architectures of BitNet-b1.58-2B-4T.
  [[nodiscard]] bool is_b158() const noexcept {
    return architecture == "bitnet-b1.58" || architecture == "bitnet-25";
  }

 private:
  /// Nothing happens to the key after all.
  void forget(std::string_view key) {
    std::erase_if(out.changes, [&](const metadata_change& c) { return c.key == key; });
    out.edits.keep(key);
  }
  void change(std::string_view key, std::string to, std::string reason) {
    forget(key);
    const gguf::metadata_value* there = meta.find(key);
    out.changes.push_back({std::string{key}, there != nullptr ? describe(*there) : std::string{},
                           std::move(to), std::move(reason)});
  }
};

}  // namespace detail
BITNET_NAMESPACE_END
