// SPDX-License-Identifier: Apache-2.0
// What an architecture is: a block with a list of tensors and a call operator, and a few facts.
#pragma once

#include <bitnet/nn/decoder.hpp>

#include <array>
#include <string_view>

BITNET_NAMESPACE_BEGIN
namespace models {

/// The tensors of a block are listed once, `v(name, layer, shape...)`, and the list serves to load,
/// count and check. This visitor only says which calls must work.
struct tensor_visitor_archetype {
  void operator()(std::string_view, nn::rms_norm&, std::size_t) {}
  template <class W>
  void operator()(std::string_view, nn::linear<W>&, std::size_t, std::size_t) {}
};

/// A type that describes an architecture:
///  - gguf_names: values of general.architecture that it serves,
///  - block: one layer, see nn::decoder,
///  - bitnet_activations: whether linear inputs are int8 per token whatever the weight format is,
///  - configure(hparams&): sets what the architecture fixes (rope order, default activation).
template <class A>
concept architecture = requires(nn::hparams& h, typename A::block& b, tensor_visitor_archetype& v,
                                const typename A::block& fixed, nn::context<>& c,
                                nn::activations x) {
  A::gguf_names.begin();
  { A::bitnet_activations } -> std::convertible_to<bool>;
  A::configure(h);
  b.tensors(v, h);
  fixed(c, x);
};

}  // namespace models
BITNET_NAMESPACE_END
