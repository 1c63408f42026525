#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "net/http_message.h"

namespace cacs::api {

/// The token of the file, or a new one (32 random bytes in hex) written there durably with mode 0600 where there is no
/// file yet. A file that others may read is refused (kPermission), and so is one with less than 32 characters.
Result<std::string> load_or_make_token(const std::filesystem::path& file);

/// Whether a numeric address is one that only this machine reaches.
bool is_loopback(std::string_view address);

/// Decides from a request's header whether it may go on. Immutable: any thread.
class Authenticator {
 public:
  struct Options {
    std::string token;                       ///< ignored with no_auth
    bool no_auth = false;                    ///< anybody who can connect may do all
    bool check_host = false;                 ///< Host must be a loopback name, or one of `allowed_hosts`
    std::vector<std::string> allowed_hosts;  ///< names without port
  };
  explicit Authenticator(Options options);

  /// The refusal, or nothing. `open`: the path needs no token (health, version). In this order: a Host that is not ours
  /// and an Origin of another site are refused (421, 403: what a browser would send after DNS rebinding); then the
  /// bearer token is compared in constant time. The peer of a unix socket that runs as this process's user, or root,
  /// needs none.
  [[nodiscard]] std::optional<net::Response> check(const net::Request& request, bool open) const;

 private:
  [[nodiscard]] bool host_allowed(std::string_view host) const;
  [[nodiscard]] bool token_right(std::string_view authorization) const;
  Options options_;
  Digest token_digest_;
};

}  // namespace cacs::api
