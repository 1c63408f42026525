#pragma once

#include <optional>
#include <utility>
#include <variant>

#include "base/error.h"

namespace cacs {

/// A value or an Error. There is no empty state; reading the side that is not there is a bug and ends the program
/// (std::bad_variant_access). Must not be ignored.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  [[nodiscard]] T& value() & { return std::get<0>(state_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(state_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(state_)); }
  [[nodiscard]] T& operator*() & { return value(); }
  [[nodiscard]] const T& operator*() const& { return value(); }
  [[nodiscard]] T&& operator*() && { return std::move(*this).value(); }
  [[nodiscard]] T* operator->() { return &value(); }
  [[nodiscard]] const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const { return std::get<1>(state_); }

  /// The same result; a failure gets what was being done put in front of its message.
  [[nodiscard]] Result context(std::string_view doing) && {
    if (ok()) return std::move(*this);
    return error().with_context(doing);
  }

 private:
  std::variant<T, Error> state_;
};

/// Success, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] const Error& error() const { return error_.value(); }

  [[nodiscard]] Result context(std::string_view doing) && {
    if (ok()) return {};
    return error_->with_context(doing);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;

inline Status ok_status() { return {}; }

}  // namespace cacs

#define CACS_CONCAT_INNER(a, b) a##b
#define CACS_CONCAT(a, b) CACS_CONCAT_INNER(a, b)

/// Leaves the function with the error of `expression` (a Status or Result<T>) if it failed.
#define CACS_TRY(expression)                                   \
  do {                                                         \
    auto&& cacs_try_result = (expression);                     \
    if (!cacs_try_result.ok()) return cacs_try_result.error(); \
  } while (false)

/// Declares or assigns `target` from the value of `expression` (a Result<T>), or leaves the function with its error.
#define CACS_ASSIGN(target, expression) CACS_ASSIGN_INNER(CACS_CONCAT(cacs_result_, __LINE__), target, expression)
// `target` may be a declaration, which no parentheses can be put around.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define CACS_ASSIGN_INNER(temporary, target, expression) \
  auto temporary = (expression);                         \
  if (!temporary.ok()) return temporary.error();         \
  target = std::move(temporary).value()
// NOLINTEND(bugprone-macro-parentheses)
