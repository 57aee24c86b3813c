// SPDX-License-Identifier: Apache-2.0
// Snapshots: the same bits after them, and refusal of everything that is not whole and fitting.
#include "engine/support.hpp"

#include "doctest.hpp"

#include <bitnet/isa/runnable.hpp>

#include <initializer_list>

using bitnet::errc;
using bitnet::token;
using bitnet::nn::kv_type;
using session = bitnet::session<bitnet::dynamic_model>;

using testing::logits_of;
using testing::small_model;
using testing::tokens_from;

namespace {

std::vector<std::byte> saved(const session& s) {
  std::vector<std::byte> bytes(s.snapshot_bytes());
  const auto size = s.snapshot(bytes);
  REQUIRE(size);
  CHECK(*size == bytes.size());
  return bytes;
}

}  // namespace

TEST_CASE("a restored session goes on with the same bits") {
  const auto model = small_model("bitnet-", 1);
  const auto other = small_model("bitnet-", testing::two_threads(), "scalar");
  REQUIRE(model);
  REQUIRE(other);
  for (const auto kv : {kv_type::f16, kv_type::f32, kv_type::q8})
    for (const std::size_t n : std::initializer_list<std::size_t>{0, 1, 15, 16, 255, 256, 300}) {
      CAPTURE(n);
      auto a = session::make(*model, model->threads(), {.context = 330, .kv = kv});
      REQUIRE(a);
      REQUIRE(a->feed(tokens_from(0, n)));
      const auto bytes = saved(*a);
      CHECK(bytes == saved(*a));
      std::vector<float> here;
      if (n != 0) here = logits_of(*a);
      REQUIRE(a->feed(tokens_from(900, 4)));
      const auto later = logits_of(*a);

      auto pool = bitnet::nn::kv_pool::make(other->shape(), kv, 3);
      REQUIRE(pool);
      auto b = session::make(*other, other->threads(),
                             {.context = 600, .batch = 7, .kv = kv, .pool = &*pool});
      REQUIRE(b);
      REQUIRE(b->feed(tokens_from(40, 5)));
      REQUIRE(b->restore(bytes));
      CHECK(b->position() == n);
      CHECK(b->ready() == (n != 0));
      CHECK(logits_of(*b) == here);
      CHECK(saved(*b) == bytes);  // and no byte of what lay there before
      REQUIRE(b->feed(tokens_from(900, 4)));
      CHECK(logits_of(*b) == later);
    }
}

TEST_CASE("no snapshot that is cut or changed is taken") {
  const auto model = small_model("llama-", 1);
  REQUIRE(model);
  auto a = session::make(*model, model->threads(), {.context = 32, .kv = kv_type::q8});
  auto b = session::make(*model, model->threads(), {.context = 32, .kv = kv_type::q8});
  REQUIRE(a);
  REQUIRE(b);
  REQUIRE(a->feed(tokens_from(0, 5)));
  REQUIRE(b->feed(tokens_from(7, 3)));
  const auto before = logits_of(*b);
  auto bytes = saved(*a);
  std::size_t taken = 0;
  for (std::size_t n = 0; n < bytes.size(); n += n < 200 || bytes.size() - n < 200 ? 1U : 97U)
    taken += static_cast<bool>(b->restore(std::span{bytes}.first(n))) ? 1U : 0U;
  for (std::size_t i = 0; i < bytes.size(); i += i < 400 || bytes.size() - i < 400 ? 1U : 61U)
    for (const unsigned bit : {1U, 0x80U}) {
      bytes[i] ^= static_cast<std::byte>(bit);
      taken += static_cast<bool>(b->restore(bytes)) ? 1U : 0U;
      bytes[i] ^= static_cast<std::byte>(bit);
    }
  auto longer = bytes;
  longer.push_back(std::byte{0});
  taken += static_cast<bool>(b->restore(longer)) ? 1U : 0U;
  CHECK(taken == 0);
  CHECK(b->position() == 3);
  CHECK(logits_of(*b) == before);
  CHECK(b->restore(bytes));
}

