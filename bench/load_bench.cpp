// SPDX-License-Identifier: Apache-2.0
// Loading: parsing a file, opening a model from memory and from disk, and repacking by format.
// Bytes read and written count against what the machine reads from memory.
#include "models.hpp"

#include <bitnet/quant/any.hpp>

#include <filesystem>
#include <fstream>
#include <memory>

namespace {

using bitnet::kernels::best_table;

void report(benchmark::State& s, bitnet::executor_ref threads, std::size_t bytes) {
  bench::work w;
  w.bytes = static_cast<double>(bytes);
  bench::report(s, threads, best_table().isa, w);
}

void parse(benchmark::State& s) {
  const auto file = bench::model_file(bench::model_sizes[1]);
  for ([[maybe_unused]] auto _ : s) benchmark::DoNotOptimize(bitnet::gguf::view(file));
}

void from_memory(benchmark::State& s, bitnet::executor_ref threads) {
  const auto file = bench::model_file(bench::model_sizes[1]);
  std::size_t written = 0;
  for ([[maybe_unused]] auto _ : s)
    written = bench::load(bitnet::gguf::view(file), threads, best_table()).weight_bytes();
  report(s, threads, file.size() + written);
}

/// A file that is deleted when nobody needs it any more.
class temporary_file {
 public:
  explicit temporary_file(std::span<const std::byte> bytes)
      : path_{std::filesystem::temp_directory_path() / "bitnet-load-bench.gguf"} {
    std::ofstream out{path_, std::ios::binary};
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
    out.close();
    if (!out) {
      std::fprintf(stderr, "error: cannot write %s\n", path_.string().c_str());
      std::exit(1);
    }
  }
  temporary_file(const temporary_file&) = delete;
  temporary_file& operator=(const temporary_file&) = delete;
  ~temporary_file() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// The file is in the system's page cache: this is not the speed of the disk.
void from_disk(benchmark::State& s, bitnet::executor_ref threads) {
  const auto bytes = bench::model_file(bench::model_sizes[1]);
  const temporary_file file{bytes};
  std::size_t written = 0;
  for ([[maybe_unused]] auto _ : s)
    written = bench::load(bitnet::gguf::open(file.path()), threads, best_table()).weight_bytes();
  report(s, threads, bytes.size() + written);
}

void repack(benchmark::State& s, const bitnet::quant::format_info& format,
            bitnet::executor_ref threads) {
  constexpr std::size_t cols = 2560;
  const std::size_t per_row = *format.tensor_bytes(16, cols) / 16;
  const std::size_t rows = (std::size_t{32} << 20U) / per_row / 16 * 16;
  const std::size_t size = *format.tensor_bytes(rows, cols);
  const auto bytes = bench::filled<std::byte>(size);
  std::size_t written = 0;
  for ([[maybe_unused]] auto _ : s)
    written = bench::value_of(format.make_tiled({bytes.data(), rows, cols}, threads, "benchmark"))
                  .bytes();
  report(s, threads, size + written);
}

void add_all() {
  bench::add("load/parse", parse);
  struct place {
    const char* name;
    void (*run)(benchmark::State&, bitnet::executor_ref);
  };
  for (const auto& [name, run] : {place{"memory", from_memory}, place{"disk", from_disk}}) {
    bench::add(std::string{"load/"} + name, [run = run](benchmark::State& s) {
      bitnet::serial_executor here;
      run(s, here);
    });
    bench::add(std::string{"load/"} + name + "/all_threads", [run = run](benchmark::State& s) {
      run(s, bench::all_threads());
    })->UseRealTime();
  }
  for (const auto id : bitnet::quant::all_formats) {
    const auto format = bitnet::quant::find_format(id);
    if (!format || !format->tileable) continue;
    std::string name{"repack/"};
    name += format->name;
    bench::add(name, [format = *format](benchmark::State& s) {
      bitnet::serial_executor here;
      repack(s, format, here);
    });
    bench::add(name + "/all_threads", [format = *format](benchmark::State& s) {
      repack(s, format, bench::all_threads());
    })->UseRealTime();
  }
}

}  // namespace

int main(int argc, char** argv) { return bench::main(argc, argv, add_all); }
