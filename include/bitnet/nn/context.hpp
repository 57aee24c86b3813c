// SPDX-License-Identifier: Apache-2.0
// What a layer needs while it runs: kernels, threads, scratch memory, and the rows of the step.
#pragma once

#include <bitnet/core/executor.hpp>
#include <bitnet/core/memory.hpp>
#include <bitnet/core/token.hpp>
#include <bitnet/core/view.hpp>
#include <bitnet/isa/runnable.hpp>
#include <bitnet/kernels/kernels.hpp>
#include <bitnet/nn/hparams.hpp>
#include <bitnet/nn/kv_cache.hpp>
#include <bitnet/nn/profile.hpp>
#include <bitnet/nn/step_control.hpp>

#include <algorithm>

BITNET_NAMESPACE_BEGIN
namespace nn {

/// One vector for each row of a step, in scratch memory.
using activations = matrix_view<float>;

/// One row of a step: one token at one position of one sequence. Decoding, prefilling and advancing
/// many sequences differ only in which rows a step holds, so they give the same bits.
struct step_row {
  token id = 0;
  std::size_t position = 0;  ///< below cache->capacity(); rows of a sequence come in order
  const kv_cache* cache = nullptr;
  bool wants_logits = false;
};

/// Kernels chosen at run time, once for each step.
class dynamic_kernels {
 public:
  /// Those given, or the best of this machine.
  explicit dynamic_kernels(const kernels::kernel_table& table) noexcept : table_{&table} {}
  dynamic_kernels() noexcept : dynamic_kernels{kernels::best_table()} {}
  [[nodiscard]] const kernels::kernel_table& operator*() const noexcept { return *table_; }
  /// f(tag) with the tag of the chosen instruction set, for kernels that users add by overloads.
  template <class F>
  void with_isa(F&& f) const {
    isa::visit(table_->isa, f);
  }

 private:
  const kernels::kernel_table* table_;
};

/// Kernels fixed at compile time: calls are direct.
template <isa::tag Isa>
struct static_kernels {
  [[nodiscard]] constexpr const kernels::kernel_table& operator*() const noexcept {
    return kernels::table_of<Isa>;
  }
  template <class F>
  void with_isa(F&& f) const {
    f(Isa{});
  }
};

/// Runs that n pieces of work, such as tiles, are cut into: several for each thread, so that one
/// that loses its core holds up little, but none so short that reading could not settle into
/// streams.
[[nodiscard]] constexpr std::size_t piece_count(std::size_t n, std::size_t threads) noexcept {
  constexpr std::size_t shortest = 32;
  if (threads == 1) return std::min<std::size_t>(n, 1);
  return std::min(n, threads * std::clamp<std::size_t>(n / shortest / threads, 2, 8));
}

/// Passed to every layer of a step. Layers take scratch from it, run their kernels through it, and
/// touch numbers only inside its loops (`parallel`, `pieces`, `each_row`, `once`): a measuring
/// context skips those, so that one dry run tells how much scratch a model needs, whatever its
/// layers are, and so does one whose step was stopped; see step_control. Which loops there are may
/// depend on the rows of the step and on numbers that a loop left in scratch.
template <class Kernels = dynamic_kernels>
class context {
 public:
  /// Nothing is owned. `scratch` holds what measuring reported, or is a measuring arena.
  context(Kernels chosen, executor_ref threads, arena& scratch, const hparams& shape,
          std::span<const step_row> rows) noexcept
      : kernels_{chosen}, threads_{threads}, scratch_{&scratch}, shape_{&shape}, rows_{rows} {}

  [[nodiscard]] const kernels::kernel_table& kernels() const noexcept { return *kernels_; }
  template <class F>
  void with_isa(F&& f) const {
    kernels_.with_isa(f);
  }
  [[nodiscard]] const hparams& shape() const noexcept { return *shape_; }
  [[nodiscard]] std::span<const step_row> rows() const noexcept { return rows_; }
  [[nodiscard]] bool measuring() const noexcept { return scratch_->measuring(); }
  [[nodiscard]] std::size_t concurrency() const noexcept { return threads_.concurrency(); }

  /// Scratch for one vector of `width` for each of `count` rows; contents undefined.
  [[nodiscard]] activations make(std::size_t count, std::size_t width) noexcept {
    return {take<float>(count * width), count, width};
  }
  template <class T>
  [[nodiscard]] T* take(std::size_t count) noexcept {
    const auto memory = scratch_->template take<T>(count);
    BITNET_ASSERT(memory.size() == count, "scratch is smaller than the measured need");
    return memory.data();
  }

