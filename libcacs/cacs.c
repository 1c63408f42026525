#define _GNU_SOURCE
#include "cacs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "init/protocol.h"

static _Thread_local char last_error[512];

const char* cacs_error(void) { return last_error; }

static int fail(int code, const char* what) {
  snprintf(last_error, sizeof last_error, "%s", what);
  return code;
}

static int connect_init(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = CACS_INIT_SOCKET};
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, (const struct sockaddr*)&address, sizeof address) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static int send_text(int fd, const char* text) {
  const size_t length = strlen(text);
  return send(fd, text, length, MSG_NOSIGNAL) == (ssize_t)length;
}

/* One line without its end. The call may be interrupted by a checkpoint and go on in another year. */
static int read_line(int fd, char* out, size_t size) {
  size_t filled = 0;
  while (filled + 1 < size) {
    const ssize_t got = read(fd, out + filled, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return 0;
    if (out[filled] == '\n') {
      out[filled] = 0;
      return 1;
    }
    ++filled;
  }
  return 0;
}

/* Says one thing and hears the answer. 0, CACS_ERROR or CACS_NOT_IN_POD. */
static int ask(const char* request, char* answer, size_t size) {
  const int fd = connect_init();
  if (fd < 0 && (errno == ENOENT || errno == ECONNREFUSED || errno == EACCES)) {
    return fail(CACS_NOT_IN_POD, "not running under CACS");
  }
  if (fd < 0) return fail(CACS_ERROR, strerror(errno));
  const int good = send_text(fd, "cacs 1 client\n") && read_line(fd, answer, size) &&
                   strncmp(answer, "cacs ", 5) == 0 && send_text(fd, request) && read_line(fd, answer, size);
  close(fd);
  if (!good) return fail(CACS_ERROR, "the connection to the pod's init was lost");
  if (strncmp(answer, "error ", 6) == 0) return fail(CACS_ERROR, answer + 6);
  return 0;
}

int cacs_checkpoint(int flags, char* id, size_t id_size) {
  char answer[CACS_INIT_MAX_LINE];
  if (id != NULL && id_size > 0) id[0] = 0;
  const int status =
      ask((flags & CACS_WAIT_COMMITTED) != 0 ? "checkpoint local\n" : "checkpoint -\n", answer, sizeof answer);
  if (status != 0) return status;
  char* rest = answer;
  const char* verb = strsep(&rest, " ");
  const char* checkpoint = rest != NULL ? strsep(&rest, " ") : "";
  if (id != NULL && id_size > 0) snprintf(id, id_size, "%s", checkpoint);
  if (strcmp(verb, "resumed") == 0) return CACS_RESUMED;
  if (strcmp(verb, "restored") == 0) return CACS_RESTORED;
  return fail(CACS_ERROR, "the pod's init gave an answer that this library does not know");
}

int cacs_progress(long long value) {
  char request[64];
  char answer[CACS_INIT_MAX_LINE];
  snprintf(request, sizeof request, "progress %lld\n", value);
  return ask(request, answer, sizeof answer);
}

long cacs_incarnation(void) {
  char answer[CACS_INIT_MAX_LINE];
  const int status = ask("incarnation\n", answer, sizeof answer);
  if (status != 0) return status;
  if (strncmp(answer, "incarnation ", 12) != 0) return fail(CACS_ERROR, "unexpected answer");
  return strtol(answer + 12, NULL, 10);
}
