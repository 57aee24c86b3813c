// SPDX-License-Identifier: Apache-2.0
// The few operating system calls behind file sources and sinks: map to read, create, write, rename.
#pragma once

#include <bitnet/core/checked.hpp>
#include <bitnet/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#endif

BITNET_NAMESPACE_BEGIN
namespace gguf {

/// Which file it is, whatever path leads there: a number on a volume. Two paths to one file
/// (through a link, another spelling, a hard link) have the same identity.
struct file_identity {
  std::uint64_t volume = 0;
  std::uint64_t number = 0;

  [[nodiscard]] friend bool operator==(const file_identity&, const file_identity&) = default;
};

namespace detail {

/// The bytes of a file in memory, and which file it was.
struct file_map {
  std::span<const std::byte> bytes;
  file_identity identity;
};

/// An input or output error about a path. The end of a long path tells more than its beginning.
[[nodiscard]] inline error path_error(errc code, const char* message,
                                      std::string_view path) noexcept {
  constexpr std::size_t room = 95;
  return {code, message, path.size() > room ? path.substr(path.size() - room) : path};
}

[[nodiscard]] inline status check_path(std::string_view path) noexcept {
  if (path.empty()) return error{errc::invalid_argument, "the path is empty"};
  if (path.find('\0') != std::string_view::npos)
    return path_error(errc::invalid_argument, "the path has a zero byte", path);
  return {};
}

#if defined(_WIN32)

[[nodiscard]] inline std::wstring wide(std::string_view utf8) noexcept {
  if (utf8.size() > 32767) return {};  // the system's own limit
  const int size = static_cast<int>(utf8.size());
  const int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, utf8.data(), size, nullptr, 0);
  std::wstring out(static_cast<std::size_t>(n > 0 ? n : 0), L'\0');
  if (n > 0) MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, utf8.data(), size, out.data(), n);
  return out;
}

[[nodiscard]] inline std::optional<file_identity> identity_of(HANDLE f) noexcept {
  BY_HANDLE_FILE_INFORMATION i{};
  if (!GetFileInformationByHandle(f, &i)) return std::nullopt;
  return file_identity{i.dwVolumeSerialNumber,
                       std::uint64_t{i.nFileIndexHigh} << 32 | i.nFileIndexLow};
}
/// The identity of what lies at a path; nothing if nothing does.
[[nodiscard]] inline std::optional<file_identity> identify(const std::string& path) noexcept {
  const HANDLE f =
      CreateFileW(wide(path).c_str(), 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
                  nullptr, OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, nullptr);
  if (f == INVALID_HANDLE_VALUE) return std::nullopt;
  const auto identity = identity_of(f);
  CloseHandle(f);
  return identity;
}

[[nodiscard]] inline result<file_map> map_file(std::string_view path) noexcept {
  BITNET_CHECK(check_path(path));
  const HANDLE f =
      CreateFileW(wide(path).c_str(), GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, nullptr,
                  OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
  if (f == INVALID_HANDLE_VALUE) return path_error(errc::io, "the file cannot be opened", path);
  LARGE_INTEGER size{};
  const auto identity = identity_of(f);
  if (GetFileType(f) != FILE_TYPE_DISK || !GetFileSizeEx(f, &size) || !identity) {
    CloseHandle(f);
    return path_error(errc::io, "the path is not a regular file", path);
  }
  if (size.QuadPart == 0) {
    CloseHandle(f);
    return file_map{{}, *identity};
  }
  const HANDLE mapping = CreateFileMappingW(f, nullptr, PAGE_READONLY, 0, 0, nullptr);
  CloseHandle(f);
  if (mapping == nullptr) return path_error(errc::io, "the file cannot be mapped", path);
  const void* p = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
  CloseHandle(mapping);  // the view keeps the mapping
  if (p == nullptr) return path_error(errc::io, "the file cannot be mapped", path);
  return file_map{{static_cast<const std::byte*>(p), static_cast<std::size_t>(size.QuadPart)},
                  *identity};
}

inline void unmap_file(std::span<const std::byte> bytes) noexcept {
  if (!bytes.empty()) UnmapViewOfFile(bytes.data());
}

/// Takes the pages out of the working set, which is what unlocking pages that are not locked does.
inline void forget_pages(std::span<const std::byte> bytes) noexcept {
  if (!bytes.empty()) VirtualUnlock(const_cast<std::byte*>(bytes.data()), bytes.size());
}
/// Files are mapped in small pages.
inline void use_small_pages(std::span<const std::byte> bytes) noexcept { forget_pages(bytes); }

using file_handle = HANDLE;
[[nodiscard]] inline file_handle no_file() noexcept { return INVALID_HANDLE_VALUE; }

/// A new file that did not exist; `exists` says that it did.
[[nodiscard]] inline file_handle create_file(const std::string& path, bool& exists) noexcept {
  const HANDLE f = CreateFileW(wide(path).c_str(), GENERIC_WRITE, 0, nullptr, CREATE_NEW,
                               FILE_ATTRIBUTE_NORMAL, nullptr);
  exists = f == INVALID_HANDLE_VALUE && GetLastError() == ERROR_FILE_EXISTS;
  return f;
}
[[nodiscard]] inline bool write_file(file_handle f, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    const auto chunk = static_cast<DWORD>(bytes.size() < (1U << 30) ? bytes.size() : (1U << 30));
    DWORD done = 0;
    if (!WriteFile(f, bytes.data(), chunk, &done, nullptr) || done == 0) return false;
    bytes = bytes.subspan(done);
  }
  return true;
}
[[nodiscard]] inline bool sync_file(file_handle f) noexcept { return FlushFileBuffers(f) != 0; }
[[nodiscard]] inline bool close_file(file_handle f) noexcept { return CloseHandle(f) != 0; }
[[nodiscard]] inline bool rename_file(const std::string& from, const std::string& to) noexcept {
  return MoveFileExW(wide(from).c_str(), wide(to).c_str(),
                     MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH) != 0;
}
inline void remove_file(const std::string& path) noexcept { DeleteFileW(wide(path).c_str()); }
[[nodiscard]] inline bool may_replace(std::string& path) noexcept {
  const DWORD what = GetFileAttributesW(wide(path).c_str());
  constexpr DWORD other =
      FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE | FILE_ATTRIBUTE_REPARSE_POINT;
  return what == INVALID_FILE_ATTRIBUTES || (what & other) == 0;
}

