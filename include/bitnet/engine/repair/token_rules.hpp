// SPDX-License-Identifier: Apache-2.0
// Repairs of special tokens: their ids, their types, and whether they are put round texts.
#pragma once

#include <bitnet/engine/repair/draft.hpp>
#include <bitnet/text/chat.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// Names of tokens that begin texts, that end them, and that stand for what is unknown.
inline constexpr std::string_view begin_names[] = {
    "<|begin_of_text|>", "<s>", "<bos>", "<|startoftext|>",
    "<\xEF\xBD\x9C"
    "begin\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"};
inline constexpr std::string_view end_names[] = {
    "<|end_of_text|>", "<|endoftext|>", "</s>", "<eos>",
    "<\xEF\xBD\x9C"
    "end\xE2\x96\x81of\xE2\x96\x81sentence\xEF\xBD\x9C>"};
inline constexpr std::string_view unknown_names[] = {"<unk>"};

[[nodiscard]] inline bool is_one_of(std::span<const std::string_view> names,
                                    std::string_view name) noexcept {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Special tokens as they are after the repair.
class token_rules {
 public:
  /// `format` is that of the chat template after the repair, if it is known.
  [[nodiscard]] static status apply(repair_draft& draft, std::optional<text::chat_format> format) {
    token_rules rules{draft};
    BITNET_CHECK(rules.fix_begin_and_end());
    BITNET_CHECK(rules.fix_end_of_turn(format));
    BITNET_CHECK(rules.fix_others());
    rules.fix_flags();
    rules.fix_types();
    return {};
  }

 private:
  using optional_id = std::optional<text::token_id>;
  enum class state { absent, good, bad };
  struct id_entry {
    state is = state::absent;
    text::token_id id = -1;
    [[nodiscard]] optional_id known() const {
      return is == state::good ? optional_id{id} : std::nullopt;
    }
  };

  explicit token_rules(repair_draft& draft) : d_{draft} {}

  [[nodiscard]] bool bpe() const noexcept { return d_.tokens.kind() == text::vocabulary_kind::bpe; }

  [[nodiscard]] id_entry read(std::string_view key) const {
    const auto id = read_token_id(d_.meta, key, d_.tokens.size());
    if (!id) return {state::bad};
    return *id ? id_entry{state::good, **id} : id_entry{};
  }

  void set_id(std::string_view key, text::token_id id, std::string reason) {
    if (read(key).known() == id) return;  // with whatever type it is stored
    d_.set(key, static_cast<std::uint32_t>(id), std::move(reason), d_.describe_token(id));
  }

  /// The token that an option names, by number or else by text; nothing for "none".
  [[nodiscard]] result<optional_id> named(std::string_view option) const {
    if (option == "none") return optional_id{};
    std::uint64_t number = 0;
    const auto [end, failed] =
        std::from_chars(option.data(), option.data() + option.size(), number);
    if (failed == std::errc{} && end == option.data() + option.size()) {
      if (number < d_.tokens.size()) return optional_id{static_cast<text::token_id>(number)};
    } else if (const auto id = d_.tokens.find(option)) {
      return optional_id{id};
    }
    return error{errc::invalid_argument, "no token has this text or number", option};
  }

  /// Whether the option decides the key, which is then set or left out; `id` is the outcome.
  [[nodiscard]] result<bool> asked(std::string_view key, std::string_view option, optional_id& id) {
    if (option.empty()) return false;
    BITNET_TRY(id, named(option));
    if (id) {
      set_id(key, *id, repair_draft::as_asked);
    } else {
      d_.remove(key, repair_draft::as_asked);
    }
    return true;
  }

  /// An ordinary token where only a special one makes sense.
  [[nodiscard]] bool is_plain_text(text::token_id id,
                                   std::span<const std::string_view> names) const {
    return d_.tokens.ordinary(id) && (bpe() || !is_one_of(names, d_.tokens[id]));
  }

  /// Repairs BOS or EOS. `otherwise` is the number that engines assume in SentencePiece files.
  [[nodiscard]] status fix(std::string_view key, std::string_view option_name,
                           std::string_view option, std::span<const std::string_view> names,
                           text::token_id otherwise, optional_id& id) {
    BITNET_TRY(const bool decided, asked(key, option, id));
    if (decided) return {};
    const id_entry there = read(key);
    id = there.known();
    const optional_id only = d_.tokens.only(names);
    if (there.is == state::good && !is_plain_text(there.id, names)) return {};
    if (there.is == state::absent && !bpe() &&
        static_cast<std::size_t>(otherwise) < d_.tokens.size()) {
      id = otherwise;
      if (!only || *only == otherwise) return {};
    }
    if (only) {
      id = only;
      set_id(key, *only,
             there.is == state::absent ? "the one special token of such a name in the vocabulary"
             : there.is == state::good
                 ? "that is a token of ordinary text; the vocabulary has one special token for this"
                 : "there is no such token; the vocabulary has one special token for this");
    } else if (there.is == state::bad) {
      d_.ask(key, "it names no token of the vocabulary, and which one is meant is not clear",
             option_name);
    }
    return {};
  }

  [[nodiscard]] status fix_begin_and_end() {
    BITNET_CHECK(fix("tokenizer.ggml.bos_token_id", "bos", d_.options.bos, begin_names, 1, bos_));
    return fix("tokenizer.ggml.eos_token_id", "eos", d_.options.eos, end_names, 2, eos_);
  }

  [[nodiscard]] status fix_end_of_turn(std::optional<text::chat_format> format) {
    constexpr std::string_view key = "tokenizer.ggml.eot_token_id";
    optional_id id;
    BITNET_TRY(const bool decided, asked(key, d_.options.eot, id));
    if (decided) return {};
    const std::string_view name = format ? text::end_of_turn(*format) : std::string_view{};
    // -1 for none: GCC 12 takes what an optional of nothing holds for used.
    const token wanted = name.empty() ? -1 : d_.tokens.special(name).value_or(-1);
    const id_entry there = read(key);
    const bool wrong = there.is == state::bad ||
                       (there.is == state::good && bpe() && d_.tokens.ordinary(there.id));
    if (wanted >= 0 && (wrong || (there.is == state::absent && eos_ != wanted))) {
      set_id(key, wanted, "the chat format ends turns with it");
    } else if (wrong) {
      d_.remove(key, there.is == state::bad ? "there is no such token"
                                            : "that is a token of ordinary text");
    }
    return {};
  }

  /// Ids that models can do without: what is no token is replaced by its known name or left out.
  [[nodiscard]] status fix_others() {
    optional_id id;
    for (const auto& [key, option, names] :
         {std::tuple{"tokenizer.ggml.unknown_token_id", d_.options.unk,
                     std::span<const std::string_view>{unknown_names}},
          std::tuple{"tokenizer.ggml.padding_token_id", d_.options.pad,
                     std::span<const std::string_view>{}}}) {
      BITNET_TRY(const bool decided, asked(key, option, id));
      if (decided || read(key).is != state::bad) continue;
      if (const auto only = d_.tokens.only(names)) {
        set_id(key, *only, "there is no such token; the vocabulary has one of this name");
      } else {
        d_.remove(key, "there is no such token");
      }
    }
    return {};
  }

  /// A flag of the file, or what a text or number in its place plainly means.
  [[nodiscard]] std::optional<bool> read_flag(std::string_view key) const {
    const gguf::metadata_value* value = d_.meta.find(key);
    if (value == nullptr) return std::nullopt;
    if (const auto flag = value->as<bool>()) return *flag;
    const auto number = value->as<std::int64_t>();
    if (number && (*number == 0 || *number == 1)) return *number == 1;
    const std::string_view text = value->as<std::string_view>().value_or("");
    if (text == "true" || text == "True") return true;
    if (text == "false" || text == "False") return false;
    return std::nullopt;
  }

  void fix_flag(std::string_view key, std::string_view option_name, std::optional<bool> option,
                std::optional<bool> proven, const char* reason) {
    if (option) return d_.set(key, *option, repair_draft::as_asked);
    if (!d_.meta.contains(key)) return;  // engines then do what the pre-tokenizer's name implies
    const std::optional<bool> there = read_flag(key);
    if (proven && there != proven) return d_.set(key, *proven, reason);
    if (there) return d_.set(key, *there, "a flag is stored as a bool");
    d_.ask(key, "the value is neither true nor false", option_name);
  }

  void fix_flags() {
    std::optional<bool> begins;
    const char* reason = "";
    if (d_.is_b158() && d_.tokens.family() == vocabulary_family::llama3) {
      begins = true;
      reason = "the model was trained with this token at the beginning of every text";
    } else if (d_.tokens.family() == vocabulary_family::qwen && bos_ &&
               d_.tokens[*bos_] == "<|endoftext|>") {
      begins = false;
      reason = "Qwen's vocabulary has no token to begin texts with; this one ends them";
    }
    fix_flag("tokenizer.ggml.add_bos_token", "add_bos", d_.options.add_bos, begins, reason);
    fix_flag("tokenizer.ggml.add_eos_token", "add_eos", d_.options.add_eos, {}, "");
    fix_flag("tokenizer.ggml.add_space_prefix", "set", {}, {}, "");
  }

  /// A token that text never becomes and that is named like a control token, but is not typed so.
  [[nodiscard]] bool is_mistyped(text::token_id id) const {
    const auto i = static_cast<std::size_t>(id);
    const auto type = d_.tokens.types().empty() ? text::token_type::normal : d_.tokens.types()[i];
    if (type != text::token_type::normal && type != text::token_type::undefined) return false;
    const std::string_view name = d_.tokens[id];
    if (bpe())
      return !d_.tokens.ordinary(id) &&
             (text::looks_special(name) || is_one_of(begin_names, name) ||
              is_one_of(end_names, name));
    return !d_.tokens.types().empty() &&
           ((bos_ == id && name == "<s>") || (eos_ == id && name == "</s>"));
  }

  void fix_types() {
    constexpr std::string_view key = "tokenizer.ggml.token_type";
    std::vector<text::token_id> wrong;
    for (std::size_t i = 0; i < d_.tokens.size(); ++i)
      if (is_mistyped(static_cast<text::token_id>(i)))
        wrong.push_back(static_cast<text::token_id>(i));
    if (wrong.empty()) return;
    const auto stated = d_.meta.get<gguf::array_view<std::int32_t>>(key);
    std::vector<std::int32_t> types(d_.tokens.size(),
                                    static_cast<std::int32_t>(text::token_type::normal));
    if (stated) types.assign(stated->begin(), stated->end());
    for (const text::token_id id : wrong)
      types[static_cast<std::size_t>(id)] = static_cast<std::int32_t>(text::token_type::control);
    std::string to = std::to_string(wrong.size()) + " more of type control: ";
    constexpr std::size_t most = 4;
    for (std::size_t i = 0; i < std::min(wrong.size(), most); ++i)
      to += (i == 0 ? "" : ", ") + d_.describe_token(wrong[i]);
    if (wrong.size() > most) to += ", ...";
    d_.set(key, std::move(types), "text never becomes these tokens, and they are named as such",
           std::move(to));
  }

  repair_draft& d_;
  optional_id bos_;
  optional_id eos_;
};

}  // namespace detail
BITNET_NAMESPACE_END