TEST_CASE("a snapshot is refused by another model, version, type, size and size of memory") {
  const auto model = small_model("llama-f16", 1);
  REQUIRE(model);
  auto a = session::make(*model, model->threads(), {.context = 32});
  REQUIRE(a);
  REQUIRE(a->feed(tokens_from(0, 20)));
  const auto bytes = saved(*a);
  const auto code_of = [&](const bitnet::dynamic_model& m, const bitnet::session_options& options,
                           std::span<const std::byte> from) {
    auto s = session::make(m, m.threads(), options);
    REQUIRE(s);
    const auto restored = s->restore(from);
    REQUIRE(!restored);
    CHECK(s->position() == 0);
    return restored.error().code();
  };
  CHECK(code_of(*model, {.context = 19}, bytes) == errc::context_full);
  CHECK(code_of(*model, {.context = 32, .kv = kv_type::q8}, bytes) == errc::wrong_type);
  const auto other = small_model("llama-q4_0", 1);
  REQUIRE(other);
  CHECK(code_of(*other, {.context = 32}, bytes) == errc::invalid_argument);

  auto changed = bytes;
  const auto seal = [&] {  // so that nothing but the change is wrong
    const auto body = std::span{changed}.first(changed.size() - 8);
    const std::uint64_t sum = bitnet::checksum(body);
    std::memcpy(changed.data() + body.size(), &sum, sizeof sum);
  };
  changed[8] = std::byte{2};
  seal();
  CHECK(code_of(*model, {.context = 32}, changed) == errc::unsupported);
  changed = bytes;
  changed[43] = std::byte{0x7f};  // of the first token
  seal();
  CHECK(code_of(*model, {.context = 32}, changed) == errc::malformed);
  for (const std::size_t field : std::initializer_list<std::size_t>{13, 24, 31, 32, 39}) {
    changed = bytes;
    changed[field] ^= std::byte{0x41};
    seal();
    const errc code = code_of(*model, {.context = 32}, changed);
    CHECK((code == errc::malformed || code == errc::truncated));
  }
  CHECK(!a->snapshot(std::span{changed}.first(changed.size() - 1)));
}

namespace {

/// Restores a snapshot into models that differ from its own in one tensor each, in the lowest bit
/// of the bytes that `touch(tensor, place)` chooses; returns how many refused it.
template <class Touch>
std::size_t refusals_of_changed(std::string_view start, Touch touch) {
  const std::string file = testing::read_text(testing::golden_path(start));
  const auto bytes = std::as_bytes(std::span{file});
  const auto document = bitnet::gguf::view(bytes);
  REQUIRE(document);
  bitnet::open_options options;
  options.threads = 1;
  const auto model = bitnet::open(bytes, options);
  REQUIRE(model);
  auto a = session::make(*model, model->threads(), {.context = 32});
  REQUIRE(a);
  REQUIRE(a->feed(tokens_from(0, 9)));
  const auto snapshot = saved(*a);
  const auto restore = [&](std::span<const std::byte> from) {
    const auto other = bitnet::open(from, options);
    REQUIRE(other);
    auto s = session::make(*other, other->threads(), {.context = 32});
    REQUIRE(s);
    return s->restore(snapshot);
  };
  const std::vector<std::byte> copy{bytes.begin(), bytes.end()};
  CHECK(restore(copy));
  std::size_t refused = 0;
  for (const auto* t : document->tensors()) {
    CAPTURE(t->name);
    auto changed = copy;
    for (std::uint64_t i = 0; i < t->size; ++i)
      if (touch(*t, i)) changed[static_cast<std::size_t>(t->offset + i)] ^= std::byte{1};
    if (changed == copy) continue;
    const auto taken = restore(changed);
    REQUIRE(!taken);
    CHECK(taken.error().code() == errc::invalid_argument);
    CHECK(taken.error().message() == "the snapshot was made with another model");
    ++refused;
  }
  return refused;
}

}  // namespace

TEST_CASE("a model that differs in one tensor, or only in its scales, is another model") {
  using bitnet::gguf::tensor_info;
  const auto mantissas = [](const tensor_info&, std::uint64_t i) { return i % 2 == 0; };
  CHECK(refusals_of_changed("llama-f16", mantissas) > 10);
  const auto scales = [](const tensor_info& t, std::uint64_t i) {
    return t.type == bitnet::gguf::tensor_type::q1_0 && i % 18 == 0;
  };
  CHECK(refusals_of_changed("qwen3-q1_0", scales) > 5);
}
