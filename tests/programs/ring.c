// ring ROUNDS PAUSE_MS: an MPI program. A block goes round all ranks; each mixes its own numbers into it, and every
// tenth round all add theirs up. Rank 0 prints what has come of it, which depends on every byte of every round. At the
// start the ranks say where they are.
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { kWords = 64 * 1024 };
static uint64_t block[kWords];

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  const int rounds = argc > 1 ? atoi(argv[1]) : 100;
  const int pause_ms = argc > 2 ? atoi(argv[2]) : 0;
  const struct timespec pause = {pause_ms / 1000, pause_ms % 1000 * 1000000L};
  int rank = 0;
  int size = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  char name[MPI_MAX_PROCESSOR_NAME];
  int length = 0;
  MPI_Get_processor_name(name, &length);
  fprintf(stderr, "rank %d of %d on %s\n", rank, size, name);
  uint64_t own = 88172645463325252ULL + (uint64_t)rank;
  for (int round = 1; round <= rounds; ++round) {
    if (rank != 0) MPI_Recv(block, kWords, MPI_UINT64_T, rank - 1, round, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (int i = 0; i < kWords; ++i) {
      own ^= own << 13;
      own ^= own >> 7;
      own ^= own << 17;
      block[i] = (block[i] ^ own) * 1099511628211ULL;
    }
    MPI_Send(block, kWords, MPI_UINT64_T, (rank + 1) % size, round, MPI_COMM_WORLD);
    if (rank == 0) MPI_Recv(block, kWords, MPI_UINT64_T, size - 1, round, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    if (round % 10 == 0) {
      uint64_t sum = 0;
      MPI_Allreduce(&own, &sum, 1, MPI_UINT64_T, MPI_SUM, MPI_COMM_WORLD);
      if (rank == 0) {
        printf("round %d %016llx %016llx\n", round, (unsigned long long)block[kWords - 1], (unsigned long long)sum);
        fflush(stdout);
      }
    }
    nanosleep(&pause, NULL);
  }
  MPI_Finalize();
  return 0;
}
