#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>

#include "base/result.h"
#include "repository/keys/credential.h"
#include "repository/keys/sealing.h"

namespace cacs::repository {

/// A key file opens a key slot without a person: 32 random bytes as text, in three lines that end in a line feed (that
/// of the last may be missing):
///
///     cacs key file 1
///     64 hexadecimal digits: the key
///     16 hexadecimal digits: the first 8 bytes of SHA-256 over "cacs key file" and the key
///
/// The third tells a mistake in copying from a key that is merely not the right one.
inline constexpr std::size_t kMaxKeyFileBytes = 256;

SecretBytes format_key_file(const SecretKey& key);
/// `what` names it in errors, which never show its content. kCorrupt, or kUnsupported for a later form.
Result<SecretKey> parse_key_file(std::string_view text, std::string_view what);

/// Writes a key file that is not there yet (kConflict), readable by its owner alone, and durably.
Status create_key_file(const std::filesystem::path& path, const SecretKey& key);
/// kPermission when others than its owner can read or change it.
Result<SecretKey> read_key_file(const std::filesystem::path& path);

/// The bytes of a file that holds a secret: a regular file or pipe, that belongs to this process's user or root and
/// that nobody else may touch (kPermission); kTooLarge above `max_bytes`.
Result<SecretBytes> read_secret_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace cacs::repository
