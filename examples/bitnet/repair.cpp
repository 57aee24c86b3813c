// SPDX-License-Identifier: Apache-2.0
// `bitnet repair`: the same model with missing and wrong metadata put right.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

#include <bitnet/engine/repair_model.hpp>

#include <charconv>
#include <fstream>
#include <iterator>

namespace cli {
namespace {

using json = nlohmann::ordered_json;

/// The template of a format's name, or the text of a file.
std::string template_named(const std::string& name) {
  if (name.empty()) return {};
  if (const auto format = bitnet::text::find_chat_format(name)) {
    const auto text = bitnet::text::chat_template_of(*format);
    if (text.empty())
      usage_error("a plain text needs no chat template; --remove tokenizer.chat_template");
    return std::string{text};
  }
  std::ifstream in{name, std::ios::binary};
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  if (!in || text.empty())
    usage_error(cli::quoted(name) +
                " is neither a chat format (chatml, llama2, llama3, bitnet, falcon3, falcon_e) nor "
                "a file with a template");
  return text;
}

template <class T>
bool parse_number(std::string_view text, bitnet::gguf::new_value& out) {
  T number{};
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc{} || end != text.data() + text.size()) return false;
  out = number;
  return true;
}

/// The value of "TYPE:TEXT".
bool parse_value(std::string_view type, std::string_view text, bitnet::gguf::new_value& out) {
  if (type == "string") {
    out = std::string{text};
    return true;
  }
  if (type == "bool" && (text == "true" || text == "false")) {
    out = text == "true";
    return true;
  }
  return (type == "u8" && parse_number<std::uint8_t>(text, out)) ||
         (type == "i8" && parse_number<std::int8_t>(text, out)) ||
         (type == "u16" && parse_number<std::uint16_t>(text, out)) ||
         (type == "i16" && parse_number<std::int16_t>(text, out)) ||
         (type == "u32" && parse_number<std::uint32_t>(text, out)) ||
         (type == "i32" && parse_number<std::int32_t>(text, out)) ||
         (type == "u64" && parse_number<std::uint64_t>(text, out)) ||
         (type == "i64" && parse_number<std::int64_t>(text, out)) ||
         (type == "f32" && parse_number<float>(text, out)) ||
         (type == "f64" && parse_number<double>(text, out));
}

/// A key and value from "KEY=TYPE:TEXT".
std::pair<std::string, bitnet::gguf::new_value> parse_setting(const std::string& setting) {
  const std::size_t equals = setting.find('=');
  const std::size_t colon = setting.find(':', equals);
  bitnet::gguf::new_value value;
  if (equals == std::string::npos || colon == std::string::npos ||
      !parse_value(std::string_view{setting}.substr(equals + 1, colon - equals - 1),
                   std::string_view{setting}.substr(colon + 1), value))
    usage_error("--set " + cli::quoted(setting) +
                " is no KEY=TYPE:VALUE with a type of string, bool, u8 to u64, i8 to i64, f32 or "
                "f64 and a value of that type");
  return {setting.substr(0, equals), std::move(value)};
}

/// How the command line calls a member of bitnet::repair_options.
std::string option_named(std::string_view member) {
  std::string name = "--" + std::string{member};
  for (char& c : name)
    if (c == '_') c = '-';
  return name;
}

void show(const bitnet::metadata_repair& repair) {
  for (const auto& c : repair.changes)
    put(c.key + ": " + (c.from.empty() ? "absent" : c.from) + " -> " +
        (c.to.empty() ? "left out" : c.to) + "\n    " + c.reason + '\n');
  for (const std::string& text : repair.notes) note("note: " + text);
}

json to_json(const bitnet::metadata_repair& repair) {
  json out;
  out["changes"] = json::array();
  for (const auto& c : repair.changes)
    out["changes"].push_back(
        {{"key", c.key}, {"from", c.from}, {"to", c.to}, {"reason", c.reason}});
  out["open"] = json::array();
  for (const auto& q : repair.open)
    out["open"].push_back(
        {{"key", q.key}, {"problem", q.problem}, {"option", option_named(q.option)}});
  out["notes"] = repair.notes;
  return out;
}

[[noreturn]] void fail_open(const bitnet::metadata_repair& repair) {
  std::string message = "nothing is written, since the file does not say what is right:";
  for (const auto& q : repair.open)
    message += "\n  " + q.key + ": " + q.problem + "; set it with " + option_named(q.option);
  throw failure{exit_code::general, message};
}

}  // namespace

void repair(const repair_command_options& options) {
  if (options.output.empty() && !options.dry_run)
    usage_error("name a file to write, or give --dry-run to see what would change");
  if (!options.dry_run) refuse_existing(options.output, options.force);
  bitnet::repair_options wanted;
  const std::string chat_template = template_named(options.chat_template);
  if (!options.pre.empty())
    if (const auto known = bitnet::text::find_pre_tokenizer(options.pre); !known)
      usage_error("--pre: " + to_string(known.error()));
  wanted.pre = options.pre;
  wanted.chat_template = chat_template;
  wanted.bos = options.bos;
  wanted.eos = options.eos;
  wanted.eot = options.eot;
  wanted.unk = options.unk;
  wanted.pad = options.pad;
  wanted.add_bos = options.add_bos;
  wanted.add_eos = options.add_eos;
  for (const std::string& setting : options.set) wanted.set.push_back(parse_setting(setting));
  wanted.remove = options.remove;

  const std::string doing = "cannot repair " + cli::quoted(options.input);
  const auto model =
      check(bitnet::gguf::open(options.input), "cannot open " + cli::quoted(options.input));
  const auto found = check(bitnet::plan_repair(model.meta(), wanted), doing);
  const bool writes = !options.dry_run && found.open.empty() && !found.changes.empty();
  std::uint64_t bytes = 0;
  if (writes) {
    output_file sink{options.output, model.mappings()};
    progress bar{"writing " + options.output};
    check(bitnet::write_repaired(model, found, sink,
                                 [&](std::uint64_t done, std::uint64_t total) {
                                   bar.update(done, total, bytes_text(sink.bytes()));
                                 }),
          doing);
    sink.commit();
    bytes = sink.bytes();
  }
  if (options.json) {
    json out = to_json(found);
    out["file"] = writes ? json(options.output) : json(nullptr);
    out["bytes"] = bytes;
    put(out.dump(-1, ' ', false, json::error_handler_t::replace) + '\n');
  } else {
    show(found);
  }
  if (!found.open.empty()) fail_open(found);
  const std::string count =
      std::to_string(found.changes.size()) + (found.changes.size() == 1 ? " key" : " keys");
  if (found.changes.empty()) {
    note(cli::quoted(options.input) + " has nothing to repair" +
         (options.dry_run ? "" : "; no file is written"));
  } else if (writes) {
    note("wrote " + cli::quoted(options.output) + ": " + count + " changed; " + bytes_text(bytes));
  } else {
    note(count + " would change; nothing is written");
  }
}

}  // namespace cli
