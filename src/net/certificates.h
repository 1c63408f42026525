#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

/// X.509 certificates (RFC 5280) by which server and agents know each other: an authority of CACS's own signs one for
/// each, with its name in it, and either side trusts nothing else (docs/nodes.md).
namespace cacs::net {

/// The name of the server, which agents take orders from; a node's is its own.
inline constexpr char kServerName[] = "cacs-server";

/// A certificate and its private key (ECDSA, P-256), as PEM.
struct Certificate {
  std::string certificate;
  std::string key;
};

/// Signs others; `name` is for people who look at it.
Result<Certificate> make_authority(const std::string& name);

/// For both ends of a connection; `name` is what the other side asks for (a DNS name, RFC 6125). kInvalidArgument: no
/// such name.
Result<Certificate> issue_certificate(const Certificate& authority, const std::string& name);

/// Where a process has what it proves itself by: three files.
struct TlsFiles {
  std::filesystem::path authority;    ///< of all whom it trusts
  std::filesystem::path certificate;  ///< its own
  std::filesystem::path key;          ///< of its own one
};
TlsFiles tls_files(const std::filesystem::path& directory);

/// Issues a certificate under `name` and puts it, its key and the authority's certificate into `directory`, durably and
/// readable by this user alone. Replaces what is there; where it is interrupted the authority's certificate is not this
/// authority's.
Status write_tls_files(const std::filesystem::path& directory, const Certificate& authority, const std::string& name);

/// The authority in `directory` (authority.pem, authority.key); made there when there is none.
Result<Certificate> open_authority(const std::filesystem::path& directory, const std::string& name);

}  // namespace cacs::net
