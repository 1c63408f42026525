#include "init/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "init/protocol.h"
#include "init/util.h"

namespace {

/// A path that is too long for a socket's address is reached through a descriptor of its folder, which `folder` keeps.
bool set_address(struct sockaddr_un* address, const char* path, int* folder) {
  address->sun_family = AF_UNIX;
  const size_t length = strlen(path);
  if (length < sizeof address->sun_path) {
    memcpy(address->sun_path, path, length + 1);
    return true;
  }
  const char* slash = strrchr(path, '/');
  char parent[4096];
  if (slash == nullptr || static_cast<size_t>(slash - path) >= sizeof parent) {
    errno = ENAMETOOLONG;
    return false;
  }
  memcpy(parent, path, static_cast<size_t>(slash - path));
  parent[slash - path] = 0;
  *folder = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (*folder < 0) return false;
  snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%.64s", *folder, slash + 1);
  return true;
}

int connect_unix(const char* path) {
  struct sockaddr_un address {};
  int folder = -1;
  if (!set_address(&address, path, &folder)) return -1;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool connected = fd >= 0 && connect(fd, reinterpret_cast<struct sockaddr*>(&address), sizeof address) == 0;
  const int error = errno;
  if (folder >= 0) close(folder);
  if (connected) return fd;
  if (fd >= 0) close(fd);
  errno = error;
  return -1;
}

bool send_line(int fd, const char* text) {
  const size_t length = strlen(text);
  return send(fd, text, length, MSG_NOSIGNAL) == static_cast<ssize_t>(length);
}

bool read_line(int fd, char* out, size_t size) {
  size_t filled = 0;
  while (filled + 1 < size) {
    const ssize_t got = read(fd, out + filled, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    if (out[filled] == '\n') {
      out[filled] = 0;
      return true;
    }
    ++filled;
  }
  return false;
}

int usage() {
  fputs(
      "usage: cacs-pod checkpoint [--wait]   ask for a checkpoint; with --wait, return when it is committed\n"
      "       cacs-pod progress N            report progress\n"
      "       cacs-pod incarnation           print how many times this pod was started or restored\n",
      stderr);
  return 2;
}

}  // namespace

int run_client(int argc, char** argv) {
  if (argc < 2) return usage();
  char request[64];
  if (strcmp(argv[1], "checkpoint") == 0 && (argc == 2 || (argc == 3 && strcmp(argv[2], "--wait") == 0))) {
    snprintf(request, sizeof request, "checkpoint %s\n", argc == 3 ? "local" : "-");
  } else if (strcmp(argv[1], "progress") == 0 && argc == 3) {
    snprintf(request, sizeof request, "progress %lld\n", strtoll(argv[2], nullptr, 10));
  } else if (strcmp(argv[1], "incarnation") == 0 && argc == 2) {
    snprintf(request, sizeof request, "incarnation\n");
  } else {
    return usage();
  }
  const int fd = connect_unix(CACS_INIT_SOCKET);
  if (fd < 0) return fail("not inside a pod: " CACS_INIT_SOCKET, errno);
  char line[CACS_INIT_MAX_LINE];
  if (!send_line(fd, "cacs 1 client\n") || !read_line(fd, line, sizeof line) || strncmp(line, "cacs ", 5) != 0 ||
      !send_line(fd, request) || !read_line(fd, line, sizeof line)) {
    return fail("the pod's init closed the connection", 0);
  }
  close(fd);
  puts(line);
  return strncmp(line, "error ", 6) == 0 ? 1 : 0;
}

int run_notify() {
  const char* path = getenv("CACS_NOTIFY");
  const char* action = getenv("CRTOOLS_SCRIPT_ACTION");
  if (path == nullptr || action == nullptr) return fail("notify: called by something other than the engine", 0);
  const int fd = connect_unix(path);
  // No shim, no verdict: the engine must undo what it did rather than go on alone.
  if (fd < 0) return 1;
  char line[128];
  snprintf(line, sizeof line, "%.100s\n", action);
  if (!send_line(fd, line) || !read_line(fd, line, sizeof line)) return 1;
  close(fd);
  return strcmp(line, "go") == 0 ? 0 : 1;
}
