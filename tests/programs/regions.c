/* Memory of every kind that an image of a process tells apart; stops itself when all of it is there.
 *
 *   regions FILE      maps FILE (some pages long) privately and shared; has a child with memory of its own, and one
 * that has ended and is not waited for. Closes its output before it stops: what reads it sees the end.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL

static void must(int condition, const char* what) {
  if (condition) return;
  perror(what);
  exit(2);
}

static uint64_t next_random(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void fill_page(void* page, uint64_t* state) {
  uint64_t* words = page;
  for (size_t i = 0; i < PAGE / 8; ++i) words[i] = next_random(state);
}

static char* map(size_t pages, int flags, int fd) {
  char* memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
  must(memory != MAP_FAILED, "mmap");
  return memory;
}

/* Every `step`-th page of `pages` gets bytes; those between are never touched. */
static void fill(char* memory, size_t pages, size_t step, uint64_t* state) {
  for (size_t i = 0; i < pages; i += step) fill_page(memory + i * PAGE, state);
}

/* The next memory of System V gets the number that the kernel gave to this memory's inode. */
static void take_number_of(const char* memory, size_t pages) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", (unsigned long)memory,
           (unsigned long)memory + pages * PAGE);
  struct stat status;
  must(stat(path, &status) == 0, path);
  FILE* next = fopen("/proc/sys/kernel/shm_next_id", "w");
  must(next != NULL && fprintf(next, "%lu", (unsigned long)status.st_ino) > 0 && fclose(next) == 0, "shm_next_id");
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  uint64_t state = 88172645463325252ULL;
  must(unshare(CLONE_NEWIPC) == 0, "unshare: memory of System V is saved in a namespace of its own only");
  must(prctl(PR_SET_NAME, "many (regions)") == 0, "prctl");
  /* Transparent huge pages would fill the holes between the pages that are touched. */
  must(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0, "prctl");

  fill(map(300, MAP_PRIVATE | MAP_ANONYMOUS, -1), 300, 3, &state);
  fill(map(4096, MAP_PRIVATE | MAP_ANONYMOUS, -1), 4096, 1, &state); /* more than fits into one pipe of CRIU's */
  char* zeros = map(8, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  memset(zeros, 0, 4 * PAGE);                             /* pages of zeros ... */
  must(*(volatile char*)(zeros + 6 * PAGE) == 0, "zero"); /* ... and the page of zeros that the kernel shares */
  char* hidden = map(5, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  fill(hidden, 5, 1, &state);
  must(mprotect(hidden, 5 * PAGE, PROT_NONE) == 0, "mprotect");
  char* before = sbrk(16 * PAGE);
  must(before != (char*)-1, "sbrk");
  memset(before, 'h', 16 * PAGE);

  const int file = open(argv[1], O_RDWR | O_CLOEXEC);
  must(file >= 0, argv[1]);
  char* private_file = map(4, MAP_PRIVATE, file);
  private_file[PAGE] = 'x'; /* a page that is no longer the file's */
  must(private_file[0] != 0, "file");
  map(4, MAP_SHARED, file)[2 * PAGE] = 'y';
  close(file);

  char* nameless = map(64, MAP_SHARED | MAP_ANONYMOUS, -1);
  fill(nameless, 64, 5, &state);
  const int board = memfd_create("board", 0);
  must(board >= 0 && ftruncate(board, 40 * PAGE + 100) == 0, "memfd_create");
  fill(map(40, MAP_SHARED, board), 40, 7, &state);
  const int unmapped = memfd_create("unmapped", 0);
  must(unmapped >= 0 && write(unmapped, "only written", 12) == 12, "memfd_create");
  if (argc > 2) take_number_of(nameless, 64);
  const int segment = shmget(IPC_PRIVATE, 20 * PAGE, IPC_CREAT | 0600);
  must(segment >= 0, "shmget");
  /* Far from the rest: of neighbours with one number CRIU takes the second for the first's, and gives up. */
  char* attached = shmat(segment, (void*)0x10000000000, 0);
  must(attached != (char*)-1, "shmat");
  fill(attached, 20, 4, &state);

  const pid_t zombie = fork();
  must(zombie >= 0, "fork");
  if (zombie == 0) _exit(0);
  siginfo_t info;
  must(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT) == 0, "waitid");
  const pid_t child = fork();
  must(child >= 0, "fork");
  close(STDOUT_FILENO);
  if (child == 0) {
    must(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, "prctl");
    fill(map(10, MAP_PRIVATE | MAP_ANONYMOUS, -1), 10, 2, &state);
    must(prctl(PR_SET_NAME, "child") == 0, "prctl");
    raise(SIGSTOP);
    return 0;
  }
  int status = 0;
  must(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status), "child");
  raise(SIGSTOP);
  return 0;
}
