// SPDX-License-Identifier: Apache-2.0
// An application with three models side by side on one pool of threads:
//   embedding_host BITNET.gguf QWEN3.gguf [ANY.gguf]
// It knows the first two when it is compiled (BitNet b1.58 in I2_S, Qwen3 in Q1_0, as Bonsai is),
// so they are exact types without virtual calls, and refuse other files. The third is whatever its
// file holds, by default the first file's model; then both have to say the same, bit for bit.
#include <bitnet/bitnet.hpp>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace host {

namespace isa = bitnet::isa;
namespace nn = bitnet::nn;

// Built for a known machine (-march=native), kernels are called directly. A portable program finds
// the best ones of its machine when it starts; they are then called through a table.
using kernels = std::conditional_t<std::is_same_v<isa::native, isa::scalar>, nn::dynamic_kernels,
                                   nn::static_kernels<isa::native>>;
using bitnet_i2_s = bitnet::models::bitnet_b158<bitnet::quant::i2_s>;
using qwen3_q1_0 = bitnet::models::qwen3<bitnet::quant::q1_0>;
template <class Architecture>
using exact = bitnet::model<Architecture, kernels>;
static_assert(!std::is_polymorphic_v<exact<bitnet_i2_s>> &&
              !std::is_polymorphic_v<exact<qwen3_q1_0>>);

constexpr bitnet::session_options sizes{.context = 256, .batch = 32};
constexpr std::size_t tokens_each = 24;
constexpr std::string_view prompt = "The captain looked at the sea and said";

template <class Model>
struct loaded {
  Model model;
  bitnet::memory_plan plan;
};

/// Asks what a model will take before it takes it: a host could still refuse here.
template <class Architecture>
bitnet::result<loaded<exact<Architecture>>> load(const char* path, bitnet::executor_ref jobs) {
  BITNET_TRY(auto file, bitnet::gguf::open(path));
  BITNET_TRY(const auto plan, bitnet::plan<Architecture, kernels>(file, jobs, {}, sizes));
  BITNET_TRY(auto model, bitnet::load<Architecture, kernels>(std::move(file), jobs));
  return loaded<exact<Architecture>>{std::move(model), plan};
}

bitnet::result<loaded<bitnet::dynamic_model>> open(const char* path) {
  bitnet::open_options options;
  options.threads = 1;  // the host's threads do the work
  BITNET_TRY(const auto plan, bitnet::plan(path, options, sizes));
  BITNET_TRY(auto model, bitnet::open(path, options));
  return loaded<bitnet::dynamic_model>{std::move(model), plan};
}

/// What a model has said so far, whatever its type.
template <class Model>
class speaker {
 public:
  static bitnet::result<speaker> make(const Model& model, bitnet::executor_ref jobs) {
    BITNET_TRY(const auto words, bitnet::read_vocabulary(model.document().meta()));
    BITNET_TRY(const auto tokenizer, bitnet::text::tokenizer::make(words));
    BITNET_TRY(const auto start, tokenizer.encode(prompt));
    BITNET_TRY(auto mind, bitnet::session<Model>::make(model, jobs, sizes));
    BITNET_CHECK(mind.feed(start));
    if (!mind.ready())
      return bitnet::error{bitnet::errc::missing, "nothing to go on from", "prompt"};
    return speaker{std::move(mind)};
  }

  /// Says the likeliest token and reads it.
  bitnet::status next() {
    const auto began = std::chrono::steady_clock::now();
    const auto scores = mind_.logits();
    scores_.insert(scores_.end(), scores.begin(), scores.end());
    said_.push_back(bitnet::sample::argmax(scores));
    BITNET_CHECK(mind_.feed({&said_.back(), 1}));
    time_ += std::chrono::steady_clock::now() - began;
    return {};
  }

