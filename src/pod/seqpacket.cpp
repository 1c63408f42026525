#include "pod/seqpacket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/io.h"

namespace cacs::pod {

namespace {

constexpr std::size_t kMaxMessage = std::size_t{128} << 10U;

/// A socket address of a path of any length: paths over 107 bytes go through a directory descriptor that the caller
/// holds.
struct Address {
  sockaddr_un address{};
  UniqueFd directory;
};

Result<Address> address_of(const std::filesystem::path& path) {
  Address result;
  result.address.sun_family = AF_UNIX;
  std::string text = path.string();
  if (text.size() >= sizeof result.address.sun_path) {
    CACS_ASSIGN(result.directory, open_file(path.parent_path(), O_PATH | O_DIRECTORY));
    text = "/proc/self/fd/" + std::to_string(result.directory.get()) + "/" + path.filename().string();
  }
  std::strncpy(result.address.sun_path, text.c_str(), sizeof result.address.sun_path - 1);
  return result;
}

Result<UniqueFd> make_socket(int type) {
  UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno_error(errno, "socket");
  const int size = 1 << 20;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  return fd;
}

Result<UniqueFd> listen_on(const std::filesystem::path& path, int type) {
  CACS_ASSIGN(UniqueFd fd, make_socket(type));
  CACS_ASSIGN(const Address address, address_of(path));
  ::unlink(path.c_str());
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.address), sizeof address.address) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(fd.get(), 8) != 0) {
    return errno_error(errno, "listen on " + path.string());
  }
  return fd;
}

}  // namespace

Result<UniqueFd> listen_seqpacket(const std::filesystem::path& path) { return listen_on(path, SOCK_SEQPACKET); }
Result<UniqueFd> listen_stream(const std::filesystem::path& path) { return listen_on(path, SOCK_STREAM); }

Result<UniqueFd> connect_seqpacket(const std::filesystem::path& path) {
  CACS_ASSIGN(UniqueFd fd, make_socket(SOCK_SEQPACKET));
  CACS_ASSIGN(const Address address, address_of(path));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.address), sizeof address.address) != 0) {
    return errno_error(errno, "connect to " + path.string());
  }
  return fd;
}

Status send_message(int fd, const JsonObject& message) {
  const std::string text = boost::json::serialize(message);
  if (text.size() > kMaxMessage) return make_error(ErrorCode::kTooLarge, "message between agent and shim is too long");
  while (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return errno_error(errno, "send between agent and shim");
  }
  return {};
}

Result<std::optional<JsonObject>> receive_message(int fd) {
  std::string text(kMaxMessage, '\0');
  while (true) {
    const ssize_t got = ::recv(fd, text.data(), text.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != ECONNRESET) return errno_error(errno, "receive between agent and shim");
    if (got <= 0) return std::optional<JsonObject>();
    CACS_ASSIGN(JsonObject object, parse_json_object(std::string_view(text).substr(0, static_cast<std::size_t>(got)),
                                                     "message between agent and shim"));
    return std::optional(std::move(object));
  }
}

}  // namespace cacs::pod
