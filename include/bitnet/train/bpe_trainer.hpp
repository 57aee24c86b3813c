// SPDX-License-Identifier: Apache-2.0
// Learns the merges of a byte-level BPE vocabulary from text (Sennrich, Haddow, Birch, "Neural
// Machine Translation of Rare Words with Subword Units", 2016).
#pragma once

#include <bitnet/core/result.hpp>
#include <bitnet/text/bpe.hpp>
#include <bitnet/text/pretokenize.hpp>
#include <bitnet/train/bpe_vocabulary.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace train {

struct bpe_options {
  std::size_t size = 2048;         ///< tokens at most: 257 (bytes and end of text) to 65536
  std::uint64_t min_count = 2;     ///< a pair that occurs less often is not merged
  std::size_t longest_word = 256;  ///< bytes; what is longer is no word that can be learned from
  std::string_view pre = "gpt-2";  ///< a pre-tokenizer that text::find_pre_tokenizer knows
  std::string_view end_of_text = "<|endoftext|>";
};

/// Counts the words of text and then merges the most frequent pair of neighbouring tokens, again
/// and again. Of equally frequent pairs the one with the smaller left id wins, then that with the
/// smaller right id, so the same words in any order give the same vocabulary. Pair counts are kept
/// up to date merge by merge over the distinct words: memory and time grow with those, not with
/// the text. Not thread safe.
class bpe_trainer {
 public:
  /// errc::invalid_argument, errc::unknown (pre-tokenizer).
  [[nodiscard]] static result<bpe_trainer> make(const bpe_options& options = {}) {
    constexpr std::size_t least = 257, most = 65536;
    if (options.size < least || options.size > most)
      return error{errc::invalid_argument, "a vocabulary has 257 to 65536 tokens", "size"};
    if (options.min_count == 0 || options.longest_word == 0)
      return error{errc::invalid_argument, "the number must be above 0", "min_count"};
    BITNET_TRY(const auto pre, text::find_pre_tokenizer(options.pre));
    bpe_trainer t{options, pre};
    const auto is_byte = [&](std::string_view text) {
      return std::find(t.texts_.begin(), t.texts_.end(), text) != t.texts_.end();
    };
    if (options.end_of_text.empty() || is_byte(options.end_of_text))
      return error{errc::invalid_argument, "the token that ends a text needs a name of its own",
                   "end_of_text"};
    return t;
  }

  /// Counts the words of a document (without separators). Any number of calls.
  void add(std::string_view document) {
    text::split_words(pre_, document, [this](std::string_view word) {
      if (word.size() <= longest_word_) ++counts_[std::string{word}];
    });
  }

  /// Distinct words so far.
  [[nodiscard]] std::size_t words() const noexcept { return counts_.size(); }

  /// The vocabulary of what was added: fewer than `size` tokens if nothing is left to merge.
  /// errc::limit for words of more than 2^32 bytes together.
  [[nodiscard]] result<bpe_vocabulary> train() const {
    learner l{min_count_};
    BITNET_CHECK(l.read(counts_));
    bpe_vocabulary v;
    v.pre = pre_name_;
    v.tokens = texts_;
    v.end_of_text = static_cast<text::token_id>(bytes);
    v.tokens.push_back(end_of_text_);
    std::unordered_set<std::string> taken{v.tokens.begin(), v.tokens.end()};
    while (v.tokens.size() < size_) {
      const auto best = l.best();
      if (!best) break;
      // Ids of the learner: the end-of-text token is none of its symbols, but has an id.
      std::string left = v.tokens[best->first], right = v.tokens[best->second];
      std::string joined = left + right;
      if (!taken.insert(joined).second) {  // two ways to one text: one of them is enough
        l.forget(*best);
        continue;
      }
      l.merge(*best, static_cast<std::uint32_t>(v.tokens.size()));
      v.merges.push_back(std::move(left) + ' ' + right);
      v.tokens.push_back(std::move(joined));
    }
    return v;
  }

 private:
  static constexpr std::size_t bytes = 256;
  using pair = std::pair<std::uint32_t, std::uint32_t>;
  using word_counts = std::unordered_map<std::string, std::uint64_t>;

  struct pair_hash {
    std::size_t operator()(const pair& p) const noexcept {
      const std::uint64_t x = (std::uint64_t{p.first} << 32 | p.second) * 0x9E3779B97F4A7C15U;
      return static_cast<std::size_t>(x ^ x >> 32);
    }
  };

  /// Words as tokens, and how often each pair of neighbours occurs.
  class learner {
   public:
    explicit learner(std::uint64_t min_count) : min_count_{min_count} {}

