/* An engine that does nothing, in the place of CRIU (CACS_CRIU): what a checkpoint then takes is the service's own.
 *
 *   null_engine --version | check     as an engine that works
 *   null_engine dump ...              says that the tasks are frozen and dumped, waits for the verdict, and ends; no
 * task is touched. Leaves the one image that the agent looks into, without an entry. null_engine start N prints how
 * many milliseconds N starts of itself take on this machine, all at once
 *
 * Called by a name that ends in "-scripts" it speaks through the action script as CRIU does, a process for each action.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kMaxStarts = 1024 };

static const char* option(int argc, char** argv, const char* name) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (strcmp(argv[i], name) == 0) return argv[i + 1];
  }
  return NULL;
}

/* Each returns whether the engine is to go on. */

static int tell_socket(const char* path, const char* action) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return 0;
  strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr*)&address, sizeof address) != 0) return 0;
  char line[64];
  const int length = snprintf(line, sizeof line, "%s\n", action);
  if (send(fd, line, (size_t)length, MSG_NOSIGNAL) != length) return 0;
  size_t got = 0;
  while (got < sizeof line - 1 && memchr(line, '\n', got) == NULL) {
    const ssize_t more = recv(fd, line + got, sizeof line - 1 - got, 0);
    if (more <= 0) return 0;
    got += (size_t)more;
  }
  close(fd);
  return strncmp(line, "go\n", 3) == 0;
}

static int run_script(const char* script, const char* action) {
  const pid_t pid = vfork();
  if (pid < 0) return 0;
  if (pid == 0) {
    char word[64];
    snprintf(word, sizeof word, "CRTOOLS_SCRIPT_ACTION=%s", action);
    char notify[160];
    snprintf(notify, sizeof notify, "CACS_NOTIFY=%s", getenv("CACS_NOTIFY"));
    char* const arguments[] = {(char*)script, NULL};
    char* const environment[] = {word, notify, NULL};
    execve(script, arguments, environment);
    _exit(127);
  }
  int status = 0;
  return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A header of the common form, of the image of open files: there are none. */
static int write_images(int directory) {
  const uint32_t header[2] = {0x54564319, 0x56303138};
  const int fd = openat(directory, "files.img", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, header, sizeof header) != sizeof header) return 0;
  return close(fd) == 0;
}

static int fail(int directory) {
  static const char text[] = "(00.000000) Error (null_engine): aborted\n(00.000000) Error: Dumping FAILED.\n";
  const int fd = openat(directory, "dump.log", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text, sizeof text - 1) != (ssize_t)(sizeof text - 1)) return 2;
  return 1;
}

static int dump(int argc, char** argv) {
  static const char* const actions[] = {"pre-dump", "network-lock", "post-dump", "network-unlock"};
  const char* images = option(argc, argv, "--images-dir");
  const char* script = option(argc, argv, "--action-script");
  const char* notify = getenv("CACS_NOTIFY");
  if (images == NULL || script == NULL || notify == NULL) return 2;
  const int directory = open(images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0 || !write_images(directory)) return 2;
  const char* suffix = strrchr(argv[0], '-');
  const int scripts = suffix != NULL && strcmp(suffix, "-scripts") == 0;
  for (size_t i = 0; i < sizeof actions / sizeof *actions; ++i) {
    /* Of what it need not say the engine that does nothing says nothing. */
    if (!scripts && i != 1 && i != 2) continue;
    const int go = scripts ? run_script(script, actions[i]) : tell_socket(notify, actions[i]);
    if (!go) return fail(directory);
  }
  return 0;
}

static int start(char* self, long count) {
  if (count < 1 || count > kMaxStarts) return 2;
  static pid_t pids[kMaxStarts];
  struct timespec begun;
  struct timespec ended;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  for (long i = 0; i < count; ++i) {
    pids[i] = fork();
    if (pids[i] < 0) return 2;
    if (pids[i] == 0) {
      const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
      if (null >= 0) dup2(null, STDOUT_FILENO);
      execl(self, self, "--version", (char*)NULL);
      _exit(127);
    }
  }
  for (long i = 0; i < count; ++i) {
    int status = 0;
    if (waitpid(pids[i], &status, 0) != pids[i] || status != 0) return 2;
  }
  clock_gettime(CLOCK_MONOTONIC, &ended);
  printf("%.3f\n", (double)(ended.tv_sec - begun.tv_sec) * 1e3 + (double)(ended.tv_nsec - begun.tv_nsec) / 1e6);
  return 0;
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (strcmp(argv[1], "--version") == 0) {
    puts("Version: 4.2");
    return 0;
  }
  if (strcmp(argv[1], "check") == 0) return 0;
  if (strcmp(argv[1], "dump") == 0) return dump(argc, argv);
  if (strcmp(argv[1], "start") == 0 && argc == 3) return start(argv[0], strtol(argv[2], NULL, 10));
  fputs("null_engine: this engine does not restore\n", stderr);
  return 1;
}
