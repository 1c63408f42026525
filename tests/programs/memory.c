/* Holds memory and watches the clock: the longest time it did not run is the time it was frozen.
 *
 *   memory MIB [SHM-MIB [anonymous]]      fills memory that does not compress; every second prints "gap MS" with the
 * longest gap since the line before; SIGUSR1 touches 5 % of the pages and 1 % of the shared memory, which is
 * /dev/shm/memory or has no name
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t g_touch;
static void on_signal(int number) {
  (void)number;
  g_touch = 1;
}

static double now_ms(void) {
  struct timespec time;
  /* Not CLOCK_MONOTONIC: that one stands still across a restore, and this is about real time. */
  clock_gettime(CLOCK_REALTIME, &time);
  return (double)time.tv_sec * 1000.0 + (double)time.tv_nsec / 1e6;
}

static uint64_t next_random(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static uint64_t* fill(size_t bytes, int fd, uint64_t* state) {
  if (bytes == 0) return NULL;
  if (fd >= 0 && ftruncate(fd, (off_t)bytes) != 0) exit(2);
  uint64_t* memory =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  if (memory == MAP_FAILED) exit(2);
  for (size_t i = 0; i < bytes / 8; ++i) memory[i] = next_random(state);
  return memory;
}

static void touch(uint64_t* memory, size_t bytes, size_t one_in, uint64_t* state) {
  const size_t pages = bytes / 4096;
  for (size_t i = 0; i < pages / one_in; ++i) memory[next_random(state) % pages * 512] = next_random(state);
}

int main(int argc, char** argv) {
  const size_t bytes = (size_t)(argc > 1 ? atol(argv[1]) : 64) << 20;
  const size_t shared_bytes = (size_t)(argc > 2 ? atol(argv[2]) : 0) << 20;
  uint64_t state = 88172645463325252ULL;
  uint64_t* memory = fill(bytes, -1, &state);
  int shared_fd = -1;
  if (shared_bytes > 0) shared_fd = argc > 3 ? memfd_create("memory", 0) : shm_open("/memory", O_RDWR | O_CREAT, 0600);
  uint64_t* shared = fill(shared_bytes, shared_fd, &state);
  signal(SIGUSR1, on_signal);
  printf("ready\n");
  fflush(stdout);
  double last = now_ms();
  double longest = 0;
  double printed = last;
  while (1) {
    const struct timespec pause = {0, 500000};
    nanosleep(&pause, NULL);
    const double now = now_ms();
    if (now - last > longest) longest = now - last;
    last = now;
    if (g_touch) {
      g_touch = 0;
      touch(memory, bytes, 20, &state);
      if (shared_bytes > 0) touch(shared, shared_bytes, 100, &state);
      last = now_ms();
    }
    if (now - printed >= 1000) {
      printf("gap %.1f\n", longest);
      fflush(stdout);
      longest = 0;
      printed = now;
    }
  }
}
