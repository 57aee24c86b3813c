// SPDX-License-Identifier: Apache-2.0
// Where messages for people go: a function of the host's for each object, or for the build.
#pragma once

#include <bitnet/config.hpp>

#include <cstdint>
#include <string_view>

BITNET_NAMESPACE_BEGIN

/// How much a message matters, in rising order.
enum class log_level : std::uint8_t { debug, info, warning, error };

/// Name of a level, for messages.
[[nodiscard]] constexpr std::string_view name_of(log_level level) noexcept {
  switch (level) {
    case log_level::debug:
      return "debug";
    case log_level::info:
      return "info";
    case log_level::warning:
      return "warning";
    case log_level::error:
      return "error";
  }
  return "log";
}

/// Passes messages to a function of the host; without one to BITNET_LOG (config.hpp), and where the
/// build has none it drops them. Copies are cheap and independent; no sink is global. It is as
/// thread safe as the host's function, which must not throw and must not keep the text after it
/// returns. `user` is borrowed.
class log_sink {
 public:
  using function = void (*)(void* user, log_level level, std::string_view text);

  constexpr log_sink() noexcept = default;

  /// Messages below `least` are dropped.
  constexpr explicit log_sink(function write, void* user = nullptr,
                              log_level least = log_level::info) noexcept
      : write_{write}, user_{user}, least_{least} {}

  /// Whether a message of this level would be passed on: ask before building a costly text.
  [[nodiscard]] constexpr bool wants(log_level level) const noexcept {
    return (write_ != nullptr || BITNET_HAS_LOG != 0) && level >= least_;
  }

  void operator()(log_level level, std::string_view text) const noexcept {
    if (!wants(level)) return;
    if (write_ != nullptr) {
      write_(user_, level, text);
    } else {
      BITNET_LOG(static_cast<int>(level), text.data(), text.size());
    }
  }

 private:
  function write_ = nullptr;
  void* user_ = nullptr;
  log_level least_ = log_level::info;
};

BITNET_NAMESPACE_END
