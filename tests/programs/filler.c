/* Fills memory when it is told to, and knows what must be in it.
 *
 *   filler MIB TICKS MILLISECONDS-PER-TICK
 * prints "tick N" a tick; at SIGUSR1 fills MIB of memory anew with what does not compress and prints "filled N"; checks
 * all of it then and at the end, prints "result TICKS", and ends with 3 if any word is wrong.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t g_fill;
static void on_signal(int number) {
  (void)number;
  g_fill = 1;
}

static uint64_t word(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void check(const uint64_t* memory, size_t words, uint64_t filled) {
  uint64_t state = 88172645463325252ULL + filled;
  for (size_t i = 0; i < words; ++i) {
    if (memory[i] == word(&state)) continue;
    printf("word %zu of filling %lu is wrong\n", i, (unsigned long)filled);
    fflush(stdout);
    _exit(3);
  }
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const size_t words = ((size_t)strtoul(argv[1], NULL, 10) << 20) / 8;
  const long ticks = strtol(argv[2], NULL, 10);
  const long pause_ms = strtol(argv[3], NULL, 10);
  uint64_t* memory = mmap(NULL, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  signal(SIGUSR1, on_signal);
  uint64_t filled = 0;
  for (long tick = 1; tick <= ticks; ++tick) {
    if (g_fill) {
      g_fill = 0;
      if (filled > 0) check(memory, words, filled);
      ++filled;
      uint64_t state = 88172645463325252ULL + filled;
      for (size_t i = 0; i < words; ++i) memory[i] = word(&state);
      printf("filled %lu\n", (unsigned long)filled);
    }
    printf("tick %ld\n", tick);
    fflush(stdout);
    const struct timespec pause = {pause_ms / 1000, pause_ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
  }
  if (filled > 0) check(memory, words, filled);
  printf("result %ld\n", ticks);
  return 0;
}
