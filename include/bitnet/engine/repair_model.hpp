// SPDX-License-Identifier: Apache-2.0
// Copies of a model file in which missing and wrong metadata are put right.
#pragma once

#include <bitnet/core/function_ref.hpp>
#include <bitnet/engine/repair/rules.hpp>
#include <bitnet/gguf/parser.hpp>
#include <bitnet/gguf/sink.hpp>
#include <bitnet/gguf/source.hpp>
#include <bitnet/text/tokenizer.hpp>

#include <cstdint>
#include <optional>

BITNET_NAMESPACE_BEGIN

namespace detail {

/// Whether the tokenizer of a file with these metadata can be made.
[[nodiscard]] inline status check_vocabulary(const gguf::metadata& from,
                                             const gguf::metadata_edits& edits) {
  gguf::writer writer;
  BITNET_CHECK(edits.apply(from, writer));
  gguf::memory_sink head;
  if (const auto written = writer.begin(head); !written) return written.error();
  BITNET_TRY(const auto file, gguf::parse(head.bytes));
  BITNET_TRY(const auto vocabulary, read_vocabulary(file.meta()));
  const auto tokenizer = text::tokenizer::make(vocabulary);
  return tokenizer ? status{} : tokenizer.error();
}

}  // namespace detail

/// Finds what is missing or wrong in the metadata of a model or vocabulary file: the tokenizer's
/// model and pre-tokenizer, ids of special tokens, flags, token types, the chat template, the
/// activation. What the token lists, the names of special tokens, the architecture and the shape
/// decide is changed, with the reason; what they do not decide is an open question. Nothing is
/// changed that is not proven wrong, but for what the options ask for. A repaired file has nothing
/// to repair.
///
/// Errors: those of the lists that cannot be read (missing, malformed, wrong_type); errc::unknown
/// for a tokenizer model, or an option's pre-tokenizer, that this library does not have;
/// errc::invalid_argument for an option that names no token or a key that cannot be set; and, where
/// no question is open, those of text::tokenizer::make() for what would be written, since a file
/// with other faults is not repaired by this. Linear in the metadata.
[[nodiscard]] inline result<metadata_repair> plan_repair(const gguf::metadata& meta,
                                                         const repair_options& options = {}) {
  BITNET_TRY(auto repair, detail::find_repair(meta, options));
  if (repair.open.empty()) BITNET_CHECK(detail::check_vocabulary(meta, repair.edits));
  return repair;
}

/// Writes the model with the changes of plan_repair() for its metadata. Tensors are copied as they
/// are, a few megabytes at a time; a split model becomes one file. `progress` is called with bytes
/// of tensors done and in all. Errors: those of the sink and of readers.
template <gguf::byte_sink Sink>
[[nodiscard]] status write_repaired(
    const gguf::document& model, const metadata_repair& repair, Sink& sink,
    std::optional<function_ref<void(std::uint64_t done, std::uint64_t total)>> progress = {}) {
  gguf::metadata_edits edits = repair.edits;
  edits.remove_split();
  gguf::writer writer;
  BITNET_CHECK(edits.apply(model.meta(), writer));
  std::uint64_t total = 0;
  for (const auto* t : model.tensors()) {
    BITNET_CHECK(writer.add_tensor(t->name, std::span{t->dims}.first(t->n_dims), t->type));
    total += t->size;
  }
  BITNET_TRY(auto out, writer.begin(sink));
  std::uint64_t done = 0;
  for (const auto* t : model.tensors()) {
    BITNET_CHECK(gguf::copy_tensor(model, *t, out));
    done += t->size;
    if (progress) (*progress)(done, total);
  }
  return out.finish();
}

BITNET_NAMESPACE_END
