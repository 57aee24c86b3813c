// SPDX-License-Identifier: Apache-2.0
// Where written bytes go: memory, or a file that appears under its name only when it is whole.
#pragma once

#include <bitnet/gguf/os.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/gguf/writer.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

BITNET_NAMESPACE_BEGIN
namespace gguf {

/// Collects bytes in memory, for small files; a whole model goes to a file_sink.
struct memory_sink {
  std::vector<std::byte> bytes;

  [[nodiscard]] status write(std::span<const std::byte> more) noexcept {
    bytes.insert(bytes.end(), more.begin(), more.end());
    return {};
  }
};

/// Writes a file under a temporary name beside its own; commit() syncs it and gives it its name in
/// one step, replacing an older file. Until then the older file is whole under that name, whatever
/// happens: a full disk, a crash, a process that is ended. Without commit() nothing remains; only
/// what is killed leaves `path.partN` behind, which nothing reads. Move-only.
class file_sink {
 public:
  file_sink(file_sink&& other) noexcept
      : path_{std::move(other.path_)},
        temporary_{std::move(other.temporary_)},
        file_{std::exchange(other.file_, detail::no_file())} {}
  file_sink& operator=(file_sink&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(temporary_, other.temporary_);
    std::swap(file_, other.file_);
    return *this;
  }
  file_sink(const file_sink&) = delete;
  file_sink& operator=(const file_sink&) = delete;
  ~file_sink() { discard(); }

  /// Creates the temporary file; `path` is UTF-8 on Windows. `inputs` are files that are read to
  /// write this one. Errors name the path: io; invalid_argument if the path, or a link or hard link
  /// there, is one of the inputs, which must not be replaced.
  [[nodiscard]] static result<file_sink> create(std::string_view path,
                                                std::span<const mapped_file> inputs = {}) noexcept {
    BITNET_CHECK(detail::check_path(path));
    file_sink s;
    s.path_ = path;
    if (!detail::may_replace(s.path_))
      return detail::path_error(errc::io, "what has this name is no file and is not replaced",
                                path);
    const auto there = detail::identify(s.path_);
    if (there && std::any_of(inputs.begin(), inputs.end(),
                             [&](const mapped_file& in) { return in.identity() == *there; }))
      return detail::path_error(errc::invalid_argument,
                                "this is a file that is being read; write to another one", path);
    // A name that is taken belongs to another writer, or to one that was ended.
    constexpr int attempts = 1000;
    for (int i = 0; i < attempts; ++i) {
      s.temporary_ = s.path_ + ".part" + std::to_string(i);
      bool exists = false;
      s.file_ = detail::create_file(s.temporary_, exists);
      if (s.file_ != detail::no_file()) return s;
      if (!exists) return detail::path_error(errc::io, "the file cannot be created", path);
    }
    return detail::path_error(errc::io, "too many unfinished files lie beside this one", path);
  }

  /// errc::io when the disk is full or gone; errc::invalid_argument after commit().
  [[nodiscard]] status write(std::span<const std::byte> bytes) noexcept {
    if (file_ == detail::no_file())
      return detail::path_error(errc::invalid_argument, "the file is closed", path_);
    if (!detail::write_file(file_, bytes))
      return detail::path_error(errc::io, "the file cannot be written", path_);
    return {};
  }

  /// Makes the file appear under its name. After an error nothing remains of it.
  [[nodiscard]] status commit() noexcept {
    if (file_ == detail::no_file())
      return detail::path_error(errc::invalid_argument, "the file is closed", path_);
    const bool synced = detail::sync_file(file_);
    const bool closed = detail::close_file(std::exchange(file_, detail::no_file()));
    if (synced && closed && detail::rename_file(temporary_, path_)) return {};
    detail::remove_file(temporary_);
    return detail::path_error(errc::io, "the file cannot be completed", path_);
  }

 private:
  file_sink() noexcept = default;

  void discard() noexcept {
    if (file_ == detail::no_file()) return;
    static_cast<void>(detail::close_file(std::exchange(file_, detail::no_file())));
    detail::remove_file(temporary_);
  }

  std::string path_;
  std::string temporary_;
  detail::file_handle file_ = detail::no_file();
};

static_assert(byte_sink<memory_sink> && byte_sink<file_sink>);

}  // namespace gguf
BITNET_NAMESPACE_END
