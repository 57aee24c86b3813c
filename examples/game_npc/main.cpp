// SPDX-License-Identifier: Apache-2.0
// Two characters of a game talk, 2 ms of each frame of 60 in a second: game_npc MODEL [FRAMES].
// They share a model, a job system and the pages of one system prompt; all memory of their sessions
// is one arena that the game sets aside; what one of them remembers goes to bytes and back.
#include "jobs.hpp"

#include <bitnet/bitnet.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace game {

using session = bitnet::session<bitnet::dynamic_model>;
using clock_type = std::chrono::steady_clock;
using milliseconds = std::chrono::duration<double, std::milli>;
using namespace std::chrono_literals;

constexpr auto frame_time = 16667us;
constexpr auto thinking_time = 2ms;
constexpr std::size_t context = 512;

constexpr std::string_view rules =
    "This is a village by the sea. The people who live here are friendly and speak in short, plain "
    "words about the weather, the harbour and the old lighthouse on the hill. In the morning the "
    "boats go out, and in the evening they come back with fish for the market. Anna keeps the inn "
    "by the harbour. She knows everybody, and she remembers what people tell her. Boris mends nets "
    "and boats. He was at sea for thirty years, and he still looks at the sky before he says what "
    "the day will be like. Nobody has been up in the lighthouse since the great storm. Some say "
    "that there is a light in its windows on nights without a moon; others say that it is only the "
    "sea. Children are told not to go there. A stranger has come to the village today, with a bag "
    "and no name. He asks about the lighthouse, about the storm, and about the man who kept the "
    "light. The people answer him kindly, but they do not tell him everything. They never speak "
    "about machines, about cities, or about what they cannot know. They ask him where he is from, "
    "whether he is hungry, and how long he will stay. When it gets dark they go home, and the sea "
    "goes on talking to the stones below the hill.\n";

/// Somebody who talks: a session and the generation that is under way.
struct character {
  std::string name;
  session mind;
  std::string said;
};

bitnet::status talk_begin(const bitnet::dynamic_model& model, character& who, std::size_t keep,
                          std::optional<bitnet::generation<session>>& talk) {
  std::vector<bitnet::token> prompt;
  BITNET_TRY(prompt, model.tokenizer().encode(who.name + " says: "));
  bitnet::generate_options options;
  options.max_tokens = 48;
  options.ignore_eos = true;
  options.sampling = {.temperature = 0.8F, .top_k = 40, .seed = who.name.size()};
  options.overflow = bitnet::overflow_policy::shift;  // an old talk is forgotten,
  options.keep = keep;                                // the rules are not
  BITNET_TRY(auto g,
             bitnet::generation<session>::make(who.mind, model.tokenizer(), prompt, options));
  talk.emplace(std::move(g));
  return {};
}

/// What a frame does besides: here, some arithmetic on the same jobs.
void simulate(job_system& jobs, std::vector<float>& world) {
  jobs.parallel_for(16, [&](std::size_t i, std::size_t) {
    const std::size_t n = world.size() / 16;
    for (std::size_t k = i * n; k < (i + 1) * n; ++k) world[k] = std::sqrt(world[k] + 1.0F);
  });
}

void print_histogram(std::vector<double> work) {
  if (work.empty()) return;
  constexpr double edges[] = {1, 2, 3, 4, 6, 8, 12, 16.667, 1e9};
  std::sort(work.begin(), work.end());
  std::printf("\nwork per frame, the model's and the game's:\n");
  std::size_t from = 0;
  for (const double edge : edges) {
    const auto to =
        static_cast<std::size_t>(std::lower_bound(work.begin(), work.end(), edge) - work.begin());
    if (edge < 1e9)
      std::printf("  below %6.3f ms: %zu\n", edge, to - from);
    else
      std::printf("  missed         : %zu\n", to - from);
    from = to;
  }
  const auto at = static_cast<std::size_t>(0.999 * static_cast<double>(work.size() - 1));
  std::printf("median %.2f ms, 99.9th percentile %.2f ms, worst %.2f ms\n", work[work.size() / 2],
              work[at], work.back());
}

