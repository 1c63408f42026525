#include "init/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init/protocol.h"

namespace {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  char name[64] = "root";
  char home[256] = "/";
};

/// "1000" or "1000:100", or a name of /etc/passwd. Read by hand: getpwnam of a static libc would load shared libraries.
bool find_identity(const char* user, Identity& identity) {
  char* end = nullptr;
  const unsigned long number = strtoul(user, &end, 10);
  const bool numeric = end != user && (*end == 0 || *end == ':');
  if (numeric) {
    identity.uid = static_cast<uid_t>(number);
    identity.gid = *end == ':' ? static_cast<gid_t>(strtoul(end + 1, nullptr, 10)) : static_cast<gid_t>(number);
  }
  FILE* passwd = fopen("/etc/passwd", "re");
  if (passwd == nullptr) return numeric;
  char line[1024];
  bool found = false;
  while (!found && fgets(line, sizeof line, passwd) != nullptr) {
    char* rest = line;
    const char* name = strsep(&rest, ":");
    strsep(&rest, ":");
    const char* uid = strsep(&rest, ":");
    const char* gid = strsep(&rest, ":");
    strsep(&rest, ":");
    const char* home = strsep(&rest, ":");
    if (home == nullptr) continue;
    found = numeric ? strtoul(uid, nullptr, 10) == identity.uid : strcmp(name, user) == 0;
    if (!found) continue;
    if (!numeric) {
      identity.uid = static_cast<uid_t>(strtoul(uid, nullptr, 10));
      identity.gid = static_cast<gid_t>(strtoul(gid, nullptr, 10));
    }
    snprintf(identity.name, sizeof identity.name, "%s", name);
    snprintf(identity.home, sizeof identity.home, "%s", home);
  }
  fclose(passwd);
  return found || numeric;
}

/// 0 or an errno.
int take_identity(const Identity& identity) {
  if ((identity.uid != 0 || identity.gid != 0) &&
      (setgroups(0, nullptr) != 0 || setgid(identity.gid) != 0 || setuid(identity.uid) != 0)) {
    return errno;
  }
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 ? 0 : errno;
}

void name_identity(const Identity& identity) {
  setenv("HOME", identity.home, 0);
  setenv("USER", identity.name, 0);
  setenv("LOGNAME", identity.name, 0);
  setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 0);
}

/// A file for standard input is there only where one was given.
bool open_stdio(const char* in, const char* out, const char* err) {
  int in_fd = open(in, O_RDONLY);
  if (in_fd < 0) in_fd = open("/dev/null", O_RDONLY);
  const int out_fd = open(out, O_WRONLY | O_CREAT | O_APPEND, 0644);
  const int err_fd = open(err, O_WRONLY | O_CREAT | O_APPEND, 0644);
  return in_fd >= 0 && out_fd >= 0 && err_fd >= 0 && dup2(in_fd, 0) >= 0 && dup2(out_fd, 1) >= 0 &&
         dup2(err_fd, 2) >= 0;
}

/// In the child. Never returns; the errno of what failed goes into `report`.
[[noreturn]] void become(int report, const char* user, const char* cwd, char** command, char** environment,
                         const char* in, const char* out, const char* err) {
  const auto give_up = [&report] [[noreturn]] (int error) {
    const ssize_t put = write(report, &error, sizeof error);
    _exit(put == static_cast<ssize_t>(sizeof error) ? 127 : 126);
  };
  Identity identity;
  setsid();
  if (!open_stdio(in, out, err)) give_up(errno);
  // The report pipe becomes descriptor 3 and everything above it goes: nothing of init's may be inherited.
  if (report != 3 && dup3(report, 3, O_CLOEXEC) < 0) give_up(errno);
  report = 3;
  close_descriptors(4);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int number = 1; number < 32; ++number) signal(number, SIG_DFL);
  if (!find_identity(user, identity)) give_up(EINVAL);
  if ((identity.uid != 0 || identity.gid != 0) &&
      (fchown(1, identity.uid, identity.gid) != 0 || fchown(2, identity.uid, identity.gid) != 0)) {
    give_up(errno);
  }
  if (const int error = take_identity(identity)) give_up(error);
  if (chdir(cwd) != 0) give_up(errno == ENOENT ? ENOTDIR : errno);
  environ = environment;
  name_identity(identity);
  execvp(command[0], command);
  give_up(errno);
}

pid_t launch(const char* user, const char* cwd, char** command, char** environment, const char* in, const char* out,
             const char* err) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return -errno;
  const pid_t pid = fork();
  if (pid < 0) {
    const int error = errno;
    close(report[0]);
    close(report[1]);
    return -error;
  }
  if (pid == 0) become(report[1], user, cwd, command, environment, in, out, err);
  close(report[1]);
  int error = 0;
  ssize_t got = 0;
  do {
    got = read(report[0], &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  close(report[0]);
  return got == static_cast<ssize_t>(sizeof error) ? -error : pid;
}

/// NUL-ended strings in one block to an argv-like array; the caller frees the array only.
char** split_block(const char* block, size_t length) {
  size_t count = 0;
  for (size_t i = 0; i < length; ++i) count += block[i] == 0 ? 1 : 0;
  char** list = static_cast<char**>(calloc(count + 1, sizeof(char*)));
  if (list == nullptr) return nullptr;
  const char* at = block;
  for (size_t i = 0; i < count; ++i) {
    list[i] = const_cast<char*>(at);
    at += strlen(at) + 1;
  }
  return list;
}

}  // namespace

void close_descriptors(int first) { syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 0U); }

int become_user(const char* user) {
  Identity identity;
  if (!find_identity(user, identity)) return EINVAL;
  if (const int error = take_identity(identity)) return error;
  name_identity(identity);
  return chdir(identity.home) == 0 || chdir("/") == 0 ? 0 : errno;
}

pid_t launch_application(const char* user, const char* cwd, char** command) {
  return launch(user, cwd, command, environ, "/dev/null", CACS_LOG_DIR "/stdout", CACS_LOG_DIR "/stderr");
}

pid_t launch_exec(unsigned long id, const char* user, const char* cwd, const char* env, size_t env_length,
                  const char* arguments, size_t arguments_length) {
  char in[64];
  char out[64];
  char err[64];
  mkdir(CACS_EXEC_DIR, 0755);
  snprintf(in, sizeof in, CACS_EXEC_DIR "/%lu.in", id);
  snprintf(out, sizeof out, CACS_EXEC_DIR "/%lu.out", id);
  snprintf(err, sizeof err, CACS_EXEC_DIR "/%lu.err", id);
  char** command = split_block(arguments, arguments_length);
  char** environment = split_block(env, env_length);
  pid_t pid = -ENOMEM;
  if (command != nullptr && environment != nullptr) pid = launch(user, cwd, command, environment, in, out, err);
  free(command);
  free(environment);
  return pid;
}
