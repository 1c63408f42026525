// cacs-init: pid 1 inside a pod. Static and tiny, because it is saved and restored with the pod: it starts the
// application, reaps what is orphaned, records how the application ended, and is the door through which the shim (from
// outside) and libcacs (from inside) talk. It holds no descriptor whose other end is outside while the pod is cut: the
// shim says `quiesce` first.
//
// Only libc, no exceptions, no heap beyond a few bounded buffers: what is in here is in every checkpoint for ever.

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "init/client.h"
#include "init/launch.h"
#include "init/protocol.h"
#include "init/remote.h"
#include "init/util.h"

namespace {

constexpr int kMaxConnections = 64;
constexpr int kMaxExecs = 64;
/// Handed over by the shim: gets `R` when we listen and the application runs, or `E` and an errno. Closed before
/// anything else happens, because its other end is outside.
constexpr int kReadyFd = 3;

enum class Role { kUnknown, kClient, kShim };

/// What a client inside the pod waits for.
struct Pending {
  bool active = false;
  bool wants_commit = false;
  unsigned long request = 0;
};

struct Connection {
  int fd = -1;
  Role role = Role::kUnknown;
  bool peer_is_outside = false;
  size_t filled = 0;
  char line[CACS_INIT_MAX_LINE];
  Pending pending;
};

struct Exec {
  pid_t pid = 0;
  unsigned long id = 0;
};

struct Init {
  long incarnation = 0;   ///< the one in memory: a higher one in the file means that we were restored
  pid_t application = 0;  ///< 0: there is none, this pod only runs what other pods launch in it
  const char* user = nullptr;
  int listener = -1;
  int launches = -1;  ///< where other pods ask for commands to be run; -1: there are no other pods
  int signals = -1;
  unsigned long next_request = 1;
  Connection connections[kMaxConnections];
  Exec execs[kMaxExecs];
};

Init g_init;  // pid 1 is one program with one state; it lives in .bss so that nothing can fail to allocate

Connection* shim_connection() {
  for (auto& connection : g_init.connections) {
    if (connection.fd >= 0 && connection.role == Role::kShim) return &connection;
  }
  return nullptr;
}

void close_connection(Connection& connection) {
  if (connection.fd >= 0) close(connection.fd);
  connection.fd = -1;
  connection.role = Role::kUnknown;
  connection.filled = 0;
  connection.pending = Pending{};
}

/// Sends one line. A peer that does not read is closed rather than waited for: pid 1 must never block.
void say(Connection& connection, const char* format, ...) __attribute__((format(printf, 2, 3)));
void say(Connection& connection, const char* format, ...) {
  char text[CACS_INIT_MAX_LINE];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text - 1, format, arguments);
  va_end(arguments);
  if (length < 0) return;
  if (static_cast<size_t>(length) > sizeof text - 2) length = sizeof text - 2;
  text[length++] = '\n';
  const ssize_t sent = send(connection.fd, text, static_cast<size_t>(length), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != length) close_connection(connection);
}

/// Tells every waiting client that it lives again, if the incarnation in the file has risen above ours.
void notice_restore() {
  const long now = read_number_file(CACS_INCARNATION_FILE);
  if (now <= g_init.incarnation) return;
  g_init.incarnation = now;
  char checkpoint[64];
  read_word_file(CACS_RESTORED_FROM_FILE, checkpoint, sizeof checkpoint);
  for (auto& connection : g_init.connections) {
    if (connection.fd < 0 || !connection.pending.active) continue;
    connection.pending.active = false;
    say(connection, "restored %s", checkpoint);
  }
}

void announce_pending(Connection& shim) {
  for (const auto& connection : g_init.connections) {
    if (connection.fd < 0 || !connection.pending.active) continue;
    say(shim, "request %lu %s", connection.pending.request, connection.pending.wants_commit ? "local" : "-");
    if (shim.fd < 0) return;
  }
}

void on_client_line(Connection& connection, char* line) {
  if (strncmp(line, "checkpoint ", 11) == 0) {
    if (connection.pending.active) {
      say(connection, "error conflict a checkpoint was already asked for on this connection");
      return;
    }
    connection.pending = Pending{true, strcmp(line + 11, "-") != 0, g_init.next_request++};
    // Without a shim the request waits: it is announced as soon as there is one.
    if (Connection* shim = shim_connection()) {
      say(*shim, "request %lu %s", connection.pending.request, line + 11);
    }
  } else if (strncmp(line, "progress ", 9) == 0) {
    if (Connection* shim = shim_connection()) say(*shim, "progress %lld", strtoll(line + 9, nullptr, 10));
    say(connection, "ok");
  } else if (strcmp(line, "incarnation") == 0) {
    say(connection, "incarnation %ld", g_init.incarnation);
  } else {
    say(connection, "error unsupported this pod's init does not know the verb");
  }
}

