// SPDX-License-Identifier: Apache-2.0
// What a constraint on generated text is, and the one that a language over bytes makes.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/core/token.hpp>
#include <bitnet/sample/choices.hpp>
#include <bitnet/sample/grammar.hpp>
#include <bitnet/sample/token_set.hpp>
#include <bitnet/sample/token_trie.hpp>

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN

/// Says which tokens may come next in one generated text, and follows it. allowed() is never empty
/// while finished() is false; members are ids below vocab(). accepts(t) is allowed().contains(t)
/// without working out the others. accept(t) appends a token that is allowed, and reset() starts
/// over. complete(): the text so far is whole and may end; finished(): nothing can follow it.
template <class C>
concept constraint = requires(C& c, const C& k, token t) {
  { c.allowed() }
  noexcept->std::convertible_to<const sample::token_set&>;
  { c.accepts(t) }
  noexcept->std::convertible_to<bool>;
  { c.accept(t) }
  noexcept->std::convertible_to<bool>;
  { k.complete() }
  noexcept->std::convertible_to<bool>;
  { k.finished() }
  noexcept->std::convertible_to<bool>;
  { k.vocab() }
  noexcept->std::convertible_to<std::size_t>;
  c.reset();
};

namespace sample {

/// A set of byte strings, and how to follow one of them: the walker holds where a text is, and
/// where it would be after 1, 2 .. max_piece more bytes, each made from the one before by step(),
/// which is false if no string goes on so. may_stop(depth): a vocabulary's tokens can complete
/// the text from there. commit(depth) makes a place the new start; key() tells places apart, as
/// long as epoch() is the same. work() counts operations, if they can be many for a byte.
template <class L>
concept byte_language = requires(const L& l, const token_trie& v, typename L::walker& w,
                                 const typename L::walker& k, std::size_t depth, std::uint8_t b) {
  { L::walker::make(l, v) } -> std::same_as<result<typename L::walker>>;
  { w.step(depth, b) }
  noexcept->std::same_as<bool>;
  { k.complete(depth) }
  noexcept->std::same_as<bool>;
  { k.extendable(depth) }
  noexcept->std::same_as<bool>;
  { k.may_stop(depth) }
  noexcept->std::same_as<bool>;
  { k.key() }
  noexcept->std::same_as<std::span<const std::uint64_t>>;
  { k.epoch() }
  noexcept->std::same_as<std::uint32_t>;
  { k.work() }
  noexcept->std::same_as<std::uint64_t>;
  w.commit(depth);
  w.reset();
};

/// Text of a language in tokens of a vocabulary: any tokens that together spell a string of it,
/// then one that ends a text. Control tokens are never allowed otherwise. If the vocabulary has no
/// token that ends a text, the text ends where nothing can follow. Refers to the vocabulary and
/// the language, which must outlive it. Allocates in make only. One text, one object.
template <byte_language L>
class language_constraint {
 public:
  /// errc::invalid_argument if the vocabulary cannot spell what the language asks for. What one of
  /// these has accepted can always be completed, byte by byte or character by character.
  [[nodiscard]] static result<language_constraint> make(const token_trie& vocabulary,
                                                        const L& language) {
    BITNET_TRY(auto walker, L::walker::make(language, vocabulary));
    return language_constraint{vocabulary, std::move(walker)};
  }

  [[nodiscard]] std::size_t vocab() const noexcept { return vocabulary_->vocab(); }
  [[nodiscard]] bool complete() const noexcept { return walker_.complete(0); }
  [[nodiscard]] bool finished() const noexcept { return ended_ || !walker_.extendable(0); }
  /// Where the text is, for what else the language tells.
  [[nodiscard]] const typename L::walker& place() const noexcept { return walker_; }

  [[nodiscard]] bool accepts(token id) noexcept {
    if (ended_) return false;
    if (vocabulary_->is_end(id)) return complete();
    const std::string_view piece = vocabulary_->piece(id);
    return !piece.empty() && walk(piece) && walker_.may_stop(piece.size());
  }

  /// Appends a token; false and unchanged if it is not allowed.
  bool accept(token id) noexcept {
    if (!accepts(id)) return false;
    if (vocabulary_->is_end(id)) {
      ended_ = true;
    } else {
      walker_.commit(vocabulary_->piece(id).size());
    }
    return true;
  }

  void reset() noexcept {
    walker_.reset();
    ended_ = false;
  }

