/* Preloaded into a program, writes a line to the file $SYNC_RECORD for each of its calls that has to do with
 * durability, once it has succeeded: "sync PATH", "rename FROM TO" or "link FROM TO". The lines of all processes are in
 * the order of the calls.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void record(const char* what, const char* first, const char* second) {
  const char* path = getenv("SYNC_RECORD");
  if (path == NULL) return;
  const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  char line[9000];
  const int length = snprintf(line, sizeof line, "%s %s%s%s\n", what, first, second[0] != 0 ? " " : "", second);
  if (length > 0 && write(fd, line, (size_t)length) != length) abort();
  close(fd);
}

static int record_sync(int fd, const char* name) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  const int result = real(fd);
  if (result == 0) {
    char link[64];
    char target[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t length = readlink(link, target, sizeof target - 1);
    target[length > 0 ? length : 0] = 0;
    record("sync", target, "");
  }
  return result;
}

int fsync(int fd) { return record_sync(fd, "fsync"); }
int fdatasync(int fd) { return record_sync(fd, "fdatasync"); }

int rename(const char* from, const char* to) {
  int (*real)(const char*, const char*) = (int (*)(const char*, const char*))dlsym(RTLD_NEXT, "rename");
  const int result = real(from, to);
  if (result == 0) record("rename", from, to);
  return result;
}

int link(const char* from, const char* to) {
  int (*real)(const char*, const char*) = (int (*)(const char*, const char*))dlsym(RTLD_NEXT, "link");
  const int result = real(from, to);
  if (result == 0) record("link", from, to);
  return result;
}