void on_outcome(char* line) {
  char what[16];
  char first[128];
  char second[32];
  unsigned long request = 0;
  int consumed = 0;
  if (sscanf(line, "outcome %lu %15s %127s %31s%n", &request, what, first, second, &consumed) < 4) return;
  for (auto& connection : g_init.connections) {
    Pending& pending = connection.pending;
    if (connection.fd < 0 || !pending.active || pending.request != request) continue;
    if (strcmp(what, "failed") == 0) {
      pending.active = false;
      say(connection, "error %s %s%s", first, second, line + consumed);
    } else if (strcmp(what, "committed") == 0 || !pending.wants_commit) {
      pending.active = false;
      say(connection, "resumed %s %s", first, second);
    }
  }
}

/// `exec ID USER CWD ENV ARG` and a block of bytes behind it, read here in one go: the shim is trusted and sends it
/// whole.
void on_exec(Connection& shim, char* line) {
  unsigned long id = 0;
  char user[64];
  size_t cwd_length = 0;
  size_t env_length = 0;
  size_t arg_length = 0;
  if (sscanf(line, "exec %lu %63s %zu %zu %zu", &id, user, &cwd_length, &env_length, &arg_length) != 5 ||
      cwd_length > CACS_INIT_MAX_EXEC || env_length > CACS_INIT_MAX_EXEC || arg_length > CACS_INIT_MAX_EXEC ||
      cwd_length == 0 || arg_length == 0) {
    close_connection(shim);
    return;
  }
  const size_t total = cwd_length + env_length + arg_length;
  char* block = static_cast<char*>(malloc(total));
  if (block == nullptr || !receive_all(shim.fd, block, total) || block[cwd_length - 1] != 0 ||
      block[cwd_length + env_length + arg_length - 1] != 0 ||
      (env_length > 0 && block[cwd_length + env_length - 1] != 0)) {
    free(block);
    close_connection(shim);
    return;
  }
  Exec* slot = nullptr;
  for (auto& exec : g_init.execs) {
    if (exec.pid == 0) {
      slot = &exec;
      break;
    }
  }
  if (slot == nullptr) {
    say(shim, "exec-exit %lu %d", id, 126 << 8);
  } else {
    slot->id = id;
    slot->pid =
        launch_exec(id, user, block, block + cwd_length, env_length, block + cwd_length + env_length, arg_length);
    if (slot->pid <= 0) {
      slot->pid = 0;
      say(shim, "exec-exit %lu %d", id, 126 << 8);
    }
  }
  free(block);
}

void on_shim_line(Connection& connection, char* line) {
  if (strncmp(line, "outcome ", 8) == 0) {
    on_outcome(line);
  } else if (strncmp(line, "exec ", 5) == 0) {
    on_exec(connection, line);
  } else if (strncmp(line, "signal ", 7) == 0) {
    const int number = static_cast<int>(strtol(line + 7, nullptr, 10));
    if (g_init.application > 0 && number > 0 && number < 65) kill(-g_init.application, number);
  } else if (strcmp(line, "quiesce") == 0) {
    say(connection, "quiesced");
    close_connection(connection);
  } else {
    say(connection, "error unsupported this pod's init does not know the verb");
  }
}

void on_line(Connection& connection, char* line) {
  if (connection.role == Role::kClient) return on_client_line(connection, line);
  if (connection.role == Role::kShim) return on_shim_line(connection, line);
  if (strcmp(line, "cacs 1 client") == 0) {
    connection.role = Role::kClient;
    say(connection, "cacs %d init", CACS_INIT_VERSION);
  } else if (strcmp(line, "cacs 1 shim") == 0 && connection.peer_is_outside) {
    connection.role = Role::kShim;
    say(connection, "cacs %d init", CACS_INIT_VERSION);
    notice_restore();
    if (connection.fd >= 0) announce_pending(connection);
  } else {
    say(connection, "error unsupported greeting");
    close_connection(connection);
  }
}

/// Takes the lines that are complete. Reads one byte past nothing: what follows an `exec` line belongs to on_exec, so
/// the shim's lines are read one byte at a time, which for a few lines a minute costs nothing.
void on_readable(Connection& connection) {
  for (int budget = CACS_INIT_MAX_LINE; budget > 0; --budget) {
    char byte = 0;
    const ssize_t got = recv(connection.fd, &byte, 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      close_connection(connection);
      return;
    }
    if (byte != '\n') {
      if (connection.filled + 1 >= sizeof connection.line) {
        close_connection(connection);
        return;
      }
      connection.line[connection.filled++] = byte;
      continue;
    }
    connection.line[connection.filled] = 0;
    connection.filled = 0;
    on_line(connection, connection.line);
    if (connection.fd < 0) return;
  }
}

void on_accept() {
  const int fd = accept4(g_init.listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  struct ucred peer {};
  socklen_t length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    close(fd);
    return;
  }
  for (auto& connection : g_init.connections) {
    if (connection.fd >= 0) continue;
    connection.fd = fd;
    // A process outside the pod's pid namespace has no number in it.
    connection.peer_is_outside = peer.pid == 0 && peer.uid == 0;
    return;
  }
  close(fd);  // full: the client sees the end of the connection and says so
}

