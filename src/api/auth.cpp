#include "api/auth.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/io.h"
#include "base/text.h"

namespace cacs::api {
namespace {

constexpr std::size_t kTokenBytes = 32;

Result<std::string> random_hex(std::size_t bytes) {
  std::string raw(bytes, '\0');
  std::size_t have = 0;
  while (have < bytes) {
    const ssize_t got = ::getrandom(raw.data() + have, bytes - have, 0);
    if (got < 0 && errno != EINTR) return errno_error(errno, "get random bytes for a token");
    if (got > 0) have += static_cast<std::size_t>(got);
  }
  std::string hex;
  for (const char c : raw) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

/// "host:80" and "[::1]:80" without the port.
std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    return end == std::string_view::npos ? host : host.substr(1, end - 1);
  }
  return host.substr(0, host.find(':'));
}

std::string_view origin_host(std::string_view origin) {
  const std::size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? std::string_view() : origin.substr(scheme + 3);
}

}  // namespace

bool is_loopback(std::string_view address) {
  if (address == "::1") return true;
  // Digits and dots only: "127.0.0.1.evil.example" is a name.
  return address.starts_with("127.") && address.find_first_not_of("0123456789.") == std::string_view::npos;
}

Result<std::string> load_or_make_token(const std::filesystem::path& file) {
  auto fd = open_file(file, O_RDONLY);
  if (!fd.ok() && fd.error().code != ErrorCode::kNotFound) return fd.error().with_context("read the API's token");
  if (!fd.ok()) {
    CACS_ASSIGN(std::string token, random_hex(kTokenBytes));
    if (file.has_parent_path()) CACS_TRY(make_directories(file.parent_path(), 0700));
    CACS_TRY(write_file_durably(file, token + "\n", 0600).context("write the API's token"));
    return token;
  }
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0) return errno_error(errno, "stat " + file.native());
  if ((status.st_mode & 0077U) != 0) {
    return make_error(ErrorCode::kPermission, fmt::format("others may read the API's token in {}", file.native()),
                      fmt::format("chmod 600 {}, or remove it to have a new one made", file.native()));
  }
  CACS_ASSIGN(const std::string text, read_text_file(file, 4'096));
  std::string token(trim(text));
  if (token.size() < 32) {
    return make_error(ErrorCode::kInvalidArgument, fmt::format("the API's token in {} is too short", file.native()),
                      "use 32 characters or more, or remove the file to have a new one made");
  }
  return token;
}

Authenticator::Authenticator(Options options) : options_(std::move(options)), token_digest_(sha256(options_.token)) {}

bool Authenticator::host_allowed(std::string_view host) const {
  const std::string_view name = host_name(host);
  if (net::equal_ignoring_case(name, "localhost") || is_loopback(name)) return true;
  return std::any_of(options_.allowed_hosts.begin(), options_.allowed_hosts.end(),
                     [&](const std::string& allowed) { return net::equal_ignoring_case(allowed, name); });
}

bool Authenticator::token_right(std::string_view authorization) const {
  constexpr std::string_view kScheme = "Bearer ";
  if (options_.token.empty() || authorization.size() < kScheme.size() ||
      !net::equal_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) {
    return false;
  }
  // Digests have one length, so that the time tells nothing of the token's.
  const Digest given = sha256(trim(authorization.substr(kScheme.size())));
  return CRYPTO_memcmp(given.bytes.data(), token_digest_.bytes.data(), given.bytes.size()) == 0;
}

std::optional<net::Response> Authenticator::check(const net::Request& request, bool open) const {
  const std::string_view host = request.headers.get("host");
  if (options_.check_host && !host_allowed(host)) {
    return net::problem_response(
        421, make_error(ErrorCode::kPermission, "this server does not answer for the host " + printable(host, 80),
                        "use localhost, or allow the name in the server's configuration")
                 .with_type("wrong-host"));
  }
  if (const std::string* origin = request.headers.find("origin");
      origin != nullptr && !net::equal_ignoring_case(origin_host(*origin), host)) {
    return net::problem_response(
        403,
        make_error(ErrorCode::kPermission, "a page of another site may not use this API: " + printable(*origin, 80))
            .with_type("cross-origin"));
  }
  if (open || options_.no_auth || token_right(request.headers.get("authorization"))) return std::nullopt;
  if (request.peer.uid && (*request.peer.uid == ::geteuid() || *request.peer.uid == 0)) return std::nullopt;
  net::Response refused = net::problem_response(
      make_error(ErrorCode::kUnauthenticated,
                 request.headers.find("authorization") != nullptr ? "the token given is not this server's"
                                                                  : "this call needs the server's token",
                 "send \"Authorization: Bearer TOKEN\"; the server's token file holds it"));
  refused.headers.add("WWW-Authenticate", "Bearer realm=\"cacs\"");
  return refused;
}

}  // namespace cacs::api