    [[nodiscard]] status read(const word_counts& counts) {
      if (counts.size() > 0xFFFFFFFFU) return error{errc::limit, "too many words", "text"};
      words_.reserve(counts.size());
      for (const auto& [text, count] : counts) {
        word w{{}, count};
        w.tokens.reserve(text.size());
        for (const char c : text) w.tokens.push_back(static_cast<unsigned char>(c));
        const auto index = static_cast<std::uint32_t>(words_.size());
        for (std::size_t i = 0; i + 1 < w.tokens.size(); ++i)
          add({w.tokens[i], w.tokens[i + 1]}, count, index);
        words_.push_back(std::move(w));
      }
      for (const auto& [p, o] : pairs_) push(p, o.count);
      changed_.clear();
      return {};
    }

    /// The most frequent pair.
    [[nodiscard]] std::optional<pair> best() {
      while (!queue_.empty()) {
        const candidate c = queue_.top();
        queue_.pop();
        const auto found = pairs_.find(c.tokens);
        if (found == pairs_.end() || found->second.count != c.count) continue;  // out of date
        return c.tokens;
      }
      return std::nullopt;
    }
    /// Never gives the pair again.
    void forget(const pair& p) {
      pairs_.erase(p);
      forgotten_.insert(p);
    }

    /// Replaces the pair by a token in all words.
    void merge(const pair& p, std::uint32_t token) {
      auto node = pairs_.extract(p);
      std::vector<std::uint32_t>& where = node.mapped().words;
      std::sort(where.begin(), where.end());
      where.erase(std::unique(where.begin(), where.end()), where.end());
      changed_.clear();
      for (const std::uint32_t w : where) merge_in(w, p, token);
      for (const pair& c : changed_) {
        const auto found = pairs_.find(c);
        if (found == pairs_.end()) continue;
        if (found->second.count == 0) {
          pairs_.erase(found);
        } else {
          push(c, found->second.count);
        }
      }
    }

   private:
    struct word {
      std::vector<std::uint32_t> tokens;
      std::uint64_t count;
    };
    struct occurrences {
      std::uint64_t count = 0;
      std::vector<std::uint32_t> words;  ///< may name a word that has lost the pair
    };
    struct candidate {
      std::uint64_t count;
      pair tokens;
      bool operator<(const candidate& o) const noexcept {
        return count != o.count ? count < o.count : tokens > o.tokens;
      }
    };

    void push(const pair& p, std::uint64_t count) {
      if (count >= min_count_) queue_.push({count, p});
    }
    void add(const pair& p, std::uint64_t count, std::uint32_t where) {
      if (!forgotten_.empty() && forgotten_.count(p) != 0) return;
      occurrences& o = pairs_[p];
      o.count += count;
      changed_.insert(p);
      if (o.words.empty() || o.words.back() != where) o.words.push_back(where);
    }
    void subtract(const pair& p, std::uint64_t count) {
      const auto found = pairs_.find(p);
      if (found == pairs_.end()) return;  // the pair that is being merged, or a forgotten one
      found->second.count -= count;
      changed_.insert(p);
    }

    void merge_in(std::uint32_t index, const pair& p, std::uint32_t token) {
      word& w = words_[index];
      std::vector<std::uint32_t>& t = w.tokens;
      const auto holds = [&](std::size_t i) {
        return i + 1 < t.size() && t[i] == p.first && t[i + 1] == p.second;
      };
      std::size_t at = 0;
      while (at < t.size() && !holds(at)) ++at;
      if (at == t.size()) return;
      // One replacement after the other: t[0, out) is done, t[at, ...) is not.
      std::size_t out = at;
      while (at < t.size()) {
        if (!holds(at)) {
          t[out++] = t[at++];
          continue;
        }
        if (out > 0) {
          subtract({t[out - 1], p.first}, w.count);
          add({t[out - 1], token}, w.count, index);
        }
        if (at + 2 < t.size()) {
          subtract({p.second, t[at + 2]}, w.count);
          add({token, t[at + 2]}, w.count, index);
        }
        t[out++] = token;
        at += 2;
      }
      t.resize(out);
    }

    std::uint64_t min_count_;
    std::vector<word> words_;
    std::unordered_map<pair, occurrences, pair_hash> pairs_;
    std::priority_queue<candidate> queue_;
    std::unordered_set<pair, pair_hash> changed_, forgotten_;
  };

  bpe_trainer(const bpe_options& options, text::pre_tokenizer pre)
      : pre_{pre},
        pre_name_{options.pre},
        end_of_text_{options.end_of_text},
        size_{options.size},
        min_count_{options.min_count},
        longest_word_{options.longest_word} {
    for (const char16_t code : text::byte_spelling) {
      texts_.emplace_back();
      text::append_utf8(texts_.back(), code);
    }
  }

  text::pre_tokenizer pre_;
  std::string pre_name_, end_of_text_;
  std::size_t size_;
  std::uint64_t min_count_;
  std::size_t longest_word_;
  std::vector<std::string> texts_;  ///< of the 256 bytes
  word_counts counts_;
};

}  // namespace train
BITNET_NAMESPACE_END
