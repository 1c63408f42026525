/* Checks its own arithmetic and files: a long computation whose every intermediate result is known in two ways, with a
 * running record in a file, a second file rewritten in place through mmap, a file renamed again and again, and shared
 * memory. Any difference between what memory says and what files say ends it with a message and exit 3.
 *
 *   worker ROUNDS DIR [MILLISECONDS-PER-ROUND]
 * prints "round N SUM" a round and at the end "result SUM".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define TABLE (8 << 20)

static void die(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf(" (errno %d)\n", errno);
  fflush(stdout);
  _exit(3);
}

static uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

/* The sum after round n, computed from nothing: what the running sum must be. */
static uint64_t expected_after(long n) {
  uint64_t sum = 1;
  for (long i = 1; i <= n; ++i) sum = mix(sum + (uint64_t)i);
  return sum;
}

static void append_record(const char* path, long round, uint64_t sum) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
  char line[64];
  const int length = snprintf(line, sizeof line, "%ld %016lx\n", round, (unsigned long)sum);
  if (fd < 0 || write(fd, line, (size_t)length) != length) die("append to %s", path);
  close(fd);
}

/* The record has exactly one line a round, each with the right sum. */
static void check_record(const char* path, long rounds) {
  FILE* file = fopen(path, "r");
  if (file == NULL) die("open %s", path);
  uint64_t sum = 1;
  for (long i = 1; i <= rounds; ++i) {
    long number = 0;
    unsigned long got = 0;
    sum = mix(sum + (uint64_t)i);
    if (fscanf(file, "%ld %lx", &number, &got) != 2 || number != i || got != sum) {
      die("%s: line %ld says %ld %lx", path, i, number, got);
    }
  }
  char rest[8];
  if (fscanf(file, "%7s", rest) == 1) die("%s has more than %ld lines", path, rounds);
  fclose(file);
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const long rounds = strtol(argv[1], NULL, 10);
  const long pause_ms = argc > 3 ? strtol(argv[3], NULL, 10) : 20;
  if (mkdir(argv[2], 0755) != 0 && errno != EEXIST) die("mkdir");
  if (chdir(argv[2]) != 0) die("chdir");
  const int fd = open("page", O_RDWR | O_CREAT, 0644);
  if (fd < 0 || ftruncate(fd, PAGE) != 0) die("page");
  uint64_t* page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int shm = shm_open("/worker", O_RDWR | O_CREAT, 0600);
  if (shm < 0 || ftruncate(shm, TABLE) != 0) die("shm");
  uint64_t* table = mmap(NULL, TABLE, PROT_READ | PROT_WRITE, MAP_SHARED, shm, 0);
  if (page == MAP_FAILED || table == MAP_FAILED) die("mmap");
  uint64_t sum = 1;
  for (long round = 1; round <= rounds; ++round) {
    sum = mix(sum + (uint64_t)round);
    page[round % (PAGE / 8)] = sum;
    table[mix((uint64_t)round) % (TABLE / 8)] = sum;
    append_record("record", round, sum);
    char from[32], to[32];
    snprintf(from, sizeof from, "turn.%ld", round - 1);
    snprintf(to, sizeof to, "turn.%ld", round);
    if (round > 1 ? rename(from, to) != 0 : close(open(to, O_CREAT | O_WRONLY, 0644)) != 0) die("rename %s", from);
    if (round % 10 == 0) {
      if (sum != expected_after(round)) die("the sum is wrong in round %ld", round);
      check_record("record", round);
      uint64_t stored = 0;
      if (pread(fd, &stored, 8, (round % (PAGE / 8)) * 8) != 8 || stored != sum)
        die("the page is wrong in round %ld", round);
      if (table[mix((uint64_t)round) % (TABLE / 8)] != sum) die("shared memory is wrong in round %ld", round);
      if (access(to, F_OK) != 0) die("%s is missing", to);
    }
    printf("round %ld %016lx\n", round, (unsigned long)sum);
    fflush(stdout);
    const struct timespec pause = {pause_ms / 1000, pause_ms % 1000 * 1000000L};
    nanosleep(&pause, NULL);
  }
  check_record("record", rounds);
  printf("result %016lx\n", (unsigned long)expected_after(rounds));
  return sum == expected_after(rounds) ? 0 : 3;
}
