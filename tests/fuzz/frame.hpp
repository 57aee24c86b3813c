// SPDX-License-Identifier: Apache-2.0
// What fuzz targets share: a check that ends the run, decisions read from the input, and a mutator
// that starts anew from a valid input now and then.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

namespace fuzz {

/// Ends the run, as a finding, if the property does not hold.
inline void require(bool property) {
  if (!property) std::abort();
}

/// Decisions from the input. After its end all are 0, which leaves things as they should be.
class decisions {
 public:
  explicit decisions(std::span<const std::uint8_t> bytes) : bytes_{bytes} {}

  template <class T>
  [[nodiscard]] T value() {
    std::array<std::uint8_t, sizeof(T)> raw{};
    const std::size_t n = std::min(raw.size(), bytes_.size());
    std::copy_n(bytes_.begin(), n, raw.begin());
    bytes_ = bytes_.subspan(n);
    T out;
    std::memcpy(&out, raw.data(), sizeof out);
    return out;
  }
  [[nodiscard]] std::size_t below(std::size_t n) { return value<std::uint8_t>() % n; }
  template <class T, std::size_t N>
  [[nodiscard]] T one_of(const T (&choices)[N]) {
    return choices[below(N)];
  }
  [[nodiscard]] std::string text(std::size_t most) {
    const std::size_t n = std::min(below(most + 1), bytes_.size());
    const auto* first = reinterpret_cast<const char*>(bytes_.data());
    bytes_ = bytes_.subspan(n);
    return n == 0 ? std::string{} : std::string{first, n};
  }
  [[nodiscard]] std::span<const std::uint8_t> rest() const { return bytes_; }

 private:
  std::span<const std::uint8_t> bytes_;
};

/// Mutates an input of at most `most` bytes. One time in `often` it starts anew from what
/// `start(room, number)` puts into the room, a number that varies given, so that deep checks are
/// met without stored seeds. `start` returns how many bytes it put there; 0: nothing fits.
template <class Start>
std::size_t mutate(std::span<std::uint8_t> room, std::size_t size, std::size_t most, unsigned seed,
                   unsigned often, Start start) {
  room = room.first(std::min(room.size(), most));
  size = std::min(size, room.size());
  if (seed % often == 0)
    if (const std::size_t fresh = start(room, seed / often)) size = fresh;
  return LLVMFuzzerMutate(room.data(), size, room.size());
}

/// A start for targets that read decisions: half of them as they should be.
inline std::size_t start_deciding(std::span<std::uint8_t> room, unsigned seed) {
  const std::size_t size = std::min<std::size_t>(room.size(), 64);
  const auto next = [&seed] { return (seed = seed * 1664525U + 1013904223U) >> 24; };
  for (std::size_t i = 0; i < size; ++i)
    room[i] = next() % 2 == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(next());
  return size;
}

/// A start from given bytes.
inline std::size_t start_from(std::span<std::uint8_t> room, std::span<const std::byte> bytes) {
  if (bytes.size() > room.size()) return 0;
  if (!bytes.empty()) std::memcpy(room.data(), bytes.data(), bytes.size());
  return bytes.size();
}

}  // namespace fuzz
