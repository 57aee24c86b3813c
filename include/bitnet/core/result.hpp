// SPDX-License-Identifier: Apache-2.0
// result<T> and status: a value or an error, without exceptions. std::expected is not in C++20.
#pragma once

#include <bitnet/core/error.hpp>

#include <memory>
#include <new>
#include <type_traits>
#include <utility>

BITNET_NAMESPACE_BEGIN

/// Either a T or an error. Reading the value of a failed result breaks a contract (BITNET_ASSERT).
template <class T>
class [[nodiscard]] result {
  static_assert(!std::is_reference_v<T> && !std::is_same_v<T, bitnet::error>);

 public:
  using value_type = T;

  template <class U = T>
    requires(std::is_constructible_v<T, U&&> && !std::is_same_v<std::remove_cvref_t<U>, result> &&
             !std::is_same_v<std::remove_cvref_t<U>, bitnet::error>)
  explicit(false) result(U&& value) noexcept : ok_{true} {
    std::construct_at(std::addressof(value_), std::forward<U>(value));
  }
  explicit(false) result(const bitnet::error& e) noexcept { fail(e); }

  result(result&& other) noexcept { take(std::move(other)); }
  result& operator=(result&& other) noexcept {
    if (this != &other) {
      destroy();
      take(std::move(other));
    }
    return *this;
  }
  result(const result& other) noexcept requires std::is_copy_constructible_v<T> {
    if (other.ok_) {
      std::construct_at(std::addressof(value_), other.value_);
      ok_ = true;
    } else {
      fail(other.error_);
    }
  }
  result& operator=(const result&) = delete;
  ~result() { destroy(); }

  [[nodiscard]] explicit operator bool() const noexcept { return ok_; }
  [[nodiscard]] bool has_value() const noexcept { return ok_; }

  [[nodiscard]] T& operator*() & noexcept { return checked(); }
  [[nodiscard]] const T& operator*() const& noexcept {
    return const_cast<result*>(this)->checked();
  }
  [[nodiscard]] T&& operator*() && noexcept { return std::move(checked()); }
  [[nodiscard]] T* operator->() noexcept { return std::addressof(checked()); }
  [[nodiscard]] const T* operator->() const noexcept {
    return std::addressof(const_cast<result*>(this)->checked());
  }

  [[nodiscard]] const bitnet::error& error() const noexcept {
    BITNET_ASSERT(!ok_, "result::error() of a success");
    return error_;
  }
  template <class U>
  [[nodiscard]] T value_or(U&& fallback) && noexcept {
    return ok_ ? std::move(value_) : static_cast<T>(std::forward<U>(fallback));
  }

 private:
  T& checked() noexcept {
    BITNET_ASSERT(ok_, "result read without a check");
    return value_;
  }
  void take(result&& other) noexcept {
    if (other.ok_) {
      std::construct_at(std::addressof(value_), std::move(other.value_));
      ok_ = true;
    } else {
      fail(other.error_);
    }
  }
  /// Says so after the copy, a call that compilers would otherwise suspect of having changed it.
  void fail(const bitnet::error& e) noexcept {
    std::construct_at(std::addressof(error_), e);
    ok_ = false;
  }
  void destroy() noexcept {
    if (ok_) std::destroy_at(std::addressof(value_));
  }

  union {
    T value_;
    bitnet::error error_;
  };
  bool ok_;
};

/// Success or an error.
class [[nodiscard]] status {
 public:
  status() noexcept : ok_{true} {}
  explicit(false) status(const bitnet::error& e) noexcept : error_{e}, ok_{false} {}
  status(const status& other) noexcept : ok_{other.ok_} {
    if (!ok_) std::construct_at(std::addressof(error_), other.error_);
  }
  status& operator=(const status& other) noexcept {
    if (this == &other) return *this;
    ok_ = other.ok_;
    if (!ok_) std::construct_at(std::addressof(error_), other.error_);
    return *this;
  }
  ~status() = default;

  [[nodiscard]] explicit operator bool() const noexcept { return ok_; }
  [[nodiscard]] const bitnet::error& error() const noexcept {
    BITNET_ASSERT(!ok_, "status::error() of a success");
    return error_;
  }

 private:
  union {
    bitnet::error error_;  // of a failure
  };
  bool ok_;
};

BITNET_NAMESPACE_END

#define BITNET_CONCAT_(a, b) a##b
#define BITNET_CONCAT(a, b) BITNET_CONCAT_(a, b)

/// BITNET_TRY(auto x, f()) declares x as the value of f() or returns f()'s error.
#define BITNET_TRY(declaration, ...) \
  BITNET_TRY_(BITNET_CONCAT(bitnet_try_, __LINE__), declaration, __VA_ARGS__)
#define BITNET_TRY_(temporary, declaration, ...) \
  auto temporary = (__VA_ARGS__);                \
  if (!temporary) return temporary.error();      \
  declaration = *std::move(temporary)

/// BITNET_CHECK(f()) returns the error of a status, if there is one.
#define BITNET_CHECK(...)                                                                    \
  do {                                                                                       \
    if (auto bitnet_status_ = (__VA_ARGS__); !bitnet_status_) return bitnet_status_.error(); \
  } while (false)
