// The server of one launched command: a process of its own, child of init, running as the application's user from its
// first look at a byte of the connection.

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
#include <sys/wait.h>
#include <unistd.h>

#include "init/launch.h"
#include "init/remote.h"
#include "init/util.h"

namespace {

using remote::kHeader;
using remote::kMaxFrame;

/// Bytes on their way, from `begin` to `end`.
struct Buffer {
  size_t begin = 0;
  size_t end = 0;
  char bytes[kHeader + kMaxFrame];

  bool empty() const { return begin == end; }
  void clear() { begin = end = 0; }
};

/// One launched command and its connection. Nothing is read from anywhere before what was read last has gone on, so
/// what is held is bounded, and neither side waits for the other to read while it does not.
struct Launch {
  int peer = -1;  ///< the connection; -1: the client is gone
  int input = -1;
  int output = -1;
  int error = -1;
  pid_t command = -1;  ///< until it is reaped, which is the last thing, the number is its own
  int status = 0;
  Buffer to_peer;
  Buffer from_peer;  ///< a frame that is coming in, or the input of one that is going on to the command
  bool whole = false;
};

Launch g_launch;  // one process, one launch; in .bss so that nothing can fail to allocate

void drop(int& fd) {
  if (fd >= 0) close(fd);
  fd = -1;
}

/// The client is gone: so is whoever wanted the command.
void lose_peer() {
  drop(g_launch.peer);
  drop(g_launch.input);
  g_launch.to_peer.clear();
  // One that has just been forked leads no group yet.
  if (g_launch.command > 0 && kill(-g_launch.command, SIGHUP) != 0) kill(g_launch.command, SIGHUP);
}

/// False: the descriptor is at its end or broken.
bool pass_on(int fd, Buffer& buffer) {
  const ssize_t put = write(fd, buffer.bytes + buffer.begin, buffer.end - buffer.begin);
  if (put < 0) return errno == EAGAIN || errno == EINTR;
  buffer.begin += static_cast<size_t>(put);
  if (buffer.empty()) buffer.clear();
  return true;
}

void take_output(int& fd, remote::Frame type) {
  Buffer& buffer = g_launch.to_peer;
  const ssize_t got = read(fd, buffer.bytes + kHeader, kMaxFrame);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    drop(fd);
    return;
  }
  if (g_launch.peer < 0) return;  // nobody is there to hear it
  remote::put_header(buffer.bytes, type, static_cast<size_t>(got));
  buffer.end = kHeader + static_cast<size_t>(got);
}

/// Reads on; true when a whole frame is there. Its bytes are behind the header.
bool take_frame() {
  Buffer& buffer = g_launch.from_peer;
  const size_t want = buffer.end < kHeader ? kHeader : kHeader + remote::frame_length(buffer.bytes);
  const ssize_t got = read(g_launch.peer, buffer.bytes + buffer.end, want - buffer.end);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {
    lose_peer();
    return false;
  }
  buffer.end += static_cast<size_t>(got);
  if (buffer.end < kHeader) return false;
  const size_t length = remote::frame_length(buffer.bytes);
  if (length > kMaxFrame) {
    lose_peer();
    return false;
  }
  return buffer.end == kHeader + length;
}

/// A whole frame while the command runs: only input is expected.
void on_frame() {
  Buffer& buffer = g_launch.from_peer;
  const bool input = buffer.bytes[0] == remote::kInput;
  buffer.begin = kHeader;
  if (!input) return lose_peer();
  if (buffer.empty()) drop(g_launch.input);
  if (buffer.empty() || g_launch.input < 0) {
    buffer.clear();
  } else {
    g_launch.whole = true;
  }
}

void on_input_ready() {
  if (!pass_on(g_launch.input, g_launch.from_peer)) {
    drop(g_launch.input);  // the command does not read any more
    g_launch.from_peer.clear();
  }
  if (g_launch.from_peer.empty()) g_launch.whole = false;
}

