#pragma once

#include <string>
#include <string_view>

namespace cacs {

/// What kind of failure an Error is. The API maps each kind to one HTTP status (api/problem.cpp).
enum class ErrorCode {
  kInvalidArgument,  ///< the caller's input is wrong; `hint` says how to mend it
  kUnauthenticated,  ///< no or a wrong credential
  kPermission,       ///< the credential does not allow this
  kNotFound,         ///< the thing named does not exist
  kConflict,         ///< it exists, but is in a state that forbids this
  kStale,            ///< the caller speaks for an older incarnation or owner epoch
  kTooLarge,         ///< a bound on size or number was passed
  kUnsupported,      ///< this build, kernel or engine cannot do it
  kUnavailable,      ///< not now: try again later
  kTimeout,          ///< a deadline passed
  kAborted,          ///< given up on purpose; nothing was changed
  kNoSpace,          ///< a disk or quota is full
  kCorrupt,          ///< stored bytes are not what was stored
  kIo,               ///< an operation of the operating system failed
  kInternal,         ///< a bug of ours
};

/// The stable name of a code, as in a problem type: "not-found".
std::string_view error_code_name(ErrorCode code);

/// The code whose name this is; kInternal for a name this build does not know.
ErrorCode error_code_from_name(std::string_view name);

/// A failure with its story: what was tried, on what, why it failed (`message`), and what to do about it (`hint`).
/// A value: never thrown. Safe to copy between threads.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;  ///< one sentence for people, without a trailing full stop
  std::string hint;     ///< what the reader can do; may be empty
  std::string type;     ///< stable slug of a problem type where one is more exact than the code; may be empty
  int os_errno = 0;     ///< errno of the failed call, or 0

  /// The same error with what was being done put in front: "restore pod-0: open x: No such file".
  [[nodiscard]] Error with_context(std::string_view doing) const;
  [[nodiscard]] Error with_hint(std::string_view new_hint) const;
  [[nodiscard]] Error with_type(std::string_view new_type) const;

  /// Message and hint in one line, for logs.
  [[nodiscard]] std::string to_string() const;
};

[[nodiscard]] Error make_error(ErrorCode code, std::string message, std::string hint = {});

/// An error from `errno_value` of the call described by `doing` ("open /x"). ENOSPC and EDQUOT become kNoSpace, ENOENT
/// kNotFound, EACCES and EPERM kPermission, everything else kIo.
[[nodiscard]] Error errno_error(int errno_value, std::string_view doing);

}  // namespace cacs
