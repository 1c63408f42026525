/* Holds memory and a file, and changes a known share of both when it is told to.
 *
 *   rewriter MEMORY-MIB FILE FILE-MIB PERCENT
 * fills both with what does not compress and is nobody else's, prints "ready"; at SIGUSR1 writes PERCENT % of the pages
 * of memory anew, no page twice, spread over all of it, and as much of the file in one stretch; prints "changed N"
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { kPage = 4096, kBlock = 1 << 20 };

static volatile sig_atomic_t g_change;
static void on_signal(int number) {
  (void)number;
  g_change = 1;
}

static uint64_t g_state;

static uint64_t next_random(void) {
  g_state ^= g_state << 13;
  g_state ^= g_state >> 7;
  g_state ^= g_state << 17;
  return g_state;
}

static void fill(uint64_t* words, size_t bytes) {
  for (size_t i = 0; i < bytes / 8; ++i) words[i] = next_random();
}

/* The first `count` of `order` become a random choice of all, each once. */
static void change_pages(char* memory, uint32_t* order, size_t pages, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const size_t other = i + next_random() % (pages - i);
    const uint32_t page = order[other];
    order[other] = order[i];
    order[i] = page;
    fill((uint64_t*)(memory + (size_t)page * kPage), kPage);
  }
}

static int write_file(int fd, size_t from, size_t bytes, uint64_t* block) {
  while (bytes > 0) {
    const size_t part = bytes < kBlock ? bytes : kBlock;
    fill(block, part);
    if (pwrite(fd, block, part, (off_t)from) != (ssize_t)part) return 0;
    from += part;
    bytes -= part;
  }
  return 1;
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const size_t bytes = (size_t)strtoul(argv[1], NULL, 10) << 20;
  const size_t file_bytes = (size_t)strtoul(argv[3], NULL, 10) << 20;
  const size_t percent = (size_t)strtoul(argv[4], NULL, 10);
  const size_t pages = bytes / kPage;
  if (pages == 0 || percent > 100) return 2;
  if (getrandom(&g_state, sizeof g_state, 0) != sizeof g_state || g_state == 0) return 2;
  char* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  uint32_t* order = malloc(pages * sizeof *order);
  uint64_t* block = malloc(kBlock);
  const int fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (memory == MAP_FAILED || order == NULL || block == NULL || fd < 0) return 2;
  for (size_t i = 0; i < pages; ++i) order[i] = (uint32_t)i;
  signal(SIGUSR1, on_signal);
  fill((uint64_t*)memory, bytes);
  if (!write_file(fd, 0, file_bytes, block)) return 2;
  puts("ready");
  fflush(stdout);
  size_t at = 0;
  for (long changed = 0;;) {
    const struct timespec pause = {0, 10000000};
    nanosleep(&pause, NULL);
    if (!g_change) continue;
    g_change = 0;
    change_pages(memory, order, pages, pages * percent / 100);
    const size_t stretch = file_bytes * percent / 100;
    if (at + stretch > file_bytes) at = 0;
    if (!write_file(fd, at, stretch, block)) return 2;
    at += stretch;
    printf("changed %ld\n", ++changed);
    fflush(stdout);
  }
}
