// SPDX-License-Identifier: Apache-2.0
// How tensors get from a document into memory, wherever the document's bytes are; and the same dry,
// to know what that takes.
#pragma once

#include <bitnet/core/memory.hpp>
#include <bitnet/engine/weight_store.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/quant/tiled_matrix.hpp>

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN

/// What the weights of a model take, in bytes of the memory source, each block rounded up to
/// cache_line; exact but where a comment says otherwise. The document's tables, the tokenizer and
/// objects whose size does not depend on the model's width are not in it.
struct weight_plan {
  /// What the model holds. An output head whose weights are not finite takes less than planned.
  std::uint64_t weights = 0;
  /// The most that is allocated at any time while loading, `weights` included.
  std::uint64_t loading = 0;
  /// Bytes of tensors that are used where the document has them: in a mapped file or memory given
  /// to gguf::view().
  std::uint64_t in_place = 0;
};

namespace detail {

/// The bytes of a tensor for a while: the document's own, or a copy.
struct borrowed_bytes {
  const std::byte* data = nullptr;
  aligned_buffer<std::byte> copy = {};
};

/// Takes memory for weights and fills it with tensors. In a dry run it takes and reads nothing but
/// counts what it would, since it does so by the same calls; what it returns then must not be
/// touched. Memory of the model is taken before memory for a while, so that an arena has no holes.
class weight_source {
 public:
  weight_source(const gguf::document& document, weight_store& store, memory_source memory, bool dry)
      : document_{&document},
        store_{&store},
        memory_{dry ? memory_source::untouchable() : memory},
        meter_{memory_},
        dry_{dry} {}
  weight_source(const weight_source&) = delete;
  weight_source& operator=(const weight_source&) = delete;

  [[nodiscard]] bool dry() const noexcept { return dry_; }
  [[nodiscard]] weight_plan taken() const noexcept { return {kept_, meter_.peak(), in_place_}; }

  /// Memory that becomes a part of the model.
  [[nodiscard]] memory_source memory() const noexcept { return memory_; }
  /// Says that so many bytes of it were taken, after they were.
  void count(std::uint64_t bytes) noexcept {
    kept_ += bytes;
    meter_.add(bytes);
  }
  /// Says that they are released again.
  void uncount(std::uint64_t bytes) noexcept {
    kept_ -= bytes;
    meter_.subtract(bytes);
  }
  template <class T>
  [[nodiscard]] result<aligned_buffer<T>> keep(std::size_t size, std::string_view what) {
    auto buffer = aligned_buffer<T>::uninitialized(size, what, false, memory_);
    if (buffer) count(aligned_buffer<T>::bytes_of(size));
    return buffer;
  }
  [[nodiscard]] result<quant::tiled_matrix> keep_tiles(const quant::tile_plan& plan,
                                                       std::string_view what) {
    auto tiles = quant::tiled_matrix::make(plan, what, memory_);
    if (tiles) count(plan.bytes());
    return tiles;
  }
  /// Memory for a while.
  template <class T>
  [[nodiscard]] result<aligned_buffer<T>> lend(std::size_t size, std::string_view what) {
    return aligned_buffer<T>::uninitialized(size, what, false, memory_source{meter_});
  }

  /// A tensor's bytes for as long as the result lives.
  [[nodiscard]] result<borrowed_bytes> borrow(const gguf::tensor_info& t) {
    if (&t == shared_) return borrowed_bytes{shared_bytes_};
    if (!t.data.empty()) return borrowed_bytes{t.data.data()};
    borrowed_bytes b;
    BITNET_TRY(b.copy, lend<std::byte>(static_cast<std::size_t>(t.size), t.name));
    if (!dry_) BITNET_CHECK(document_->read_tensor(t, 0, b.copy.span()));
    b.data = b.copy.data();
    return b;
  }
  /// A tensor's bytes for as long as the model lives, at a multiple of `alignment`.
  [[nodiscard]] result<const std::byte*> own(const gguf::tensor_info& t,
                                             std::size_t alignment = 1) {
    read_whole_.push_back(&t);
    return place(t, alignment);
  }
  /// The same for a tensor of which a row is read now and then, and which is needed again: later
  /// calls find what this one gives.
  [[nodiscard]] result<const std::byte*> share(const gguf::tensor_info& t) {
    BITNET_TRY(shared_bytes_, place(t, 1));
    shared_ = &t;
    return shared_bytes_;
  }
  /// Of a tensor that own() gave only a row is read now and then.
  void read_rows(const gguf::tensor_info& t) { std::erase(read_whole_, &t); }

  /// All tensors are bound: of the document's bytes keeps in memory, and on large pages, only what
  /// every token reads whole.
  void settle() const {
    if (dry_) return;
    std::vector<std::span<const std::byte>> whole;
    for (const gguf::tensor_info* t : read_whole_) whole.push_back(t->data);
    document_->settle(whole);
  }

  /// A small tensor as floats: those of the document where it has them, else memory to fill.
  struct float_values {
    std::span<const float> values;
    std::span<float> to_fill;
  };
  [[nodiscard]] result<float_values> floats(const gguf::tensor_info& t) {
    const auto n = t.elements();
    if (t.type == gguf::tensor_type::f32 && !t.data.empty() &&
        is_aligned(t.data.data(), alignof(float))) {
      in_place_ += t.size;
      return float_values{{reinterpret_cast<const float*>(t.data.data()), n}, {}};
    }
    BITNET_TRY(auto values, keep<float>(n, t.name));
    store_->floats.push_back(std::move(values));
    const auto all = store_->floats.back().span();
    return float_values{all, all};
  }

  /// The document's bytes of a tensor are not needed for now.
  void forget(const gguf::tensor_info& t) const noexcept {
    if (!dry_) document_->forget(t.data);
  }
  void forget(std::span<const std::byte> bytes) const noexcept { document_->forget(bytes); }

 private:
  [[nodiscard]] static bool is_aligned(const std::byte* p, std::size_t alignment) noexcept {
    return reinterpret_cast<std::uintptr_t>(p) % alignment == 0;
  }

  [[nodiscard]] result<const std::byte*> place(const gguf::tensor_info& t, std::size_t alignment) {
    if (&t == shared_ && is_aligned(shared_bytes_, alignment)) return shared_bytes_;
    if (!t.data.empty() && is_aligned(t.data.data(), alignment)) {
      in_place_ += t.size;
      return t.data.data();
    }
    BITNET_TRY(auto copy, keep<std::byte>(static_cast<std::size_t>(t.size), t.name));
    if (!dry_) {
      BITNET_CHECK(document_->read_tensor(t, 0, copy.span()));
      forget(t);
    }
    store_->bytes.push_back(std::move(copy));
    return static_cast<const std::byte*>(store_->bytes.back().data());
  }
  const gguf::document* document_;
  weight_store* store_;
  memory_source memory_;
  memory_meter meter_;  // of what is taken for a while, and with count() of all
  const gguf::tensor_info* shared_ = nullptr;
  const std::byte* shared_bytes_ = nullptr;
  std::vector<const gguf::tensor_info*> read_whole_;
  std::uint64_t kept_ = 0;
  std::uint64_t in_place_ = 0;
  bool dry_;
};

}  // namespace detail
BITNET_NAMESPACE_END