  /// Valid until the next call that is not const. The last few places are remembered, so that the
  /// inside of a long string is worked out once.
  [[nodiscard]] const token_set& allowed() noexcept {
    if (ended_) return nothing_;
    if (epoch_ != walker_.epoch()) {
      for (remembered& r : memory_) r.key_size = 0;
      epoch_ = walker_.epoch();
    }
    const auto key = walker_.key();
    for (remembered& r : memory_)
      if (r.key_size == key.size() && std::equal(key.begin(), key.end(), r.key.begin()))
        return r.tokens;
    remembered& r = memory_[oldest_];
    oldest_ = (oldest_ + 1) % memory_.size();
    r.key_size = key.size() <= r.key.size() ? key.size() : 0;
    std::copy_n(key.begin(), r.key_size, r.key.begin());
    find(r.tokens);
    return r.tokens;
  }

 private:
  struct remembered {
    std::array<std::uint64_t, 32> key;
    std::size_t key_size = 0;
    token_set tokens;
  };
  /// Work on one set of tokens after which only tokens of one character are tried: a bound on what
  /// a hostile grammar can cost, far above what others need.
  static constexpr std::uint64_t most_work = std::uint64_t{1} << 25;

  language_constraint(const token_trie& vocabulary, typename L::walker walker)
      : vocabulary_{&vocabulary}, walker_{std::move(walker)}, nothing_{vocabulary.vocab()} {
    for (remembered& r : memory_) r.tokens = token_set{vocabulary.vocab()};
    epoch_ = walker_.epoch();
  }

  [[nodiscard]] bool walk(std::string_view piece) noexcept {
    for (std::size_t i = 0; i < piece.size(); ++i)
      if (!walker_.step(i, static_cast<std::uint8_t>(piece[i]))) return false;
    return true;
  }

  void find(token_set& out) noexcept {
    out.clear();
    if (complete())
      for (const token id : vocabulary_->ends()) out.insert(id);
    const auto nodes = vocabulary_->nodes();
    const std::uint64_t enough = walker_.work() + most_work;
    for (std::size_t i = 0; i < nodes.size();) {
      const token_trie::node& n = nodes[i];
      const bool next_character = n.depth > 1 && (n.byte & 0xC0U) != 0x80U;
      if ((next_character && walker_.work() > enough) || !walker_.step(n.depth - 1U, n.byte)) {
        i = n.next;
        continue;
      }
      const auto tokens = vocabulary_->tokens(i);
      if (!tokens.empty() && walker_.may_stop(n.depth))
        for (const token id : tokens) out.insert(id);
      ++i;
    }
  }

  const token_trie* vocabulary_;
  typename L::walker walker_;
  token_set nothing_;
  std::array<remembered, 16> memory_;
  std::size_t oldest_ = 0;
  std::uint32_t epoch_ = 0;
  bool ended_ = false;
};

/// The text is one of some strings, or follows a grammar.
using choice_constraint = language_constraint<choices>;
using grammar_constraint = language_constraint<grammar>;

}  // namespace sample

static_assert(constraint<sample::choice_constraint> && constraint<sample::grammar_constraint>);

/// A borrowed constraint of any type.
class constraint_ref {
 public:
  template <constraint C>
    requires(!std::same_as<C, constraint_ref>)
  constraint_ref(C& c)
  noexcept  // NOLINT(google-explicit-constructor)
      : object_{&c}, table_{&functions<C>} {}

  [[nodiscard]] const sample::token_set& allowed() const noexcept {
    return table_->allowed(object_);
  }
  [[nodiscard]] bool accepts(token id) const noexcept { return table_->accepts(object_, id); }
  bool accept(token id) const noexcept { return table_->accept(object_, id); }
  [[nodiscard]] bool complete() const noexcept { return table_->complete(object_); }
  [[nodiscard]] bool finished() const noexcept { return table_->finished(object_); }
  [[nodiscard]] std::size_t vocab() const noexcept { return table_->vocab(object_); }
  void reset() const noexcept { table_->reset(object_); }

 private:
  struct table {
    const sample::token_set& (*allowed)(void*) noexcept;
    bool (*accepts)(void*, token) noexcept;
    bool (*accept)(void*, token) noexcept;
    bool (*complete)(const void*) noexcept;
    bool (*finished)(const void*) noexcept;
    std::size_t (*vocab)(const void*) noexcept;
    void (*reset)(void*) noexcept;
  };
  template <class C>
  static constexpr table functions{
      [](void* o) noexcept -> const sample::token_set& { return static_cast<C*>(o)->allowed(); },
      [](void* o, token t) noexcept -> bool { return static_cast<C*>(o)->accepts(t); },
      [](void* o, token t) noexcept -> bool { return static_cast<C*>(o)->accept(t); },
      [](const void* o) noexcept -> bool { return static_cast<const C*>(o)->complete(); },
      [](const void* o) noexcept -> bool { return static_cast<const C*>(o)->finished(); },
      [](const void* o) noexcept -> std::size_t { return static_cast<const C*>(o)->vocab(); },
      [](void* o) noexcept { static_cast<C*>(o)->reset(); }};

  void* object_;
  const table* table_;
};

BITNET_NAMESPACE_END
