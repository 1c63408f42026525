#include "init/util.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/protocol.h"

namespace {

ssize_t read_small(const char* path, char* out, size_t size) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const ssize_t got = read(fd, out, size - 1);
  close(fd);
  out[got > 0 ? got : 0] = 0;
  return got;
}

void write_exit_file(const char* text) {
  const int fd = open(CACS_EXIT_FILE ".tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;  // the shim then reports "died, unknown", which is the truth
  const size_t length = strlen(text);
  const bool good = write(fd, text, length) == static_cast<ssize_t>(length) && fsync(fd) == 0;
  close(fd);
  if (!good || rename(CACS_EXIT_FILE ".tmp", CACS_EXIT_FILE) != 0) return;
  const int dir = open(CACS_POD_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir < 0) return;
  fsync(dir);
  close(dir);
}

}  // namespace

long read_number_file(const char* path) {
  char text[32];
  return read_small(path, text, sizeof text) > 0 ? strtol(text, nullptr, 10) : 0;
}

void read_word_file(const char* path, char* out, size_t size) {
  if (read_small(path, out, size) <= 0) {
    snprintf(out, size, "-");
    return;
  }
  out[strcspn(out, " \n")] = 0;
}

void record_exit(long incarnation, int wait_status) {
  char text[64];
  snprintf(text, sizeof text, "%ld %d\n", incarnation, wait_status);
  write_exit_file(text);
}

void record_exec_failure(long incarnation, int error) {
  char text[64];
  snprintf(text, sizeof text, "%ld exec %d\n", incarnation, error);
  write_exit_file(text);
}

bool receive_all(int fd, char* out, size_t size) {
  while (size > 0) {
    struct pollfd waiting = {fd, POLLIN, 0};
    if (poll(&waiting, 1, 5000) <= 0) return false;
    const ssize_t got = recv(fd, out, size, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return false;
    out += got;
    size -= static_cast<size_t>(got);
  }
  return true;
}

int fail(const char* what, int error) {
  if (error != 0) {
    dprintf(2, "cacs-init: %s: %s\n", what, strerror(error));
  } else {
    dprintf(2, "cacs-init: %s\n", what);
  }
  return 111;
}
