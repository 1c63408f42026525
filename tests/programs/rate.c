/* Computes without pause and tells how fast: a stencil over 16 MiB, which wants a core and memory's speed.
 *
 *   rate MIB      holds MIB of memory that does not compress; every 100 ms prints "rate MS SWEEPS-PER-SECOND", with the
 *                 wall clock in ms; SIGUSR1 rewrites a third of the memory
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile sig_atomic_t g_rewrite;
static void on_signal(int number) {
  (void)number;
  g_rewrite = 1;
}

static double now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return (double)time.tv_sec * 1000.0 + (double)time.tv_nsec / 1e6;
}

static void scramble(uint64_t* memory, size_t words, uint64_t* state) {
  for (size_t i = 0; i < words; ++i) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    memory[i] = *state;
  }
}

int main(int argc, char** argv) {
  const size_t words = ((size_t)(argc > 1 ? atol(argv[1]) : 64) << 20) / sizeof(uint64_t);
  const size_t cells = ((size_t)16 << 20) / sizeof(double);
  uint64_t state = 88172645463325252ULL;
  uint64_t* memory = malloc(words * sizeof *memory);
  double* grid = malloc(cells * sizeof *grid);
  if (memory == NULL || grid == NULL) return 2;
  scramble(memory, words, &state);
  for (size_t i = 0; i < cells; ++i) grid[i] = (double)(i % 17);
  signal(SIGUSR1, on_signal);
  printf("ready\n");
  double printed = now_ms();
  long sweeps = 0;
  while (1) {
    for (size_t i = 1; i + 1 < cells; ++i) grid[i] = 0.25 * grid[i - 1] + 0.5 * grid[i] + 0.25 * grid[i + 1];
    ++sweeps;
    if (g_rewrite) {
      g_rewrite = 0;
      scramble(memory, words / 3, &state);
      printf("rewritten\n");
      printed = now_ms();
      sweeps = 0;
    }
    const double now = now_ms();
    if (now - printed < 100) continue;
    printf("rate %.0f %.3f\n", now, (double)sweeps * 1000.0 / (now - printed));
    fflush(stdout);
    printed = now;
    sweeps = 0;
  }
}
