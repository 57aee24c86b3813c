// SPDX-License-Identifier: Apache-2.0
// The tokenizer of a folder: its vocabulary, special tokens and chat template from whatever files
// say them.
#pragma once

#include <bitnet/convert/checkpoint.hpp>
#include <bitnet/convert/sentencepiece.hpp>
#include <bitnet/convert/tokenizer_json.hpp>
#include <bitnet/text/special_tokens.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace convert {
namespace detail {

/// A JSON file that may be absent. Python reads those of them that people edit, and takes the last
/// of several members of one name.
class optional_json {
 public:
  [[nodiscard]] static result<optional_json> open(const std::string& folder, std::string_view name,
                                                  json::twins members = json::twins::last_counts) {
    optional_json j;
    BITNET_TRY(j.file_, small_file::open(folder, name));
    if (j.file_) {
      BITNET_TRY(j.parsed_, j.file_->parse(members));
    }
    return j;
  }
  [[nodiscard]] explicit operator bool() const noexcept { return file_.has_value(); }
  [[nodiscard]] json::value root() const noexcept { return json::root(parsed_); }
  [[nodiscard]] const json::document& document() const noexcept { return parsed_; }
  /// The member of that name, unless it or the file is absent.
  [[nodiscard]] std::optional<json::value> find(std::string_view name) const {
    return file_ ? root().find_set(name) : std::nullopt;
  }

 private:
  std::optional<small_file> file_;
  json::document parsed_;
};

/// A token id, where files write one, a list, or -1 for none. Ids that are no token are left out.
inline void read_ids(const std::optional<json::value>& from, vocabulary& v,
                     std::vector<text::token_id>& out) {
  const auto one = [&](json::value id) {
    const auto n = id.as<std::int64_t>();
    if (n && *n >= 0 && static_cast<std::uint64_t>(*n) < v.tokens.size()) {
      const auto token = static_cast<text::token_id>(*n);
      if (std::find(out.begin(), out.end(), token) == out.end()) out.push_back(token);
    } else if (!n || *n != -1) {
      v.notes.push_back(std::string{from->key()} + " " + std::string{id.text()} + " is no token");
    }
  };
  if (!from) return;
  if (!from->is(json::kind::array)) return one(*from);
  for (const json::value id : *from) one(id);
}

/// A special token's text, which files write plain or as an object.
[[nodiscard]] inline status read_named(const std::optional<json::value>& from, const vocabulary& v,
                                       std::optional<text::token_id>& id) {
  if (!from) return {};
  const json::value text = from->find("content").value_or(*from);
  BITNET_TRY(const auto name, text.as<std::string_view>());
  const auto found = v.find(name);
  if (!found) return from->wrong(errc::malformed, "the vocabulary has no such token");
  id = found;
  return {};
}

/// Tokens that older files add beside a tokenizer.model.
[[nodiscard]] inline status add_tokens(const optional_json& added,
                                       const std::optional<json::value>& decoder, vocabulary& v) {
  const auto put = [&](std::uint64_t id, std::string_view token, bool special,
                       json::value from) -> status {
    const text::token_type type = added_type(token, special);
    const bool user = type == text::token_type::user_defined;
    const std::string text = user ? with_spaces(token) : std::string{token};
    if (id >= v.tokens.size() || v.tokens[static_cast<std::size_t>(id)].empty())
      return v.add(id, text, type, from);
    const auto at = static_cast<std::size_t>(id);
    if (v.tokens[at] != text)
      return from.wrong(errc::malformed, "the vocabulary has another token here");
    if (special && v.types[at] != text::token_type::unknown) v.types[at] = type;
    return {};
  };
  if (added) {
    for (const json::value entry : added.root()) {
      BITNET_TRY(const auto id, entry.as<std::uint64_t>());
      BITNET_CHECK(put(id, entry.key(), false, entry));
    }
  }
  if (!decoder) return {};
  for (const json::value entry : *decoder) {
    std::uint64_t id = 0;
    const std::string_view key = entry.key();
    const auto done = std::from_chars(key.data(), key.data() + key.size(), id);
    if (done.ec != std::errc{} || done.ptr != key.data() + key.size())
      return entry.wrong(errc::malformed, "the name of a member must be an id");
    BITNET_TRY(const auto token, entry.get<std::string_view>("content"));
    BITNET_TRY(const bool special, entry.get_or<bool>("special", false));
    BITNET_CHECK(put(id, token, special, entry));
  }
  return {};
}

/// The template itself, or the one named "default" of a list.
[[nodiscard]] inline result<std::string> read_chat_template(const std::string& folder,
                                                            const optional_json& config) {
  BITNET_TRY(const auto jinja, small_file::open(folder, "chat_template.jinja"));
  if (jinja) return std::string{jinja->text()};
  BITNET_TRY(const auto file, optional_json::open(folder, "chat_template.json"));
  auto found = config.find("chat_template");
  if (!found) found = file.find("chat_template");
  if (!found) return std::string{};
  if (found->is(json::kind::array)) {
    for (const json::value named : *found) {
      if (!has_text(named, "name", "default")) continue;
      BITNET_TRY(const auto text, named.get<std::string_view>("template"));
      return std::string{text};
    }
    return std::string{};
  }
  BITNET_TRY(const auto text, found->as<std::string_view>());
  return std::string{text};
}

/// Sets the special ids: what the tokenizer's own files name, then what config.json numbers.
[[nodiscard]] inline status read_special(const optional_json& tokenizer_config,
                                         const optional_json& map, const optional_json& generation,
                                         json::value config, vocabulary& v) {
  struct entry {
    std::string_view name;
    std::string_view number;
    std::optional<text::token_id>* id;
  };
  const entry entries[] = {{"bos_token", "bos_token_id", &v.bos},
                           {"eos_token", "eos_token_id", &v.eos},
                           {"unk_token", "unk_token_id", &v.unk},
                           {"pad_token", "pad_token_id", &v.pad}};
  for (const entry& e : entries) {
    BITNET_CHECK(read_named(map.find(e.name), v, *e.id));
    BITNET_CHECK(read_named(tokenizer_config.find(e.name), v, *e.id));
    std::vector<text::token_id> ids;
    if (!*e.id) read_ids(config.find_set(e.number), v, ids);
    if (!ids.empty()) *e.id = ids.front();
  }
  // Other tokens that end a text. Engines know the usual ones by their names.
  std::vector<text::token_id> ends;
  read_ids(generation.find("eos_token_id"), v, ends);
  read_ids(config.find_set("eos_token_id"), v, ends);
  for (const text::token_id id : ends) {
    if (v.eos && id == *v.eos) continue;
    const std::string& token = v.tokens[static_cast<std::size_t>(id)];
    if (std::find(std::begin(text::special::end_of_generation),
                  std::end(text::special::end_of_generation),
                  token) != std::end(text::special::end_of_generation))
      continue;
    if (v.eot) {
      v.notes.push_back(token + " ends texts too, and the file cannot say so");
    } else {
      v.eot = id;
    }
  }
  if (const auto flag = tokenizer_config.find("add_bos_token")) {
    BITNET_TRY(v.add_bos, flag->as<bool>());
  }
  if (const auto flag = tokenizer_config.find("add_eos_token")) {
    BITNET_TRY(v.add_eos, flag->as<bool>());
  }
  return {};
}

}  // namespace detail

