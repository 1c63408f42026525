/* Holds an io_uring, which no engine can save, until it is killed. */
#include <linux/io_uring.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  struct io_uring_params parameters;
  memset(&parameters, 0, sizeof parameters);
  const long ring = syscall(SYS_io_uring_setup, 8, &parameters);
  printf(ring >= 0 ? "ready\n" : "no io_uring\n");
  fflush(stdout);
  for (;;) pause();
}
