// SPDX-License-Identifier: Apache-2.0
// Opening models and sessions.
#include "model.hpp"

#include "failure.hpp"
#include "terminal.hpp"

#include <bitnet/isa/runnable.hpp>

#include <algorithm>

namespace cli {

bitnet::dynamic_model open_model(const model_options& options) {
  progress bar{"loading"};
  const auto show = [&](std::uint64_t done, std::uint64_t total) {
    bar.update(done, total, bytes_text(done));
  };
  const bitnet::function_ref<void(std::uint64_t, std::uint64_t)> on_progress = show;
  bitnet::open_options o;
  o.isa = options.isa;
  o.threads = options.threads;
  o.math = options.exact ? bitnet::arithmetic::exact : bitnet::arithmetic::automatic;
  o.i2_s_arm = options.i2_s_arm;
  o.screen_head = options.screen_head;
  using bitnet::quant::activation_kind;
  if (options.activations == "token") o.input = activation_kind::per_token;
  if (options.activations == "block") o.input = activation_kind::per_block;
  if (options.activations == "planes") o.input = activation_kind::two_planes;
  o.progress = on_progress;
  o.log = bitnet::log_sink{[](void*, bitnet::log_level level, std::string_view text) {
                             note(std::string{bitnet::name_of(level)} + ": " + std::string{text});
                           },
                           nullptr,
                           options.verbose ? bitnet::log_level::info : bitnet::log_level::warning};
  auto model = bitnet::open(options.path, o);
  if (!model && !options.isa.empty() && model.error().what() == options.isa) {
    std::string names;
    for (const std::string_view name : bitnet::isa::runnable_names())
      names += (names.empty() ? "" : ", ") + std::string{name};
    usage_error("--isa " + options.isa + ": " + std::string{model.error().message()} +
                "\nhint: this machine runs " + names + "; without --isa the best is taken");
  }
  return check(std::move(model), "cannot open " + cli::quoted(options.path));
}

bitnet::nn::kv_type kv_type_of(const memory_options& options) {
  using bitnet::nn::kv_type;
  return options.kv == "q8" ? kv_type::q8 : options.kv == "f32" ? kv_type::f32 : kv_type::f16;
}

session open_session(const bitnet::dynamic_model& model, const memory_options& options,
                     std::size_t context) {
  bitnet::session_options o;
  o.context = context;
  o.batch = options.batch;
  o.kv = kv_type_of(options);
  return check(session::make(model, model.threads(), o), "cannot make a session");
}

bitnet::text::tokenizer open_tokenizer(const std::string& path) {
  const std::string doing = "cannot read the vocabulary of " + cli::quoted(path);
  const auto document = check(bitnet::gguf::open(path), "cannot open " + cli::quoted(path));
  const auto vocabulary = check(bitnet::read_vocabulary(document.meta()), doing);
  return check(bitnet::text::tokenizer::make(vocabulary), doing);
}

void feed(session& s, std::span<const bitnet::token> tokens, std::size_t batch) {
  progress bar{"reading the prompt"};
  const stopwatch watch;
  for (std::size_t done = 0; done < tokens.size();) {
    stop_if_interrupted();
    const std::size_t n = std::min(batch, tokens.size() - done);
    check(s.feed(tokens.subspan(done, n)), "cannot process the prompt");
    done += n;
    bar.update(done, tokens.size(),
               number(static_cast<double>(done) / watch.seconds(), 0) + " tokens/s");
  }
}

double multiply_adds(const bitnet::nn::hparams& h) {
  const auto product = [](std::size_t a, std::size_t b) {
    return static_cast<double>(a) * static_cast<double>(b);
  };
  return static_cast<double>(h.layers) *
         (product(h.dim, 2 * h.q_dim() + 2 * h.kv_dim()) + 3 * product(h.dim, h.ffn));
}

}  // namespace cli