  void print(const char* name, const bitnet::memory_plan& plan) const {
    constexpr double mb = 1e6;
    std::printf("%s:\n  tokens:", name);
    for (const bitnet::token t : said_) std::printf(" %d", t);
    std::printf(
        "\n  weights %.2f MB and %.2f MB in the file, keys and values %.2f MB, scratch %.2f MB, at "
        "most %.2f MB\n  %.3f ms a token\n",
        static_cast<double>(plan.model.weights) / mb, static_cast<double>(plan.model.in_place) / mb,
        static_cast<double>(plan.kv) / mb, static_cast<double>(plan.scratch) / mb,
        static_cast<double>(plan.peak()) / mb, time_.count() / static_cast<double>(said_.size()));
  }

  /// Whether all scores of all tokens have the same bits.
  template <class Other>
  bool same_bits(const speaker<Other>& other) const {
    return said_ == other.said() && scores_.size() == other.scores().size() &&
           std::memcmp(scores_.data(), other.scores().data(), scores_.size() * sizeof(float)) == 0;
  }
  const std::vector<bitnet::token>& said() const { return said_; }
  const std::vector<float>& scores() const { return scores_; }

 private:
  explicit speaker(bitnet::session<Model> mind) : mind_{std::move(mind)} {}

  bitnet::session<Model> mind_;
  std::vector<bitnet::token> said_;
  std::vector<float> scores_;
  std::chrono::duration<double, std::milli> time_{0};
};

bitnet::status run(const char* first_path, const char* second_path, const char* third_path) {
  BITNET_TRY(auto jobs, bitnet::thread_pool::make({.threads = 2}));
  BITNET_TRY(const auto first, load<bitnet_i2_s>(first_path, jobs));
  BITNET_TRY(const auto second, load<qwen3_q1_0>(second_path, jobs));
  BITNET_TRY(const auto third, open(third_path));
  BITNET_TRY(auto a, speaker<exact<bitnet_i2_s>>::make(first.model, jobs));
  BITNET_TRY(auto b, speaker<exact<qwen3_q1_0>>::make(second.model, jobs));
  BITNET_TRY(auto c, speaker<bitnet::dynamic_model>::make(third.model, jobs));
  for (std::size_t i = 0; i < tokens_each; ++i) {  // in turn: the pool runs one loop at a time
    BITNET_CHECK(a.next());
    BITNET_CHECK(b.next());
    BITNET_CHECK(c.next());
  }
  a.print("bitnet-b1.58, I2_S, exact", first.plan);
  b.print("qwen3, Q1_0, exact", second.plan);
  c.print("opened dynamically", third.plan);

  const auto third_model = third.model.fingerprint();
  const bool is_first = third_model == first.model.fingerprint();
  const bool is_second = third_model == second.model.fingerprint();
  if ((is_first && !a.same_bits(c)) || (is_second && !b.same_bits(c)))
    return bitnet::error{bitnet::errc::malformed, "exact and dynamic types disagree", third_path};
  std::puts(is_first || is_second ? "exact and dynamic: the same bits" : "no model opened twice");
  return {};
}

}  // namespace host

constexpr const char* help =
    "usage: embedding_host BITNET.gguf QWEN3.gguf [ANY.gguf]\n"
    "Runs a BitNet b1.58 model in I2_S and a Qwen3 model in Q1_0 as exact types, and a third "
    "file,\n"
    "by default the first one again, as whatever it holds.\n";

int main(int argc, char** argv) {
  if (argc == 2 && (std::string_view{argv[1]} == "--help" || std::string_view{argv[1]} == "-h")) {
    std::fputs(help, stdout);
    return 0;
  }
  if (argc != 3 && argc != 4) {
    std::fputs(help, stderr);
    return 2;
  }
  const auto ran = host::run(argv[1], argv[2], argc == 4 ? argv[3] : argv[1]);
  if (ran) return 0;
  std::fprintf(stderr, "%s\n", bitnet::to_string(ran.error()).c_str());
  return 1;
}
