// SPDX-License-Identifier: Apache-2.0
// Sessions recorded once, in tests/data/replay.txt, and replayed on every instruction set, number
// of threads, batch size and platform: the same tokens, and the same bits of every logit.
//
// A change that is meant to change bits records them again, on any machine, and says why:
//   test_engine --no-skip --test-case="record the sessions of tests/data/replay.txt"
#include "engine/support.hpp"

#include "doctest.hpp"

#include <bit>
#include <iomanip>
#include <optional>

#if BITNET_ARCH_X86_64
#include <xmmintrin.h>
#endif

using bitnet::token;
using bitnet::nn::kv_type;

namespace {

const std::string recordings = std::string{BITNET_TEST_DATA_DIR} + "/replay.txt";

/// A token that was drawn, and a fingerprint of the logits that it was drawn from.
struct step {
  token drawn = 0;
  std::uint64_t logits = 0;
};

struct recording {
  std::string model;
  std::string text;
  std::size_t times = 1;  ///< that the text is repeated
  std::uint64_t seed = 0;
  kv_type kv = kv_type::f16;
  std::size_t tokens = 0;  ///< of the prompt
  std::uint64_t ids = 0;   ///< fingerprint of them
  std::vector<step> steps;

  [[nodiscard]] std::string prompt() const {
    std::string all;
    for (std::size_t i = 0; i < times; ++i) all += text;
    return all;
  }
};

/// FNV-1a over 32-bit words, each from its low byte on.
template <class T>
std::uint64_t fingerprint(std::span<const T> values) {
  static_assert(sizeof(T) == 4);
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const T value : values) {
    auto bits = bitnet::bit_cast<std::uint32_t>(value);
    for (int i = 0; i < 4; ++i, bits >>= 8) hash = (hash ^ (bits & 0xffU)) * 0x100000001b3U;
  }
  return hash;
}

/// How a recording is played: none of it may matter.
struct conditions {
  std::string_view isa;
  std::size_t threads = 1;
  std::size_t batch = 64;
};

std::string path_of(const recording& r) {
  return std::string{BITNET_TEST_DATA_DIR} + "/models/" + r.model + ".gguf";
}

/// r with the prompt's ids and the steps that come out here; none if something fails.
std::optional<recording> play(const bitnet::dynamic_model& model, recording r, std::size_t count,
                              std::size_t batch) {
  r.steps.clear();
  const auto ids = model.tokenizer().encode(r.prompt());
  if (!ids) return {};
  std::vector<token> history{ids->begin(), ids->end()};
  r.tokens = history.size();
  r.ids = fingerprint(std::span<const token>{history});
  auto session = bitnet::session<bitnet::dynamic_model>::make(
      model, model.threads(), {.context = history.size() + count, .batch = batch, .kv = r.kv});
  auto sampler = bitnet::sampler::make({.temperature = 0.9F, .top_p = 0.95F, .seed = r.seed},
                                       model.shape().vocab);
  if (!session || !sampler || !session->feed(history)) return {};
  while (r.steps.size() < count) {
    const auto logits = session->logits();
    const token next = sampler->sample(logits, history, r.steps.size());
    r.steps.push_back({next, fingerprint(logits)});
    history.push_back(next);
    if (!session->feed(std::span{&next, 1})) return {};
  }
  return r;
}

std::vector<recording> read_recordings() {
  std::istringstream lines{testing::read_text(recordings)};
  std::vector<recording> all;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields{line};
    std::string name;
    if (!(fields >> name) || name[0] == '#') continue;
    if (name == "session") {
      std::string kv;
      recording& r = all.emplace_back();
      fields >> r.model >> r.seed >> kv >> r.times;
      r.kv = kv == "q8" ? kv_type::q8 : kv_type::f16;
    } else if (name == "text" && !all.empty()) {
      all.back().text = line.substr(5);
    } else if (name == "prompt" && !all.empty()) {
      fields >> all.back().tokens >> std::hex >> all.back().ids;
    } else if (name == "step" && !all.empty()) {
      step s;
      fields >> s.drawn >> std::hex >> s.logits;
      all.back().steps.push_back(s);
    }
    CHECK_MESSAGE(!fields.fail(), "not understood: " << line);
  }
  return all;
}

/// What differs first, and where to look for the reason; empty if nothing does.
std::string difference(const recording& expected, const recording& got, const conditions& c) {
  if (expected.tokens != got.tokens || expected.ids != got.ids)
    return "the prompt has other tokens: look at text/, and at the tokenizer's tests";
  for (std::size_t i = 0; i < expected.steps.size(); ++i) {
    const std::string at = i == 0 ? "after the prompt" : "at step " + std::to_string(i);
    if (expected.steps[i].logits != got.steps[i].logits) {
      if (c.isa != bitnet::isa::scalar::name)
        return "other logits " + at +
               "; if plain C++ (isa scalar) agrees, a kernel does not give its bits: run "
               "test_kernels, and engine.determinism for threads and batches";
      return "other logits " + at +
             " from plain C++: look for a change that is meant to change them, else for compiler "
             "flags such as -ffast-math, functions of the C library, and products that feed sums "
             "without fused_multiply_add";
    }
    if (expected.steps[i].drawn != got.steps[i].drawn)
      return "the same logits but another token " + at + ": look at sample/ and core/random.hpp";
  }
  return {};
}