bitnet::status play(const char* path, std::size_t frames) {
  job_system jobs{std::max(1U, std::thread::hardware_concurrency())};
  bitnet::open_options opening;
  opening.threads = 1;  // the game's jobs do the work
  BITNET_TRY(const auto model, bitnet::open(path, opening));

  // The game's arena: pages for what two characters remember, then what each needs to think with.
  constexpr std::size_t pages = 4;  // three where the rules fill one
  const auto page_bytes =
      bitnet::nn::kv_pool::bytes(model.shape(), bitnet::nn::kv_type::f16, pages);
  if (!page_bytes) return bitnet::error{bitnet::errc::out_of_memory, "no room for pages", "arena"};
  bitnet::session_options sizes{.context = context, .batch = 64};
  BITNET_TRY(const auto need, session::measure(model, jobs, sizes));
  const std::size_t mind_bytes = need.scratch_bytes;  // keys and values lie in the pages
  BITNET_TRY(auto arena_memory,
             bitnet::aligned_buffer<std::byte>::make(*page_bytes + 2 * mind_bytes, "arena"));
  const auto arena = arena_memory.span();
  BITNET_TRY(auto pool,
             bitnet::nn::kv_pool::make(model.shape(), sizes.kv, pages, arena.first(*page_bytes)));
  sizes.pool = &pool;

  // One reads the rules; the other is a fork and reads them no more.
  BITNET_TRY(const auto prompt, model.tokenizer().encode(rules));
  BITNET_TRY(auto first, session::make(model, jobs, sizes, arena.subspan(*page_bytes, mind_bytes)));
  const std::size_t known = std::min(prompt.size(), context * 2 / 3);
  BITNET_CHECK(first.feed(std::span{prompt}.first(known)));
  BITNET_TRY(auto second, first.fork(jobs, arena.subspan(*page_bytes + mind_bytes)));
  character people[] = {{"Anna", std::move(first), {}}, {"Boris", std::move(second), {}}};
  const std::size_t used = pool.size() - pool.available();
  std::vector<std::byte> memory;  // of Anna, as a save file would have it

  std::vector<float> world(1 << 16, 1.0F);
  std::vector<double> work;
  work.reserve(frames);
  std::optional<bitnet::generation<session>> talk;
  std::size_t turn = 0;
  auto next_frame = clock_type::now();
  for (std::size_t frame = 0; frame < frames; ++frame) {
    next_frame += frame_time;
    const auto start = clock_type::now();
    simulate(jobs, world);
    character& speaker = people[turn % 2];
    if (!talk) BITNET_CHECK(talk_begin(model, speaker, known, talk));
    BITNET_TRY(const auto state, talk->step(thinking_time, [&](std::string_view text) {
      speaker.said += text;
      return true;
    }));
    work.push_back(milliseconds{clock_type::now() - start}.count());
    if (state == bitnet::step_state::done) {
      talk.reset();
      speaker.said += "\n  ";
      ++turn;
    }
    std::this_thread::sleep_until(next_frame);
    if (clock_type::now() > next_frame + frame_time) next_frame = clock_type::now();
  }

  talk.reset();
  session& anna = people[0].mind;
  anna.abandon();  // the frame that was to go on
  memory.resize(anna.snapshot_bytes());
  BITNET_TRY(const std::size_t saved, anna.snapshot(memory));
  const std::size_t remembered = anna.position();
  BITNET_CHECK(anna.rewind(0));
  BITNET_CHECK(anna.restore(std::span{memory}.first(saved)));
  for (const character& c : people) std::printf("%s:\n  %s\n", c.name.c_str(), c.said.c_str());
  std::printf(
      "\n%zu frames, %zu talks ended; arena %.1f MB, %zu pages for both; Anna's %zu tokens saved "
      "in %.2f MB\n",
      frames, turn, static_cast<double>(arena.size()) / 1e6, used, remembered,
      static_cast<double>(saved) / 1e6);
  print_histogram(std::move(work));
  return {};
}

}  // namespace game

constexpr const char* help =
    "usage: game_npc MODEL [FRAMES]\n"
    "Plays FRAMES frames (600), 60 a second, in which two characters talk; prints what they said\n"
    "and how long the frames' work took.\n";

int main(int argc, char** argv) {
  if (argc == 2 && (std::string_view{argv[1]} == "--help" || std::string_view{argv[1]} == "-h")) {
    std::fputs(help, stdout);
    return 0;
  }
  std::size_t frames = 600;
  bool good = argc == 2 || argc == 3;
  if (argc == 3) {
    const std::string_view text = argv[2];
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), frames);
    good = failed == std::errc{} && end == text.data() + text.size() && frames >= 1 &&
           frames <= 1000000;
  }
  if (!good) {
    std::fputs(help, stderr);
    return 2;
  }
  const auto played = game::play(argv[1], frames);
  if (played) return 0;
  std::fprintf(stderr, "%s\n", bitnet::to_string(played.error()).c_str());
  return 1;
}
