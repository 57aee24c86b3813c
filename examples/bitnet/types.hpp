// SPDX-License-Identifier: Apache-2.0
// Tensor types by name, for options.
#pragma once

#include "failure.hpp"

#include <bitnet/gguf/types.hpp>

#include <optional>
#include <string>

namespace cli {

/// "f32, f16, ...": the types that commands write.
[[nodiscard]] inline std::string written_type_names() {
  std::string names;
  for (const bitnet::gguf::tensor_type t : bitnet::gguf::written_types)
    names += (names.empty() ? "" : ", ") + std::string{bitnet::gguf::name_of(t)};
  return names;
}

/// The type of that name; a usage failure if none is written that has it.
[[nodiscard]] inline bitnet::gguf::tensor_type written_type(std::string_view name) {
  if (const auto type = bitnet::gguf::find_written_type(name)) return *type;
  usage_error(quoted(name) + " is no type that can be written; choose one of " +
              written_type_names());
}

/// The same where an empty name stands for the default.
[[nodiscard]] inline std::optional<bitnet::gguf::tensor_type> written_type_if_named(
    std::string_view name) {
  return name.empty() ? std::nullopt : std::optional{written_type(name)};
}

}  // namespace cli
