#include "base/error.h"

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

namespace cacs {

namespace {

struct CodeName {
  ErrorCode code;
  std::string_view name;
};

constexpr std::array<CodeName, 15> kCodeNames{{
    {ErrorCode::kInvalidArgument, "invalid-argument"},
    {ErrorCode::kUnauthenticated, "unauthenticated"},
    {ErrorCode::kPermission, "permission-denied"},
    {ErrorCode::kNotFound, "not-found"},
    {ErrorCode::kConflict, "conflict"},
    {ErrorCode::kStale, "stale"},
    {ErrorCode::kTooLarge, "too-large"},
    {ErrorCode::kUnsupported, "unsupported"},
    {ErrorCode::kUnavailable, "unavailable"},
    {ErrorCode::kTimeout, "timeout"},
    {ErrorCode::kAborted, "aborted"},
    {ErrorCode::kNoSpace, "no-space"},
    {ErrorCode::kCorrupt, "corrupt"},
    {ErrorCode::kIo, "io"},
    {ErrorCode::kInternal, "internal"},
}};

ErrorCode code_of_errno(int value) {
  switch (value) {
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kNoSpace;
    case ENOENT:
    case ESRCH:
      return ErrorCode::kNotFound;
    case EACCES:
    case EPERM:
      return ErrorCode::kPermission;
    case ETIMEDOUT:
      return ErrorCode::kTimeout;
    default:
      return ErrorCode::kIo;
  }
}

}  // namespace

std::string_view error_code_name(ErrorCode code) {
  for (const auto& entry : kCodeNames) {
    if (entry.code == code) return entry.name;
  }
  return "internal";
}

ErrorCode error_code_from_name(std::string_view name) {
  for (const auto& entry : kCodeNames) {
    if (entry.name == name) return entry.code;
  }
  return ErrorCode::kInternal;
}

Error Error::with_context(std::string_view doing) const {
  Error copy = *this;
  copy.message = std::string(doing) + ": " + message;
  return copy;
}

Error Error::with_hint(std::string_view new_hint) const {
  Error copy = *this;
  copy.hint = new_hint;
  return copy;
}

Error Error::with_type(std::string_view new_type) const {
  Error copy = *this;
  copy.type = new_type;
  return copy;
}

std::string Error::to_string() const { return hint.empty() ? message : message + " (" + hint + ")"; }

Error make_error(ErrorCode code, std::string message, std::string hint) {
  return Error{code, std::move(message), std::move(hint), {}, 0};
}

Error errno_error(int errno_value, std::string_view doing) {
  Error error;
  error.code = code_of_errno(errno_value);
  error.message = std::string(doing) + ": " + std::generic_category().message(errno_value);
  error.os_errno = errno_value;
  return error;
}

}  // namespace cacs
