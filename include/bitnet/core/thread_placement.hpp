// SPDX-License-Identifier: Apache-2.0
// Where a thread runs and how urgently: one processor, and normal or background priority.
#pragma once

#include <bitnet/config.hpp>
#include <bitnet/core/result.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#if defined(_WIN32)
#if !defined(WIN32_LEAN_AND_MEAN)
#define WIN32_LEAN_AND_MEAN
#endif
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
#elif defined(__linux__)
#include <sched.h>
#include <sys/resource.h>
#elif defined(__APPLE__)
#include <pthread.h>
#endif

BITNET_NAMESPACE_BEGIN

/// How urgent a thread is beside the others of the machine.
enum class thread_priority : std::uint8_t {
  normal,     ///< as the system starts threads
  background  ///< yields to normal threads: Linux nice + 10 (about a tenth of a contested core),
              ///< Windows below normal, Apple QoS "utility"
};

/// What a thread is to be given; the defaults change nothing.
struct thread_placement {
  /// The only processor to run on, as the system numbers them; on Windows counted through the
  /// processor groups.
  std::optional<std::uint32_t> processor;
  thread_priority priority = thread_priority::normal;
};

namespace detail {

/// "processor N", for errors.
struct processor_name {
  char text[24] = "processor ";
  std::size_t size = 10;

  explicit processor_name(std::uint32_t number) noexcept {
    size =
        static_cast<std::size_t>(std::to_chars(text + size, text + sizeof text, number).ptr - text);
  }
  [[nodiscard]] std::string_view view() const noexcept { return {text, size}; }
};

inline error no_such_processor(std::uint32_t number) noexcept {
  return {errc::invalid_argument,
          "this process cannot run there: no such processor, or not its own",
          processor_name{number}.view()};
}

#if defined(_WIN32)

inline status pin_this_thread(std::uint32_t number) noexcept {
  DWORD in_group = number;
  for (WORD group = 0; group < GetActiveProcessorGroupCount(); ++group) {
    const DWORD size = GetActiveProcessorCount(group);
    if (in_group < size) {
      GROUP_AFFINITY where{};
      where.Group = group;
      where.Mask = KAFFINITY{1} << in_group;
      if (SetThreadGroupAffinity(GetCurrentThread(), &where, nullptr) == 0) break;
      return {};
    }
    in_group -= size;
  }
  return no_such_processor(number);
}

inline status send_this_thread_to_background() noexcept {
  if (SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_BELOW_NORMAL) != 0) return {};
  return error{errc::unsupported, "the system refused to lower the priority", "priority"};
}

#elif defined(__linux__)

inline status pin_this_thread(std::uint32_t number) noexcept {
  constexpr std::size_t sets = 8;  // 8192 processors, the most that Linux is built for
  cpu_set_t mask[sets] = {};
  if (number >= sets * CPU_SETSIZE) return no_such_processor(number);
  CPU_SET(number % CPU_SETSIZE, &mask[number / CPU_SETSIZE]);
  if (sched_setaffinity(0, sizeof mask, mask) == 0) return {};
  if (errno == EINVAL) return no_such_processor(number);
  return error{errc::unsupported, "the system refused to bind a thread to a processor",
               processor_name{number}.view()};
}

inline status send_this_thread_to_background() noexcept {
  errno = 0;                                     // nice values may be -1
  const int now = getpriority(PRIO_PROCESS, 0);  // 0: on Linux, the calling thread
  if (errno == 0 && setpriority(PRIO_PROCESS, 0, std::min(now + 10, 19)) == 0) return {};
  return error{errc::unsupported, "the system refused to lower the priority", "priority"};
}

#else

inline status pin_this_thread(std::uint32_t number) noexcept {
  return error{errc::unsupported, "threads cannot be bound to processors on this system",
               processor_name{number}.view()};
}

inline status send_this_thread_to_background() noexcept {
#if defined(__APPLE__)
  if (pthread_set_qos_class_self_np(QOS_CLASS_UTILITY, 0) == 0) return {};
#endif
  return error{errc::unsupported, "threads have no background priority on this system", "priority"};
}

#endif

}  // namespace detail

/// Gives the calling thread a place, for as long as it lives. errc::invalid_argument for a
/// processor that does not exist or that this process may not use, or for no thread_priority;
/// errc::unsupported where the system cannot do it (Apple's binds no thread, WebAssembly neither).
/// After an error the thread may have got the processor but not the priority.
[[nodiscard]] inline status place_this_thread(const thread_placement& place) noexcept {
  if (place.priority > thread_priority::background)
    return error{errc::invalid_argument, "neither normal nor background", "priority"};
  if (place.processor) BITNET_CHECK(detail::pin_this_thread(*place.processor));
  if (place.priority == thread_priority::background)
    return detail::send_this_thread_to_background();
  return {};
}

BITNET_NAMESPACE_END
