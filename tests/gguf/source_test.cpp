// SPDX-License-Identifier: Apache-2.0
// Models from files and from memory, whole and split.
#include "doctest.hpp"
#include "folder.hpp"
#include "raw_gguf.hpp"

#include <bitnet/gguf/sink.hpp>
#include <bitnet/gguf/source.hpp>

#include <string>
#include <utility>
#include <vector>

using namespace bitnet;
using gguf::tensor_type;

namespace {
using bytes = std::vector<std::byte>;

/// What a part says, so that a test can make it lie.
struct part {
  int no;
  int count;
  int total;
  std::vector<std::string> tensors;
  bool split_keys = true;
};

/// Each tensor has one float: the number in its name.
bytes make(const part& p) {
  gguf::writer w;
  REQUIRE(w.set("general.architecture", p.no == 0 ? "llama" : "of a later part"));
  if (p.split_keys) {
    REQUIRE(w.set("split.no", static_cast<std::uint16_t>(p.no)));
    REQUIRE(w.set("split.count", static_cast<std::uint16_t>(p.count)));
    REQUIRE(w.set("split.tensors.count", std::int32_t{p.total}));
  }
  for (const std::string& t : p.tensors) REQUIRE(w.add_tensor(t, {1}, tensor_type::f32));
  gguf::memory_sink sink;
  auto out = w.begin(sink);
  REQUIRE(out);
  for (const std::string& t : p.tensors) {
    const auto value = static_cast<float>(t.back() - '0');
    REQUIRE(out->write(std::as_bytes(std::span{&value, 1})));
  }
  REQUIRE(out->finish());
  return std::move(sink.bytes);
}

result<gguf::document> view(const std::vector<part>& parts) {
  static std::vector<bytes> kept;  // of the last call
  kept.clear();
  for (const part& p : parts) kept.push_back(make(p));
  std::vector<std::span<const std::byte>> spans(kept.begin(), kept.end());
  return gguf::view(std::span<const std::span<const std::byte>>{spans});
}

/// A folder for models of several files.
struct folder_of_parts : testing::folder {
  using folder::folder;
  void put(const std::string& name, const bytes& content) const {
    auto sink = gguf::file_sink::create(*this / name);
    REQUIRE(sink);
    REQUIRE(sink->write(content));
    REQUIRE(sink->commit());
  }
};

void check_three_parts(const gguf::document& d) {
  CHECK(*d.meta().get<std::string_view>("general.architecture") == "llama");
  CHECK(d.parts().size() == 3);
  REQUIRE(d.tensors().size() == 5);
  const char* names[] = {"t0", "t1", "t2", "t3", "t4"};
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(d.tensors()[i]->name == names[i]);
    const auto t = d.get(names[i]);
    REQUIRE(t);
    CHECK(*t == d.tensors()[i]);
    float value = -1.0F;
    REQUIRE((*t)->data.size() == sizeof value);
    std::memcpy(&value, (*t)->data.data(), sizeof value);
    CHECK(value == static_cast<float>(i));
  }
  CHECK(d.find("t5") == nullptr);
  CHECK(d.get("t5").error().code() == errc::missing);
  CHECK(d.get("t5").error().what() == "t5");
}

const std::vector<part> three = {
    {0, 3, 5, {"t0", "t1"}}, {1, 3, 5, {"t2"}}, {2, 3, 5, {"t3", "t4"}}};
}  // namespace

TEST_CASE("a split model of three files is one document") {
  const folder_of_parts dir{"bitnet_gguf_split_test"};
  for (std::size_t i = 0; i < 3; ++i)
    dir.put("model-0000" + std::to_string(i + 1) + "-of-00003.gguf", make(three[i]));
  auto d = gguf::open(dir / "model-00001-of-00003.gguf");
  REQUIRE(d);
  check_three_parts(*d);
  {
    const gguf::document moved = *std::move(d);
    check_three_parts(moved);
  }  // Windows removes no file that is mapped

  const auto later = gguf::open(dir / "model-00002-of-00003.gguf");
  CHECK(later.error().code() == errc::invalid_argument);
  CHECK(to_string(later.error()).find("give the first one") != std::string::npos);
  CHECK(to_string(later.error()).find("model-00002-of-00003.gguf") != std::string::npos);

  dir.put("renamed.gguf", make(three[0]));
  CHECK(gguf::open(dir / "renamed.gguf").error().code() == errc::invalid_argument);
  std::error_code ec;
  std::filesystem::remove(dir.path / "model-00003-of-00003.gguf", ec);
  const auto lost = gguf::open(dir / "model-00001-of-00003.gguf");
  CHECK(lost.error().code() == errc::io);
  CHECK(to_string(lost.error()).find("model-00003-of-00003.gguf") != std::string::npos);
}