void reap_command() {
  int status = 0;
  while (waitpid(g_launch.command, &status, 0) < 0 && errno == EINTR) {
  }
  g_launch.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void relay() {
  while (g_launch.output >= 0 || g_launch.error >= 0 || !g_launch.to_peer.empty()) {
    const bool sending = !g_launch.to_peer.empty();
    const bool feeding = g_launch.whole;
    struct pollfd waiting[4] = {
        {g_launch.peer, static_cast<short>((sending ? POLLOUT : 0) | (feeding ? 0 : POLLIN)), 0},
        {feeding ? g_launch.input : -1, POLLOUT, 0},
        {sending ? -1 : g_launch.output, POLLIN, 0},
        {sending ? -1 : g_launch.error, POLLIN, 0}};
    if (poll(waiting, 4, -1) < 0) continue;
    if (g_launch.peer >= 0 && (waiting[0].revents & POLLOUT) != 0 && !pass_on(g_launch.peer, g_launch.to_peer)) {
      lose_peer();
    }
    if (g_launch.peer >= 0 && !feeding && (waiting[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      if (take_frame()) on_frame();
    } else if (g_launch.peer >= 0 && (waiting[0].revents & (POLLHUP | POLLERR)) != 0) {
      lose_peer();
    }
    if (feeding && g_launch.input >= 0 && waiting[1].revents != 0) on_input_ready();
    if (waiting[2].revents != 0 && g_launch.to_peer.empty()) take_output(g_launch.output, remote::kOutput);
    if (waiting[3].revents != 0 && g_launch.to_peer.empty()) take_output(g_launch.error, remote::kError);
  }
}

/// The magic and the command, which come first. The command is ended by a NUL.
bool receive_command(char* command) {
  char magic[sizeof remote::kMagic];
  char header[kHeader];
  if (!receive_all(g_launch.peer, magic, sizeof magic) || memcmp(magic, remote::kMagic, sizeof magic) != 0)
    return false;
  if (!receive_all(g_launch.peer, header, sizeof header) || header[0] != remote::kCommand) return false;
  const size_t length = remote::frame_length(header);
  if (length == 0 || length > kMaxFrame || !receive_all(g_launch.peer, command, length)) return false;
  command[length] = 0;
  return memchr(command, 0, length) == nullptr;
}

bool start_command(char* command) {
  int in[2];
  int out[2];
  int err[2];
  if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) return false;
  g_launch.command = fork();
  if (g_launch.command < 0) return false;
  if (g_launch.command == 0) {
    setsid();
    if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0) _exit(126);
    close_descriptors(3);
    for (int number = 1; number < 32; ++number) signal(number, SIG_DFL);
    char shell[] = "/bin/sh";
    char option[] = "-c";
    char* const words[] = {shell, option, command, nullptr};
    execv(shell, words);
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  g_launch.input = in[1];
  g_launch.output = out[0];
  g_launch.error = err[0];
  const int ours[] = {g_launch.input, g_launch.output, g_launch.error, g_launch.peer};
  for (const int fd : ours) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return true;
}

void send_status() {
  if (g_launch.peer < 0) return;
  fcntl(g_launch.peer, F_SETFL, fcntl(g_launch.peer, F_GETFL) & ~O_NONBLOCK);
  char frame[kHeader + 1];
  remote::put_header(frame, remote::kStatus, 1);
  frame[kHeader] = static_cast<char>(g_launch.status);
  if (send(g_launch.peer, frame, sizeof frame, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof frame)) return;
  shutdown(g_launch.peer, SHUT_WR);
}

[[noreturn]] void serve_launch(int connection, const char* user) {
  setsid();
  signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (connection != 3 && dup2(connection, 3) < 0) _exit(126);
  close_descriptors(4);
  g_launch.peer = 3;
  fcntl(3, F_SETFD, FD_CLOEXEC);
  if (become_user(user) != 0) _exit(126);
  static char command[kMaxFrame + 1];
  if (!receive_command(command) || !start_command(command)) _exit(126);
  relay();
  drop(g_launch.input);
  reap_command();
  send_status();
  _exit(0);
}

}  // namespace

int listen_for_launches(const char* address) {
  struct sockaddr_in at {};
  at.sin_family = AF_INET;
  at.sin_port = htons(remote::kPort);
  if (inet_pton(AF_INET, address, &at.sin_addr) != 1) return -EINVAL;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fd, reinterpret_cast<struct sockaddr*>(&at), sizeof at) != 0 || listen(fd, SOMAXCONN) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return -error;
  }
  return fd;
}

void accept_launch(int listener, const char* user) {
  const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (connection < 0) return;
  const int on = 1;
  setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (fork() == 0) serve_launch(connection, user);
  close(connection);
}
