/* Statically linked and without an interpreter of dynamic links, as a Go program is: its own clock loop and files.
 *
 *   static_worker ROUNDS      prints "round N SUM", at the end "result SUM"
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char** argv) {
  const long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 100;
  uint64_t sum = 88172645463325252ULL;
  for (long round = 1; round <= rounds; ++round) {
    for (int i = 0; i < 100000; ++i) {
      sum ^= sum << 13;
      sum ^= sum >> 7;
      sum ^= sum << 17;
    }
    printf("round %ld %016lx\n", round, (unsigned long)sum);
    fflush(stdout);
    const struct timespec pause = {0, 20 * 1000000L};
    nanosleep(&pause, NULL);
  }
  printf("result %016lx\n", (unsigned long)sum);
  return 0;
}