TEST_CASE("a file that is read is not replaced, by whatever path") {
  namespace fs = std::filesystem;
  const folder_of_parts dir{"bitnet_gguf_inputs_test"};
  for (std::size_t i = 0; i < 3; ++i)
    dir.put("model-0000" + std::to_string(i + 1) + "-of-00003.gguf", make(three[i]));
  const auto d = gguf::open(dir / "model-00001-of-00003.gguf");
  REQUIRE(d);
  REQUIRE(d->mappings().size() == 3);
  const auto refused = [&](const std::string& path) {
    const auto sink = gguf::file_sink::create(path, d->mappings());
    CHECK_FALSE(sink);
    if (!sink) CHECK(sink.error().code() == errc::invalid_argument);
  };
  for (const char* part : {"model-00001-of-00003.gguf", "model-00003-of-00003.gguf"})
    refused(dir / part);
  refused(dir.path.string() + "/./model-00002-of-00003.gguf");
  std::error_code ec;
  fs::create_hard_link(dir.path / "model-00002-of-00003.gguf", dir.path / "hard", ec);
  if (!ec) refused(dir / "hard");
  fs::create_symlink(dir.path / "model-00002-of-00003.gguf", dir.path / "soft", ec);
#if !defined(_WIN32)  // there every link is left alone
  REQUIRE(!ec);
  refused(dir / "soft");
#endif
  {
    auto sink = gguf::file_sink::create(dir / "other.gguf", d->mappings());
    REQUIRE(sink);
    CHECK(sink->commit());
  }
  CHECK(gguf::file_sink::create(dir / "other.gguf", d->mappings()));
  CHECK(d->mappings()[0].identity() ==
        gguf::mapped_file::open(dir / "model-00001-of-00003.gguf")->identity());
  CHECK(d->mappings()[0].identity() != d->mappings()[1].identity());
  CHECK(view(three)->mappings().empty());
}

TEST_CASE("paths are UTF-8 on every system") {
  const folder_of_parts dir{"bitnet_gguf_utf8_test"};
  const std::string name =
      "m\xc3\xb6"
      "del \xe6\xa8\xa1\xf0\x9f\x90\xa7.gguf";
  dir.put(name, make(three[0]));
  const std::u8string same{name.begin(), name.end()};
  CHECK(std::filesystem::exists(dir.path / std::filesystem::path{same}));
  CHECK(gguf::mapped_file::open(dir / name));
}

TEST_CASE("a split model in memory, and parts that do not belong together") {
  const auto d = view(three);
  REQUIRE(d);
  check_three_parts(*d);

  const auto refused = [](std::vector<part> parts, std::size_t which, auto change, errc code) {
    change(parts[which]);
    const auto r = view(parts);
    REQUIRE_FALSE(r);
    CHECK(r.error().code() == code);
  };
  refused(
      three, 1, [](part& p) { p.no = 2; }, errc::malformed);
  refused(
      three, 1, [](part& p) { p.no = 0; }, errc::malformed);
  refused(
      three, 2, [](part& p) { p.count = 4; }, errc::malformed);
  refused(
      three, 0, [](part& p) { p.count = 2; }, errc::invalid_argument);
  refused(
      three, 0, [](part& p) { p.count = 0; }, errc::malformed);
  refused(
      three, 0, [](part& p) { p.total = 6; }, errc::malformed);
  refused(
      three, 0, [](part& p) { p.total = -1; }, errc::malformed);
  refused(
      three, 2, [](part& p) { p.tensors[0] = "t1"; }, errc::malformed);
  refused(
      three, 1, [](part& p) { p.split_keys = false; }, errc::missing);
  refused(
      three, 0, [](part& p) { p.split_keys = false; }, errc::invalid_argument);
  CHECK(view({}).error().code() == errc::invalid_argument);
  // One part alone is not the model.
  CHECK(view({three[0]}).error().code() == errc::invalid_argument);
  CHECK(view({three[2]}).error().code() == errc::invalid_argument);
  // A split of one part is a plain file.
  CHECK(view({{0, 1, 1, {"t0"}}})->tensors().size() == 1);
}

TEST_CASE("files that cannot be opened give errors that name them") {
  const folder_of_parts dir{"bitnet_gguf_open_test"};
  const auto absent = gguf::open(dir / "absent.gguf");
  CHECK(absent.error().code() == errc::io);
  CHECK(to_string(absent.error()).find("absent.gguf") != std::string::npos);
  const auto directory = gguf::open(dir.path.string());
  CHECK(directory.error().code() == errc::io);
  dir.put("empty.gguf", {});
  CHECK(gguf::open(dir / "empty.gguf").error().code() == errc::not_gguf);
  CHECK(gguf::open("").error().code() == errc::invalid_argument);
  using namespace std::string_view_literals;
  CHECK(gguf::open("a\0b"sv).error().code() == errc::invalid_argument);
  const auto deep = gguf::open(std::string(300, 'd') + "/end.gguf");
  CHECK(to_string(deep.error()).find("/end.gguf") != std::string::npos);
}

TEST_CASE("the cap on string lengths holds in a file that is large enough for the string") {
  if (sizeof(std::size_t) < 8) return;  // such a file cannot be mapped there
  // Sparse: nothing is written but the header.
  const folder_of_parts dir{"bitnet_gguf_sparse_test"};
  for (const bool array : {false, true}) {
    gguf_test::raw_gguf g{0, 1};
    if (array) {
      g.array("k", 8, 1);
    } else {
      g.key("k", gguf::value_type::string);
    }
    g.put(gguf::limits::string_bytes + 1);
    dir.put("sparse.gguf", g.bytes);
    std::error_code ec;
    std::filesystem::resize_file(dir.path / "sparse.gguf", std::uint64_t{3} << 30, ec);
    if (ec) {
      MESSAGE("skipped: the file system has no room for a sparse file of 3 GiB");
      return;
    }
    const auto d = gguf::open(dir / "sparse.gguf");
    REQUIRE_FALSE(d);
    CHECK(d.error().code() == errc::limit);
    CHECK(d.error().what() == "k");
  }
}