void write(std::ostream& out, const recording& r) {
  const auto hex = [&](std::uint64_t bits) -> std::ostream& {
    return out << std::hex << std::setw(16) << std::setfill('0') << bits << std::dec << '\n';
  };
  out << "\nsession " << r.model << ' ' << r.seed << (r.kv == kv_type::q8 ? " q8 " : " f16 ")
      << r.times << "\ntext " << r.text << "\nprompt " << r.tokens << ' ';
  hex(r.ids);
  for (const step& s : r.steps) {
    out << "step " << s.drawn << ' ';
    hex(s.logits);
  }
}

}  // namespace

TEST_CASE("recorded sessions replay bit by bit on every instruction set, threads and batches") {
  const auto all = read_recordings();
  REQUIRE(all.size() >= 10);
  for (const recording& r : all) {
    CAPTURE(r.model);
    REQUIRE(!r.steps.empty());
    for (const std::string_view isa : bitnet::isa::runnable_names())
      for (const std::size_t threads : testing::thread_counts({1, 2})) {
        bitnet::open_options options;
        options.isa = isa;
        options.threads = threads;
        const auto model = bitnet::open(path_of(r), options);
        REQUIRE(model);
        REQUIRE(model->isa() == isa);
        for (const std::size_t batch : {64U, 7U, 1U}) {
          const conditions c{isa, threads, batch};
          const bool slow = isa == "scalar" || r.times > 1;  // then once for each
          if (slow && (batch != 64 || (isa == "scalar" && threads != 1))) continue;
          CAPTURE(isa);
          CAPTURE(threads);
          CAPTURE(batch);
          const auto got = play(*model, r, r.steps.size(), batch);
          REQUIRE(got);
          const std::string what = difference(r, *got, c);
          CHECK_MESSAGE(what.empty(), what);
        }
      }
  }
}

#if BITNET_ARCH_X86_64
namespace {

/// What many games and audio programs set: denormal numbers are taken for 0.
class without_denormals {
 public:
  without_denormals() { _mm_setcsr(before_ | 0x8040U); }
  without_denormals(const without_denormals&) = delete;
  without_denormals& operator=(const without_denormals&) = delete;
  ~without_denormals() { _mm_setcsr(before_); }

 private:
  unsigned before_ = _mm_getcsr();
};

}  // namespace

TEST_CASE("a host that takes denormal numbers for 0 gets the same bits") {
  for (const recording& r : read_recordings()) {
    CAPTURE(r.model);
    for (const std::string_view isa : bitnet::isa::runnable_names()) {
      if (isa == "scalar" && r.times > 1) continue;  // slow
      CAPTURE(isa);
      bitnet::open_options options;
      options.isa = isa;
      options.threads = 1;
      const without_denormals here;
      volatile float small = 1e-38F;  // it does what it says
      CHECK(small * 0.01F == 0.0F);
      const auto model = bitnet::open(path_of(r), options);
      REQUIRE(model);
      const auto got = play(*model, r, r.steps.size(), 64);
      REQUIRE(got);
      const std::string what = difference(r, *got, {isa});
      CHECK_MESSAGE(what.empty(), what);
    }
  }
}
#endif

TEST_CASE("a replay says what differs") {
  const auto all = read_recordings();
  REQUIRE(!all.empty());
  const recording& r = all.front();
  const conditions plain{"scalar"}, other{"other"};
  CHECK(difference(r, r, plain).empty());
  recording wrong = r;
  wrong.ids ^= 1;
  CHECK(difference(r, wrong, plain).find("text/") != std::string::npos);
  wrong = r;
  wrong.steps[2].logits ^= 1;
  CHECK(difference(r, wrong, plain).find("at step 2 from plain C++") != std::string::npos);
  CHECK(difference(r, wrong, other).find("test_kernels") != std::string::npos);
  wrong = r;
  wrong.steps[0].drawn ^= 1;
  CHECK(difference(r, wrong, other).find("sample/") != std::string::npos);
}

TEST_CASE("record the sessions of tests/data/replay.txt" * doctest::skip()) {
  std::ofstream out{recordings, std::ios::binary};
  out << "# Sessions that tests/engine/replay_test.cpp replays, and how they are recorded, see "
         "there."
         "\n# session MODEL SEED KV TIMES; text, repeated TIMES; prompt TOKENS FINGERPRINT of its "
         "ids;\n# step TOKEN FINGERPRINT of the logits from which it was drawn.\n";
  const auto record = [&](recording r, std::size_t count) {
    bitnet::open_options options;
    options.isa = bitnet::isa::scalar::name;
    options.threads = 1;
    const auto model = bitnet::open(path_of(r), options);
    REQUIRE(model);
    const auto played = play(*model, r, count, 64);
    REQUIRE(played);
    write(out, *played);
  };
  const std::string manifest = std::string{BITNET_TEST_DATA_DIR} + "/models/manifest.tsv";
  std::istringstream lines{testing::read_text(manifest)};
  std::uint64_t seed = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line[0] == '#') continue;
    recording r;
    r.model = line.substr(0, line.find('\t'));
    r.text = "It was a bright cold day in April, and the clocks were striking 13.";
    r.seed = ++seed;
    r.kv = seed % 4 == 0 ? kv_type::q8 : kv_type::f16;
    record(r, 12);
  }
  // Angles far from 0, and attention over more than one chunk.
  for (const char* name : {"llama-f16", "qwen3-q1_0-yarn"}) {
    recording r;
    r.model = name;
    r.text = "Once more: it rains, and then it does not. ";
    r.times = 16;
    r.seed = ++seed;
    record(r, 8);
  }
}
