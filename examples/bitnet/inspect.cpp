// SPDX-License-Identifier: Apache-2.0
// `bitnet inspect`: what is in a model file, what it needs, and what looks wrong in it.
#include "commands.hpp"
#include "failure.hpp"
#include "model.hpp"
#include "tensor_stats.hpp"
#include "terminal.hpp"

#include <nlohmann/json.hpp>

#include <bitnet/engine/repair_model.hpp>

#include <charconv>
#include <map>

namespace cli {
namespace {

using json = nlohmann::ordered_json;
using bitnet::gguf::value_type;

constexpr std::size_t shown_elements = 8;

/// A float as the double that has the same shortest digits: 0.1 and not 0.10000000149011612.
double shortest(float x) {
  char digits[32];
  const auto written = std::to_chars(digits, digits + sizeof digits, x);
  double y = static_cast<double>(x);
  std::from_chars(digits, written.ptr, y);
  return y;
}
template <class T>
T shortest(T x) {
  return x;
}

template <class T>
json first_elements(const bitnet::gguf::metadata_value& value) {
  json out = json::array();
  const auto view = value.as<bitnet::gguf::array_view<T>>();
  for (std::size_t i = 0; view && i < std::min(view->size(), shown_elements); ++i)
    out.push_back(shortest((*view)[i]));
  return out;
}

json array_json(const bitnet::gguf::metadata_value& value) {
  switch (value.element_type()) {
    case value_type::string:
      return first_elements<std::string_view>(value);
    case value_type::boolean:
      return first_elements<bool>(value);
    case value_type::f32:
      return first_elements<float>(value);
    case value_type::f64:
      return first_elements<double>(value);
    case value_type::u8:
      return first_elements<std::uint8_t>(value);
    case value_type::i8:
      return first_elements<std::int8_t>(value);
    case value_type::u16:
      return first_elements<std::uint16_t>(value);
    case value_type::i16:
      return first_elements<std::int16_t>(value);
    case value_type::u32:
      return first_elements<std::uint32_t>(value);
    case value_type::i32:
      return first_elements<std::int32_t>(value);
    case value_type::u64:
      return first_elements<std::uint64_t>(value);
    case value_type::i64:
      return first_elements<std::int64_t>(value);
    case value_type::array:
      break;
  }
  return json::array();
}

/// A value, or of a long array its type, size and first elements.
json value_json(const bitnet::gguf::metadata_value& value) {
  switch (value.type()) {
    case value_type::boolean:
      return *value.as<bool>();
    case value_type::string:
      return *value.as<std::string_view>();
    case value_type::f32:
      return shortest(*value.as<float>());
    case value_type::f64:
      return *value.as<double>();
    case value_type::u64:
      return *value.as<std::uint64_t>();
    case value_type::array: {
      json out;
      out["type"] = bitnet::gguf::name_of(value.element_type());
      out["count"] = value.count();
      out["first"] = array_json(value);
      return out;
    }
    default:
      return *value.as<std::int64_t>();
  }
}

std::string dump(const json& j, int indent = -1) {
  return j.dump(indent, ' ', false, json::error_handler_t::replace);
}

/// A value on one line.
std::string value_text(const bitnet::gguf::metadata_value& value) {
  if (value.type() == value_type::array) {
    std::string text = std::string{bitnet::gguf::name_of(value.element_type())} + '[' +
                       std::to_string(value.count()) + "] " + dump(array_json(value));
    if (value.count() > shown_elements) text.insert(text.size() - 1, ", ...");
    return text;
  }
  std::string text = dump(value_json(value));
  constexpr std::size_t widest = 100;
  if (text.size() > widest) {
    std::size_t cut = widest;
    while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0U) == 0x80U) --cut;
    text = text.substr(0, cut) + "... (" + std::to_string(text.size() - 2) + " bytes)";
  }
  return text;
}

/// All tensors of a type together.
struct type_total {
  std::size_t tensors = 0;
  std::uint64_t weights = 0;
  std::uint64_t bytes = 0;
};