/// The tokenizer of a folder for a model of `rows` tokens: tokenizer.json, or tokenizer.model if
/// that is all there is. Ids that no token has are filled with unused ones. The result was tried:
/// text::tokenizer::make accepts it. `config` is config.json; `pre` as in read_tokenizer_json().
[[nodiscard]] inline result<vocabulary> read_tokenizer(const std::string& folder,
                                                       json::value config, std::size_t rows,
                                                       std::string_view pre) {
  BITNET_TRY(const auto tokenizer_config,
             detail::optional_json::open(folder, "tokenizer_config.json"));
  BITNET_TRY(const auto map, detail::optional_json::open(folder, "special_tokens_map.json"));
  BITNET_TRY(const auto generation, detail::optional_json::open(folder, "generation_config.json"));
  vocabulary v;
  {
    BITNET_TRY(const auto fast,
               detail::optional_json::open(folder, "tokenizer.json", json::twins::refused));
    if (fast) {
      BITNET_TRY(v, read_tokenizer_json(fast.document(), pre));
    } else {
      BITNET_TRY(const auto model, small_file::open(folder, "tokenizer.model"));
      if (!model)
        return error{errc::missing, "the folder has neither tokenizer.json nor tokenizer.model",
                     folder};
      BITNET_TRY(v, read_sentencepiece(model->text(), "tokenizer.model"));
      BITNET_TRY(const auto added, detail::optional_json::open(folder, "added_tokens.json"));
      BITNET_CHECK(detail::add_tokens(added, tokenizer_config.find("added_tokens_decoder"), v));
    }
  }
  if (v.tokens.size() > rows)
    return error{errc::shape, "the vocabulary has more tokens than config.json says",
                 std::to_string(v.tokens.size()) + " tokens, vocab_size " + std::to_string(rows)};
  BITNET_CHECK(detail::read_special(tokenizer_config, map, generation, config, v));
  BITNET_TRY(v.chat_template, detail::read_chat_template(folder, tokenizer_config));
  if (v.tokens.size() < rows)
    v.notes.push_back(std::to_string(rows - v.tokens.size()) + " ids without a token are unused");
  v.reserve(rows);
  for (std::size_t i = 0; i < v.tokens.size(); ++i)
    if (v.tokens[i].empty()) v.set(i, "[PAD" + std::to_string(i) + "]", text::token_type::unused);
  const auto tried = text::tokenizer::make(v.view());
  if (!tried) return tried.error();
  return v;
}

}  // namespace convert
BITNET_NAMESPACE_END
