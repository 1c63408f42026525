#include "repository/keys/key_file.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "base/fd.h"
#include "base/hash.h"
#include "base/io.h"

namespace cacs::repository {

namespace {

constexpr std::string_view kHeader = "cacs key file 1";
constexpr std::string_view kAnyHeader = "cacs key file ";
constexpr std::size_t kCheckBytes = 8;
constexpr std::size_t kKeyDigits = 2 * SecretKey::kBytes;
constexpr std::size_t kCheckDigits = 2 * kCheckBytes;
constexpr std::string_view kDigits = "0123456789abcdef";

using Check = std::array<std::byte, kCheckBytes>;

Check check_of(const SecretKey& key) {
  Sha256 hash;
  hash.update(as_bytes("cacs key file"));
  hash.update(key.bytes());
  const Digest digest = hash.finish();
  Check check{};
  std::ranges::copy(std::as_bytes(std::span(digest.bytes)).first<kCheckBytes>(), check.begin());
  return check;
}

void put_hex(std::span<const std::byte> bytes, std::byte*& to) {
  for (const std::byte byte : bytes) {
    *to++ = std::byte(kDigits[std::to_integer<unsigned>(byte) >> 4U]);
    *to++ = std::byte(kDigits[std::to_integer<unsigned>(byte) & 15U]);
  }
}

bool take_hex(std::string_view text, std::span<std::byte> out) {
  if (text.size() != 2 * out.size()) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t high = kDigits.find(text[2 * i]);
    const std::size_t low = kDigits.find(text[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return false;
    out[i] = std::byte(high << 4U | low);
  }
  return true;
}

/// The next line without its line feed; nothing is left after a line that has none.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return line;
}

Error check_access(const std::filesystem::path& path, const struct stat& info) {
  const auto refuse = [&](const std::string& why, std::string hint) {
    return make_error(ErrorCode::kPermission, "read the secret in " + path.string() + ": " + why, std::move(hint));
  };
  if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode))
    return refuse("it is neither a file nor a pipe", "name a file");
  if (info.st_uid != ::geteuid() && info.st_uid != 0)
    return refuse("it belongs to another user, who could change it", "copy it to a file of your own");
  return refuse("others than its owner may read or change it", "chmod 600 " + path.string());
}

bool access_is_tight(const struct stat& info) {
  constexpr mode_t kOthers = S_IRWXG | S_IRWXO;
  return (S_ISREG(info.st_mode) || S_ISFIFO(info.st_mode)) && (info.st_uid == ::geteuid() || info.st_uid == 0) &&
         (info.st_mode & kOthers) == 0;
}

}  // namespace

SecretBytes format_key_file(const SecretKey& key) {
  SecretBytes text(kHeader.size() + 1 + kKeyDigits + 1 + kCheckDigits + 1);
  std::byte* to = text.bytes().data();
  to = std::ranges::copy(as_bytes(kHeader), to).out;
  *to++ = std::byte{'\n'};
  put_hex(key.bytes(), to);
  *to++ = std::byte{'\n'};
  put_hex(check_of(key), to);
  *to = std::byte{'\n'};
  return text;
}

Result<SecretKey> parse_key_file(std::string_view text, std::string_view what) {
  const auto bad = [&](const char* why) {
    return make_error(ErrorCode::kCorrupt, std::string(what) + " is not a key file: " + why,
                      "restore it from a copy, or unlock with another key file or passphrase");
  };
  const std::string_view header = take_line(text);
  if (header != kHeader && header.starts_with(kAnyHeader)) {
    return make_error(ErrorCode::kUnsupported, std::string(what) + " is a key file of a later form", "upgrade");
  }
  if (header != kHeader) return bad("its first line is not \"cacs key file 1\"");
  std::array<std::byte, SecretKey::kBytes> bytes{};
  const bool is_key = take_hex(take_line(text), bytes);
  const SecretKey key(bytes);
  OPENSSL_cleanse(bytes.data(), bytes.size());
  if (!is_key) return bad("its second line is not 64 hexadecimal digits");
  Check check{};
  if (!take_hex(take_line(text), check)) return bad("its third line is not 16 hexadecimal digits");
  if (!text.empty()) return bad("there is more after its third line");
  if (check != check_of(key)) return bad("its lines do not belong together, a digit was changed");
  return key;
}

Status create_key_file(const std::filesystem::path& path, const SecretKey& key) {
  auto opened = open_file(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, S_IRUSR | S_IWUSR);
  if (!opened && opened.error().os_errno == EEXIST) {
    return make_error(ErrorCode::kConflict, "create the key file " + path.string() + ": there is a file of this name",
                      "choose another name; a key file that is in use must not be replaced");
  }
  if (!opened) return opened.error().with_context("create the key file");
  const UniqueFd fd = std::move(opened).value();
  const auto fail = [&](const Error& error) {
    ::unlink(path.c_str());
    return error.with_context("create the key file " + path.string());
  };
  if (auto status = write_full(fd.get(), format_key_file(key).bytes()); !status) return fail(status.error());
  if (::fsync(fd.get()) != 0) return fail(errno_error(errno, "fsync"));
  if (auto status = sync_directory(path.parent_path()); !status) return fail(status.error());
  return {};
}

Result<SecretBytes> read_secret_file(const std::filesystem::path& path, std::size_t max_bytes) {
  CACS_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY | O_NOCTTY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return errno_error(errno, "stat " + path.string());
  if (!access_is_tight(info)) return check_access(path, info);
  SecretBytes block(max_bytes + 1);
  auto got = read_full(fd.get(), block.bytes());
  if (!got) return got.error().with_context("read " + path.string());
  if (*got > max_bytes) {
    return make_error(ErrorCode::kTooLarge,
                      path.string() + " is longer than the " + std::to_string(max_bytes) + " bytes it may have",
                      "this is not the file that was meant");
  }
  return SecretBytes(std::span<const std::byte>(block.bytes()).first(*got));
}

Result<SecretKey> read_key_file(const std::filesystem::path& path) {
  CACS_ASSIGN(const SecretBytes text, read_secret_file(path, kMaxKeyFileBytes));
  return parse_key_file(text.text(), path.string());
}

}  // namespace cacs::repository
