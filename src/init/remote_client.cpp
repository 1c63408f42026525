// cacs-rsh: what mpirun calls to launch its daemons in other pods.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "init/remote.h"
#include "init/util.h"

namespace {

using remote::kHeader;
using remote::kMaxFrame;

constexpr int kLost = 255;  // as rsh and ssh give it

/// By hand: getaddrinfo of a static libc would load shared libraries.
bool find_address(const char* host, struct in_addr* address) {
  if (inet_pton(AF_INET, host, address) == 1) return true;
  FILE* file = fopen("/etc/hosts", "re");
  if (file == nullptr) return false;
  char line[1024];
  bool found = false;
  while (!found && fgets(line, sizeof line, file) != nullptr) {
    line[strcspn(line, "#\n")] = 0;
    char* rest = line;
    const char* number = strsep(&rest, " \t");
    while (!found && rest != nullptr) {
      const char* name = strsep(&rest, " \t");
      found = *name != 0 && strcmp(name, host) == 0 && inet_pton(AF_INET, number, address) == 1;
    }
  }
  fclose(file);
  return found;
}

/// The pods of a job start at about the same time: one that does not answer yet is asked again for half a minute. There
/// is nothing here that would tell when it does.
int connect_to(const struct in_addr& address) {
  struct sockaddr_in at {};
  at.sin_family = AF_INET;
  at.sin_port = htons(remote::kPort);
  at.sin_addr = address;
  for (int round = 0;; ++round) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, reinterpret_cast<struct sockaddr*>(&at), sizeof at) == 0) return fd;
    const int error = errno;
    close(fd);
    errno = error;
    if ((error != ECONNREFUSED && error != EHOSTUNREACH && error != ETIMEDOUT) || round == 300) return -1;
    const struct timespec pause = {0, 100000000};
    nanosleep(&pause, nullptr);
  }
}

bool write_all(int fd, const char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t put = write(fd, bytes, size);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) {  // standard output may be somebody's non-blocking pipe
      struct pollfd waiting = {fd, POLLOUT, 0};
      poll(&waiting, 1, -1);
      continue;
    }
    if (put <= 0) return false;
    bytes += put;
    size -= static_cast<size_t>(put);
  }
  return true;
}

bool read_all(int fd, char* bytes, size_t size) {
  while (size > 0) {
    const ssize_t got = read(fd, bytes, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    bytes += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

/// Takes one frame. -1: go on; else the exit code.
int on_frame(int connection) {
  static char bytes[kMaxFrame];
  char header[kHeader];
  if (!read_all(connection, header, sizeof header)) return kLost;
  const size_t length = remote::frame_length(header);
  if (length > kMaxFrame || !read_all(connection, bytes, length)) return kLost;
  switch (header[0]) {
    case remote::kOutput:
      return write_all(1, bytes, length) ? -1 : kLost;
    case remote::kError:
      return write_all(2, bytes, length) ? -1 : kLost;
    case remote::kStatus:
      return length == 1 ? static_cast<unsigned char>(bytes[0]) : kLost;
    default:
      return kLost;
  }
}

/// What is to be sent next of standard input; sent without blocking, so that what the command prints goes on coming.
struct Input {
  bool open = true;
  size_t begin = 0;
  size_t end = 0;
  char bytes[kHeader + kMaxFrame];
};

Input g_input;  // in .bss: nothing can fail to allocate

void take_input(Input& input) {
  const ssize_t got = read(0, input.bytes + kHeader, kMaxFrame);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  const size_t length = got > 0 ? static_cast<size_t>(got) : 0;
  if (length == 0) input.open = false;
  remote::put_header(input.bytes, remote::kInput, length);
  input.begin = 0;
  input.end = kHeader + length;
}

int relay(int connection, bool with_input) {
  Input& input = g_input;
  input.open = with_input;
  if (!with_input) {
    remote::put_header(input.bytes, remote::kInput, 0);
    input.end = kHeader;
  }
  while (true) {
    const bool sending = input.begin < input.end;
    struct pollfd waiting[2] = {{connection, static_cast<short>(POLLIN | (sending ? POLLOUT : 0)), 0},
                                {input.open && !sending ? 0 : -1, POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0) continue;
    if ((waiting[0].revents & POLLOUT) != 0) {
      const ssize_t put =
          send(connection, input.bytes + input.begin, input.end - input.begin, MSG_DONTWAIT | MSG_NOSIGNAL);
      // The command may have ended without reading all of it: its status is still to come.
      if (put < 0 && errno != EAGAIN && errno != EINTR) input.begin = input.end = 0;
      if (put > 0) input.begin += static_cast<size_t>(put);
    }
    if ((waiting[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      const int code = on_frame(connection);
      if (code == kLost) fputs("cacs-rsh: the connection to the other pod ended\n", stderr);
      if (code >= 0) return code;
    }
    if (waiting[1].revents != 0) take_input(input);
  }
}

/// The words of the command joined by spaces, as rsh does it, with a frame's header before them. Its length, or 0.
size_t join_command(char* frame, int count, char** words) {
  size_t length = 0;
  for (int i = 0; i < count; ++i) {
    const size_t size = strlen(words[i]);
    if (length + size + 1 > kMaxFrame) return 0;
    if (i > 0) frame[kHeader + length++] = ' ';
    memcpy(frame + kHeader + length, words[i], size);
    length += size;
  }
  remote::put_header(frame, remote::kCommand, length);
  return length == 0 ? 0 : kHeader + length;
}

}  // namespace

int run_remote_shell(int argc, char** argv) {
  bool with_input = true;
  int at = 1;
  for (; at < argc && argv[at][0] == '-'; ++at) {
    if (strcmp(argv[at], "-n") == 0) with_input = false;
    // Options of rsh and ssh that have a value of their own.
    if (strlen(argv[at]) == 2 && strchr("lpoiFecmbDLRSWw", argv[at][1]) != nullptr) ++at;
  }
  if (argc - at < 2) {
    fputs("usage: cacs-rsh [options] POD COMMAND...   run a command in another pod of this application\n", stderr);
    return kLost;
  }
  const char* host = argv[at];
  if (const char* sign = strchr(host, '@')) host = sign + 1;
  static char frame[kHeader + kMaxFrame];
  const size_t size = join_command(frame, argc - at - 1, argv + at + 1);
  if (size == 0) {
    fputs("cacs-rsh: the command is empty, or longer than 64 KiB\n", stderr);
    return kLost;
  }
  struct in_addr address {};
  if (!find_address(host, &address)) {
    fprintf(stderr, "cacs-rsh: there is no pod '%.200s' in this application; /etc/hosts names them\n", host);
    return kLost;
  }
  signal(SIGPIPE, SIG_IGN);
  const int connection = connect_to(address);
  if (connection < 0) {
    fprintf(stderr, "cacs-rsh: connect to %.200s: %s\n", host, strerror(errno));
    return kLost;
  }
  const int on = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!write_all(connection, remote::kMagic, sizeof remote::kMagic) || !write_all(connection, frame, size)) {
    fputs("cacs-rsh: the connection to the other pod ended\n", stderr);
    return kLost;
  }
  return relay(connection, with_input);
}