  /// Scratch taken while a frame lives is given back at its end.
  class frame {
   public:
    explicit frame(arena& scratch) noexcept : scratch_{&scratch}, mark_{scratch.mark()} {}
    frame(const frame&) = delete;
    frame& operator=(const frame&) = delete;
    ~frame() { scratch_->release(mark_); }

   private:
    arena* scratch_;
    std::size_t mark_;
  };
  [[nodiscard]] frame scope() noexcept { return frame{*scratch_}; }

  /// Whether loops are skipped, so that scratch holds no numbers to decide by.
  [[nodiscard]] bool skipping() const noexcept {
    return measuring() || (control != nullptr && control->stopped());
  }

  /// task(index, worker) for each index below n, on the executor's threads.
  void parallel(std::size_t n, parallel_task task) const {
    if (measuring()) return;
    if (control == nullptr) return spread(n, task);
    control->loop(n, concurrency(), [&](std::size_t first, std::size_t last) {
      spread(last - first, [&](std::size_t i, std::size_t worker) {
        if (!control->noticed()) task(first + i, worker);
      });
    });
  }

  /// task(first, last, worker) for runs that together are [0, n), piece_count of them.
  template <class F>
  void pieces(std::size_t n, F&& task) const {
    if (measuring() || n == 0) return;
    const auto run = [&](std::size_t begin, std::size_t end) {
      const std::size_t size = end - begin, count = piece_count(size, concurrency());
      spread(count, [&](std::size_t piece, std::size_t worker) {
        const std::size_t first = begin + size * piece / count;
        heedful(first, begin + size * (piece + 1) / count,
                [&](std::size_t from, std::size_t to) { task(from, to, worker); });
      });
    };
    if (control == nullptr) return run(0, n);
    control->loop(n, concurrency(), run);
  }

  /// f(row) for each row below n. A few rows are cheaper than waking threads.
  template <class F>
  void each_row(std::size_t n, F&& f) const {
    if (measuring()) return;
    const auto run = [&](std::size_t begin, std::size_t end) {
      const auto row = [&](std::size_t r) {
        if (control == nullptr || !control->noticed()) f(r);
      };
      if (n < 4) {
        for (std::size_t r = begin; r < end; ++r) row(r);
      } else {
        spread(end - begin, [&](std::size_t i, std::size_t) { row(begin + i); });
      }
    };
    if (control == nullptr) return run(0, n);
    control->loop(n, n < 4 ? 1 : concurrency(), run);
  }

  /// f() as a loop of one item: for what is done once on the calling thread.
  template <class F>
  void once(F&& f) const {
    if (measuring()) return;
    if (control == nullptr) return f();
    control->loop(1, 1, [&](std::size_t, std::size_t) { f(); });
  }

  /// While it lives, the step's time belongs to that part; without a profile it costs a test.
  [[nodiscard]] step_profile::scope time(step_part part) const noexcept {
    return step_profile::scope{profile, part};
  }

  /// Where time is accounted for, or null. Set by the session.
  step_profile* profile = nullptr;
  /// What may stop the step, or null. Set by the session.
  step_control* control = nullptr;
  /// The layer that runs now, which selects keys and values. Set by the decoder.
  std::size_t layer = 0;
  void begin_layer(std::size_t index) noexcept {
    layer = index;
    if (control != nullptr) control->layer();
  }
  /// Rotation angles of each row: [rows][rope.dims / 2]. Set by the decoder.
  const float* rope_cos = nullptr;
  const float* rope_sin = nullptr;

 private:
  /// run(from, to) for runs that together are [first, last), between which a step that is cancelled
  /// is left.
  template <class F>
  void heedful(std::size_t first, std::size_t last, F&& run) const {
    if (control == nullptr) return run(first, last);
    for (std::size_t count; first < last && !control->noticed(); first += count) {
      count = std::min(last - first, control->unseen());
      run(first, first + count);
    }
  }
  void spread(std::size_t n, parallel_task task) const {
    if (n == 1) {
      task(0, 0);
    } else {
      threads_.parallel_for(n, task);
    }
  }

  Kernels kernels_;
  executor_ref threads_;
  arena* scratch_;
  const hparams* shape_;
  std::span<const step_row> rows_;
};

/// y += x, row by row.
template <class C>
void add(C& c, activations y, activations x) {
  c.each_row(y.rows, [&](std::size_t r) { c.kernels().add(y.row(r), x.row(r), y.cols); });
}

}  // namespace nn
BITNET_NAMESPACE_END