#else

[[nodiscard]] inline file_identity identity_of(const struct stat& s) noexcept {
  return {static_cast<std::uint64_t>(s.st_dev), static_cast<std::uint64_t>(s.st_ino)};
}
/// The identity of what lies at a path; nothing if nothing does.
[[nodiscard]] inline std::optional<file_identity> identify(const std::string& path) noexcept {
  struct stat s {};
  if (::stat(path.c_str(), &s) != 0) return std::nullopt;
  return identity_of(s);
}

[[nodiscard]] inline result<file_map> map_file(std::string_view path) noexcept {
  BITNET_CHECK(check_path(path));
  // Without O_NONBLOCK, opening a pipe that nobody writes to would wait forever.
  const int f = ::open(std::string{path}.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (f < 0)
    return path_error(
        errc::io, errno == ENOENT ? "there is no such file" : "the file cannot be opened", path);
  struct stat s {};
  if (::fstat(f, &s) != 0 || !S_ISREG(s.st_mode)) {
    ::close(f);
    return path_error(errc::io, "the path is not a regular file", path);
  }
  if (s.st_size == 0) {
    ::close(f);
    return file_map{{}, identity_of(s)};
  }
  const auto fits = to_size(static_cast<std::uint64_t>(s.st_size));
  if (!fits) {
    ::close(f);
    return path_error(errc::limit, "the file is too large to be mapped", path);
  }
  const std::size_t size = *fits;
  void* p = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, f, 0);
  ::close(f);  // the mapping keeps the file
  if (p == MAP_FAILED) return path_error(errc::io, "the file cannot be mapped", path);
  return file_map{{static_cast<const std::byte*>(p), size}, identity_of(s)};
}

inline void unmap_file(std::span<const std::byte> bytes) noexcept {
  if (!bytes.empty()) ::munmap(const_cast<std::byte*>(bytes.data()), bytes.size());
}

/// Advises the system on the pages that lie wholly in a part of a mapping.
inline void advise_pages(std::span<const std::byte> bytes, int advice) noexcept {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t last = (begin + bytes.size()) / page * page;
  if (first < last)
    static_cast<void>(::madvise(reinterpret_cast<void*>(first), last - first, advice));
}
/// Drops them; the file still has them.
inline void forget_pages(std::span<const std::byte> bytes) noexcept {
  advise_pages(bytes, MADV_DONTNEED);
}
/// The same, and what is read of them later comes in small pages: touching one byte of a file in
/// the system's cache may map 2 MiB of it otherwise.
inline void use_small_pages(std::span<const std::byte> bytes) noexcept {
#if defined(MADV_NOHUGEPAGE)
  advise_pages(bytes, MADV_NOHUGEPAGE);
#endif
  forget_pages(bytes);
}

using file_handle = int;
[[nodiscard]] inline file_handle no_file() noexcept { return -1; }

/// A new file that did not exist; `exists` says that it did.
[[nodiscard]] inline file_handle create_file(const std::string& path, bool& exists) noexcept {
  const int f = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  exists = f < 0 && errno == EEXIST;
  return f;
}
[[nodiscard]] inline bool write_file(file_handle f, std::span<const std::byte> bytes) noexcept {
  while (!bytes.empty()) {
    // Some systems take at most INT_MAX bytes at once.
    const std::size_t chunk =
        bytes.size() < (std::size_t{1} << 30) ? bytes.size() : (std::size_t{1} << 30);
    const auto done = ::write(f, bytes.data(), chunk);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
  }
  return true;
}
[[nodiscard]] inline bool sync_file(file_handle f) noexcept { return ::fsync(f) == 0; }
[[nodiscard]] inline bool close_file(file_handle f) noexcept { return ::close(f) == 0; }
/// Whether a file may take this name: nothing has it, or a regular file. A link stays a link:
/// `path` becomes what it points to.
[[nodiscard]] inline bool may_replace(std::string& path) noexcept {
  struct stat what {};
  if (::lstat(path.c_str(), &what) != 0) return true;
  if (S_ISLNK(what.st_mode)) {
    char* target = ::realpath(path.c_str(), nullptr);
    if (target == nullptr) return false;
    path = target;
    std::free(target);
    if (::lstat(path.c_str(), &what) != 0) return false;
  }
  return S_ISREG(what.st_mode);
}
[[nodiscard]] inline bool rename_file(const std::string& from, const std::string& to) noexcept {
  if (std::rename(from.c_str(), to.c_str()) != 0) return false;
  // The new name is safe once the folder is on disk; a folder that cannot be synced is no failure.
  const std::size_t slash = to.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : to.substr(0, slash + 1);
  const int f = ::open(folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (f >= 0) {
    static_cast<void>(::fsync(f));
    ::close(f);
  }
  return true;
}
inline void remove_file(const std::string& path) noexcept { ::unlink(path.c_str()); }

#endif

}  // namespace detail
}  // namespace gguf
BITNET_NAMESPACE_END
