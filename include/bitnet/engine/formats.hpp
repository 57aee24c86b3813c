// SPDX-License-Identifier: Apache-2.0
// Which weight format a tensor type of a file means.
#pragma once

#include <bitnet/gguf/types.hpp>
#include <bitnet/quant/any.hpp>

#include <optional>

BITNET_NAMESPACE_BEGIN
namespace detail {

/// The weight format of a file's tensor type; nothing for types that are no weights (i8, f64, ...)
/// and for tiled ones. `i2_s_arm` says that I2_S has its ARM order, which no file does.
[[nodiscard]] inline std::optional<quant::format_id> format_of(gguf::tensor_type type,
                                                               bool i2_s_arm = false) noexcept {
  if (type == gguf::tensor_type::i2_s)
    return i2_s_arm ? quant::format_id::i2_s_arm : quant::format_id::i2_s;
  if (type == gguf::tensor_type::q2_0_g128) return quant::format_id::q2_0_g128;
  const auto id = static_cast<quant::format_id>(type);
  if (!quant::find_format(id)) return std::nullopt;
  return id;
}

/// The description of that format.
[[nodiscard]] inline std::optional<quant::format_info> find_format(gguf::tensor_type type,
                                                                   bool i2_s_arm = false) noexcept {
  const auto id = format_of(type, i2_s_arm);
  return id ? quant::find_format(*id) : std::nullopt;
}
/// The same of one that can be written.
[[nodiscard]] inline std::optional<quant::writable_format> find_writable_format(
    gguf::tensor_type type) noexcept {
  const auto id = format_of(type);
  return id ? quant::find_writable_format(*id) : std::nullopt;
}

}  // namespace detail
BITNET_NAMESPACE_END
