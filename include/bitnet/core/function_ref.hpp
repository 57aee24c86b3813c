// SPDX-License-Identifier: Apache-2.0
// A non-owning reference to something callable: two pointers, no allocation, no exceptions.
#pragma once

#include <bitnet/config.hpp>

#include <memory>
#include <type_traits>
#include <utility>

BITNET_NAMESPACE_BEGIN

template <class Signature>
class function_ref;

/// Refers to a callable; valid only while the callable lives (made for arguments, not members).
template <class R, class... Args>
class function_ref<R(Args...)> {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, function_ref> &&
             !std::is_function_v<std::remove_reference_t<F>> &&
             std::is_invocable_r_v<R, F&, Args...>)
  explicit(false) function_ref(F&& f) noexcept
      : object_{const_cast<void*>(static_cast<const void*>(std::addressof(f)))},
        call_{[](void* object, Args... args) -> R {
          return (*static_cast<std::remove_reference_t<F>*>(object))(std::forward<Args>(args)...);
        }} {}

  /// A plain function.
  explicit(false) function_ref(R (*f)(Args...)) noexcept
      : object_{reinterpret_cast<void*>(f)}, call_{[](void* object, Args... args) -> R {
          return reinterpret_cast<R (*)(Args...)>(object)(std::forward<Args>(args)...);
        }} {}

  R operator()(Args... args) const { return call_(object_, std::forward<Args>(args)...); }

 private:
  void* object_;
  R (*call_)(void*, Args...);
};

BITNET_NAMESPACE_END