/// The application has ended: record it so that it survives everything, then end, which ends the pod.
[[noreturn]] void finish(int wait_status) {
  // A restore may have happened between the application's end and now: the record must name the incarnation that
  // counts.
  notice_restore();
  record_exit(g_init.incarnation, wait_status);
  const int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
  _exit(code & 0xff);
}

void on_child_signal() {
  struct signalfd_siginfo info {};
  while (read(g_init.signals, &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
  }
  int ended_status = 0;
  bool ended = false;
  while (true) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);
    if (pid <= 0) break;
    if (pid == g_init.application) {
      ended = true;
      ended_status = status;
    }
    for (auto& exec : g_init.execs) {
      if (exec.pid != pid) continue;
      exec.pid = 0;
      if (Connection* shim = shim_connection()) say(*shim, "exec-exit %lu %d", exec.id, status);
    }
  }
  if (ended) finish(ended_status);
}

bool listen_on_socket() {
  unlink(CACS_INIT_SOCKET);
  g_init.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, CACS_INIT_SOCKET, sizeof address.sun_path - 1);
  return g_init.listener >= 0 &&
         bind(g_init.listener, reinterpret_cast<struct sockaddr*>(&address), sizeof address) == 0 &&
         chmod(CACS_INIT_SOCKET, 0666) == 0 && listen(g_init.listener, kMaxConnections) == 0;
}

[[noreturn]] void serve() {
  constexpr nfds_t kOwn = 3;
  struct pollfd waiting[kMaxConnections + kOwn];
  Connection* owners[kMaxConnections + kOwn];
  while (true) {
    nfds_t count = 0;
    waiting[count] = {g_init.signals, POLLIN, 0};
    owners[count++] = nullptr;
    waiting[count] = {g_init.listener, POLLIN, 0};
    owners[count++] = nullptr;
    waiting[count] = {g_init.launches, POLLIN, 0};
    owners[count++] = nullptr;
    for (auto& connection : g_init.connections) {
      if (connection.fd < 0) continue;
      waiting[count] = {connection.fd, POLLIN, 0};
      owners[count++] = &connection;
    }
    if (poll(waiting, count, -1) < 0) continue;
    // Whatever woke us: if we were restored meanwhile, the waiting clients hear it first.
    notice_restore();
    if (waiting[0].revents != 0) on_child_signal();
    if (waiting[1].revents != 0) on_accept();
    if (waiting[2].revents != 0) accept_launch(g_init.launches, g_init.user);
    for (nfds_t i = kOwn; i < count; ++i) {
      if (waiting[i].revents != 0 && owners[i]->fd == waiting[i].fd) on_readable(*owners[i]);
    }
  }
}

/// argv: cacs-init init USER CWD [COMMAND...]   The environment is the application's; CACS_ADDRESS in it is where other
/// pods launch commands.
int run_init(int argc, char** argv) {
  if (argc < 4) return fail("usage: cacs-init init USER CWD [COMMAND...]", 0);
  g_init.user = argv[2];
  g_init.incarnation = read_number_file(CACS_INCARNATION_FILE);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_BLOCK, &mask, nullptr);
  signal(SIGPIPE, SIG_IGN);
  g_init.signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
  if (g_init.signals < 0) return fail("signalfd", errno);
  if (!listen_on_socket()) return fail("listen on " CACS_INIT_SOCKET, errno);
  fcntl(kReadyFd, F_SETFD, FD_CLOEXEC);
  if (const char* address = getenv(CACS_ADDRESS_VARIABLE)) {
    g_init.launches = listen_for_launches(address);
    if (g_init.launches < 0) return fail("listen for launches", -g_init.launches);
  }
  if (argc > 4) g_init.application = launch_application(argv[2], argv[3], argv + 4);
  static_assert(CACS_APPLICATION_PID == 2, "init forks nothing before the application");
  if (g_init.application < 0) {
    dprintf(kReadyFd, "E%d", static_cast<int>(-g_init.application));
    record_exec_failure(g_init.incarnation, static_cast<int>(-g_init.application));
    return 127;
  }
  dprintf(kReadyFd, "R");
  close(kReadyFd);
  serve();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 2 && strcmp(argv[1], "init") == 0) return run_init(argc, argv);
  if (argc >= 2 && strcmp(argv[1], "notify") == 0) return run_notify();
  // CRIU calls its action script without arguments: the shim names this program through a link of that name.
  const char* slash = strrchr(argv[0], '/');
  const char* name = slash != nullptr ? slash + 1 : argv[0];
  if (strcmp(name, "cacs-notify") == 0) return run_notify();
  if (strcmp(name, "cacs-rsh") == 0) return run_remote_shell(argc, argv);
  return run_client(argc, argv);
}