double bits(std::uint64_t bytes, std::uint64_t weights) {
  return weights == 0 ? 0.0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

/// What running the model takes, or why it does not run.
struct run_plan {
  std::string refusal;
  bitnet::memory_plan memory;
};

run_plan plan_run(const bitnet::gguf::document& document, const inspect_options& options) {
  run_plan plan;
  try {
    const std::string doing = "cannot open " + cli::quoted(options.path);
    const auto vocabulary = check(bitnet::read_vocabulary(document.meta()), doing);
    static_cast<void>(check(bitnet::text::tokenizer::make(vocabulary), doing));
    const auto* const rows = document.find("token_embd.weight");
    if (rows != nullptr && vocabulary.tokens.size() > rows->rows())
      fail({bitnet::errc::shape, "the vocabulary has more tokens than the embedding has rows",
            "tokenizer.ggml.tokens"},
           doing);
    plan.memory = check(bitnet::plan(document, {}, {.context = options.context}), doing);
  } catch (const failure& e) {
    plan.refusal = e.what();
    plan.refusal = plan.refusal.substr(0, plan.refusal.find("\nhint:"));
  }
  return plan;
}

/// Keys of the metadata that `bitnet repair` would change or ask about; none where it is refused.
std::vector<std::string> keys_to_repair(const bitnet::gguf::document& document) {
  std::vector<std::string> keys;
  const auto found = bitnet::plan_repair(document.meta());
  if (!found) return keys;
  for (const auto& c : found->changes) keys.push_back(c.key);
  for (const auto& q : found->open) keys.push_back(q.key);
  return keys;
}

struct report {
  std::uint64_t file_bytes = 0;
  std::map<std::string_view, type_total> types;
  type_total all;
  std::vector<tensor_stats> stats;  ///< empty, or one for each tensor
  std::vector<std::size_t> suspicious;
  std::vector<std::string> repair;
  run_plan plan;
};

json to_json(const bitnet::gguf::document& document, const report& r,
             const inspect_options& options) {
  json out;
  out["file"] = options.path;
  out["file_bytes"] = r.file_bytes;
  out["gguf_version"] = document.parts().front().version();
  out["parts"] = document.parts().size();
  out["parameters"] = r.all.weights;
  out["tensor_bytes"] = r.all.bytes;
  out["bits_per_weight"] = bits(r.all.bytes, r.all.weights);
  json& meta = out["metadata"] = json::object();
  for (const auto& entry : document.meta()) meta[std::string{entry.key}] = value_json(entry.value);
  out["repair"] = r.repair;
  json& types = out["types"] = json::object();
  for (const auto& [name, t] : r.types)
    types[std::string{name}] = {{"tensors", t.tensors},
                                {"weights", t.weights},
                                {"bytes", t.bytes},
                                {"bits_per_weight", bits(t.bytes, t.weights)}};
  json& tensors = out["tensors"] = json::array();
  for (std::size_t i = 0; i < document.tensors().size(); ++i) {
    const auto& t = *document.tensors()[i];
    json one;
    one["name"] = t.name;
    one["type"] = bitnet::gguf::name_of(t.type);
    one["dims"] = std::vector<std::uint64_t>(t.dims.begin(), t.dims.begin() + t.n_dims);
    one["offset"] = t.offset;
    one["bytes"] = t.data.size();
    if (!r.stats.empty() && r.stats[i].known) {
      one["rms"] = r.stats[i].rms;
      one["max"] = r.stats[i].largest;
      if (!r.stats[i].suspicion.empty()) one["suspicious"] = r.stats[i].suspicion;
    }
    tensors.push_back(std::move(one));
  }
  out["suspicious"] = json::array();
  for (const std::size_t i : r.suspicious) out["suspicious"].push_back(document.tensors()[i]->name);
  if (document.tensors().empty() || options.no_stats) return out;
  out["runs"] = r.plan.refusal.empty();
  if (!r.plan.refusal.empty()) {
    out["refusal"] = r.plan.refusal;
  } else {
    out["memory"] = {{"context", r.plan.memory.context},
                     {"weight_bytes", r.plan.memory.model.weights},
                     {"kv_bytes", r.plan.memory.kv},
                     {"scratch_bytes", r.plan.memory.scratch},
                     {"bytes_per_token", r.plan.memory.per_token}};
  }
  return out;
}

/// Names come from the file: bytes that a terminal would obey are shown as '?'.
std::string padded(std::string_view s, std::size_t width) {
  std::string out{s};
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  out.resize(std::max(out.size(), width), ' ');
  return out;
}

std::string tensor_line(const bitnet::gguf::tensor_info& t, const tensor_stats* stats) {
  std::string dims;
  for (std::uint32_t d = 0; d < t.n_dims; ++d)
    dims += (d == 0 ? "" : " x ") + std::to_string(t.dims[d]);
  std::string line = "  " + padded(t.name, 32) + ' ' + padded(bitnet::gguf::name_of(t.type), 8) +
                     ' ' + padded(dims, 16) + ' ' + padded(bytes_text(t.data.size()), 8);
  if (stats != nullptr && stats->known) line += "  rms " + number(stats->rms, 5);
  return line + '\n';
}

std::string to_text(const bitnet::gguf::document& document, const report& r,
                    const inspect_options& options) {
  std::string out = options.path + ": GGUF version " +
                    std::to_string(document.parts().front().version()) + ", " +
                    bytes_text(r.file_bytes);
  if (document.parts().size() > 1)
    out += " in " + std::to_string(document.parts().size()) + " parts";
  out += "\n\nmetadata (" + std::to_string(document.meta().size()) + " keys)\n";
  for (const auto& entry : document.meta())
    out += "  " + padded(entry.key, 40) + ' ' + value_text(entry.value) + '\n';

  if (!r.repair.empty()) {
    out += "missing or wrong there (`bitnet repair` says why, and writes a corrected copy)\n";
    for (const std::string& key : r.repair) out += "  " + padded(key, 0) + '\n';
  }

  out += "\ntensors (" + std::to_string(r.all.tensors) + ")\n";
  if (options.tensors)
    for (std::size_t i = 0; i < document.tensors().size(); ++i)
      out += tensor_line(*document.tensors()[i], r.stats.empty() ? nullptr : &r.stats[i]);
  const auto total_line = [&](std::string_view name, const type_total& t) {
    out += "  " + padded(name, 10) + padded(std::to_string(t.tensors) + " tensors", 14) +
           padded(number(static_cast<double>(t.weights) / 1e6, 2) + " M weights", 22) +
           padded(bytes_text(t.bytes), 12) + number(bits(t.bytes, t.weights), 3) +
           " bits a weight\n";
  };
  for (const auto& [name, t] : r.types) total_line(name, t);
  if (r.types.size() > 1) total_line("all", r.all);
  if (document.tensors().empty()) {
    out += "  none: this file holds a vocabulary only\n";
    return out;
  }
  if (options.no_stats) return out;

  if (!r.plan.refusal.empty()) {
    out += "\nthis model does not run here: " + r.plan.refusal + '\n';
  } else {
    out += "\nmemory for a context of " + std::to_string(r.plan.memory.context) + "\n  weights  " +
           bytes_text(r.plan.memory.model.weights) +
           " repacked, beside the mapped file\n  KV cache " + bytes_text(r.plan.memory.kv) +
           " (f16)\n  scratch  " + bytes_text(r.plan.memory.scratch) + "\n  all      " +
           bytes_text(r.plan.memory.total()) + "; decoding a token reads at most " +
           bytes_text(r.plan.memory.per_token) + " of weights\n";
  }
  if (r.suspicious.empty()) {
    out += "\nnorms: nothing suspicious\n";
  } else {
    out +=
        "\nsuspicious (a hint, not a verdict: these sizes are unusual for trained models, and "
        "often\nmean that a converter scaled or quantized a tensor that it should not have)\n";
    for (const std::size_t i : r.suspicious)
      out += "  " + padded(document.tensors()[i]->name, 32) + ' ' + r.stats[i].suspicion + '\n';
  }
  return out;
}

std::uint64_t size_of_file(const bitnet::gguf::document& document) {
  std::uint64_t size = 0;
  for (const auto& part : document.parts()) size += part.bytes().size();
  return size;
}

}  // namespace

void inspect(const inspect_options& options) {
  report r;
  const auto document =
      check(bitnet::gguf::open(options.path), "cannot open " + cli::quoted(options.path));
  r.file_bytes = size_of_file(document);
  r.repair = keys_to_repair(document);
  for (const auto* t : document.tensors()) {
    for (type_total* total : {&r.types[bitnet::gguf::name_of(t->type)], &r.all}) {
      ++total->tensors;
      total->weights += t->elements();
      total->bytes += t->data.size();
    }
  }
  if (!options.no_stats && !document.tensors().empty()) {
    const auto architecture = document.meta().get<std::string_view>("general.architecture");
    r.stats = measure_tensors(document, architecture ? *architecture : std::string_view{});
    for (std::size_t i = 0; i < r.stats.size(); ++i)
      if (!r.stats[i].suspicion.empty()) r.suspicious.push_back(i);
    r.plan = plan_run(document, options);
  }
  if (options.json) {
    put(dump(to_json(document, r, options)) + '\n');
  } else {
    put(to_text(document, r, options));
  }
}

}  // namespace cli
