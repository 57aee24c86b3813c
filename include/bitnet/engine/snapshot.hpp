// SPDX-License-Identifier: Apache-2.0
// A sequence as bytes that can be kept in a file: made by one session, restored into another.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/core/checksum.hpp>
#include <bitnet/core/result.hpp>
#include <bitnet/engine/sequence.hpp>
#include <bitnet/nn/hparams.hpp>
#include <bitnet/quant/kv_copy.hpp>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// What a snapshot begins with; numbers are little-endian. The tokens, the state if there is one,
/// and the keys and values of each chunk follow (for each layer and head as quant::pack_kv says),
/// and a checksum of all of it at the end.
struct snapshot_header {
  static constexpr std::array<char, 8> right_magic{'B', 'I', 'T', 'S', 'E', 'S', 'S', '\n'};
  static constexpr std::uint32_t current_version = 1;

  std::array<char, 8> magic = right_magic;
  std::uint32_t version = current_version;
  nn::kv_type kv = nn::kv_type::f16;
  std::uint8_t ready = 0;
  std::uint16_t unused = 0;
  std::uint64_t model = 0;
  std::uint64_t tokens = 0;
  std::uint64_t size = 0;  ///< of the whole snapshot
};
static_assert(sizeof(snapshot_header) == 40 && std::is_trivially_copyable_v<snapshot_header>);

/// Bytes of a snapshot of `tokens` tokens; nothing if the number does not fit.
[[nodiscard]] inline std::optional<std::uint64_t> snapshot_size(const nn::hparams& h,
                                                                nn::kv_type kv,
                                                                std::uint64_t tokens,
                                                                bool ready) noexcept {
  if (tokens > (std::uint64_t{1} << 24)) return std::nullopt;  // more than a context may have
  const auto size = nn::kv_cache::bytes(h, static_cast<std::size_t>(tokens), kv);
  const std::uint64_t rest = sizeof(snapshot_header) + tokens * sizeof(token) +
                             (ready ? h.dim * sizeof(float) : 0) + sizeof(std::uint64_t);
  return size ? checked_add(*size, rest) : std::nullopt;
}

/// f(head, chunk, positions, bytes) for the keys and values of a sequence of `tokens` tokens, in
/// the order of a snapshot.
template <class F>
void for_each_part(const nn::kv_cache& cache, std::size_t tokens, F&& f) {
  for (std::size_t chunk = 0; chunk * quant::kv_chunk < tokens; ++chunk)
    for (std::size_t i = 0; i < cache.heads(); ++i) {
      const std::size_t count = std::min(tokens - chunk * quant::kv_chunk, quant::kv_chunk);
      const quant::kv_head head = cache.head(0, i);
      f(head, chunk, count, quant::packed_kv_bytes(head, count));
    }
}

/// Writes a snapshot to the start of `out`; returns its size.
[[nodiscard]] inline result<std::size_t> save_snapshot(const sequence& s, const nn::hparams& h,
                                                       std::uint64_t model,
                                                       std::span<std::byte> out) noexcept {
  snapshot_header header;
  header.kv = s.cache().type();
  header.ready = s.ready() ? 1 : 0;
  header.model = model;
  header.tokens = s.position();
  const auto size = snapshot_size(h, header.kv, header.tokens, s.ready());
  if (!size || *size > out.size())
    return error{errc::out_of_memory, "the memory is smaller than snapshot_bytes()", "snapshot"};
  header.size = *size;
  std::byte* at = out.data();
  const auto put = [&](const void* from, std::size_t bytes) {
    if (bytes != 0) std::memcpy(at, from, bytes);
    at += bytes;
  };
  put(&header, sizeof header);
  put(s.tokens().data(), s.tokens().size_bytes());
  if (s.ready()) put(s.state().data(), s.state().size_bytes());
  for_each_part(
      s.cache(), s.position(),
      [&](const quant::kv_head& head, std::size_t chunk, std::size_t count, std::size_t bytes) {
        quant::pack_kv(head, chunk, count, at);
        at += bytes;
      });
  const std::uint64_t sum = checksum({out.data(), at});
  put(&sum, sizeof sum);
  return static_cast<std::size_t>(header.size);
}

/// Checks everything that can be wrong with a snapshot for a session of that model.
[[nodiscard]] inline result<snapshot_header> check_snapshot(std::span<const std::byte> bytes,
                                                            const sequence& s, const nn::hparams& h,
                                                            std::uint64_t model) noexcept {
  const auto refuse = [](errc code, const char* why) { return error{code, why, "snapshot"}; };
  snapshot_header header;
  if (bytes.size() < sizeof header + sizeof(std::uint64_t))
    return refuse(errc::truncated, "the bytes end before the snapshot does");
  std::memcpy(&header, bytes.data(), sizeof header);
  if (header.magic != snapshot_header::right_magic)
    return refuse(errc::malformed, "the bytes are no snapshot of a session");
  if (header.version != snapshot_header::current_version)
    return refuse(errc::unsupported, "the snapshot has another version than this library writes");
  if (header.size > bytes.size())
    return refuse(errc::truncated, "the bytes end before the snapshot does");
  std::uint64_t sum = 0;
  if (header.size != bytes.size())
    return refuse(errc::malformed, "the snapshot has another size than it says");
  std::memcpy(&sum, bytes.data() + bytes.size() - sizeof sum, sizeof sum);
  if (checksum(bytes.first(bytes.size() - sizeof sum)) != sum)
    return refuse(errc::malformed, "the snapshot is damaged: its checksum is wrong");
  if (header.model != model)
    return refuse(errc::invalid_argument, "the snapshot was made with another model");
  if (header.kv != s.cache().type())
    return refuse(errc::wrong_type, "the snapshot holds another type of keys and values");
  if (header.ready > 1 || (header.ready == 1 && header.tokens == 0) ||
      snapshot_size(h, header.kv, header.tokens, header.ready != 0) != header.size)
    return refuse(errc::malformed, "the snapshot's sizes contradict each other");
  if (header.tokens > s.capacity())
    return refuse(errc::context_full, "the snapshot holds more tokens than fit in the session");
  for (std::size_t i = 0; i < header.tokens; ++i) {
    token t = 0;
    std::memcpy(&t, bytes.data() + sizeof header + i * sizeof t, sizeof t);
    if (t < 0 || static_cast<std::size_t>(t) >= h.vocab)
      return refuse(errc::malformed, "a token id is outside the vocabulary");
  }
  return header;
}

/// The sequence becomes that of the snapshot, or stays as it is.
[[nodiscard]] inline status restore_snapshot(std::span<const std::byte> bytes, sequence& s,
                                             const nn::hparams& h, std::uint64_t model) noexcept {
  BITNET_TRY(const auto header, check_snapshot(bytes, s, h, model));
  BITNET_CHECK(s.rewind(0));
  const std::byte* at = bytes.data() + sizeof header;
  const auto get = [&](void* to, std::size_t size) {
    if (size != 0) std::memcpy(to, at, size);
    at += size;
  };
  const auto tokens = static_cast<std::size_t>(header.tokens);
  get(s.next_tokens().data(), tokens * sizeof(token));
  if (header.ready != 0) get(s.next_state().data(), s.next_state().size_bytes());
  for_each_part(
      s.cache(), tokens,
      [&](const quant::kv_head& head, std::size_t chunk, std::size_t count, std::size_t size) {
        quant::unpack_kv(head, chunk, count, at);
        at += size;
      });
  s.accept(tokens, header.ready != 0);
  return {};
}

}  // namespace detail
BITNET_NAMESPACE_END
