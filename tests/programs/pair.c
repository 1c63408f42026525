// pair left|right DIR ROUNDS PAUSE_MS: two programs that share nothing but a unix socket and a FIFO in DIR. `left`
// sends blocks through the socket; `right` mixes each into its own state and answers through the FIFO, which `left`
// mixes into its own. Both end with the same digest, whatever interrupts them. Blocks and pipe are larger than what the
// kernel buffers, so that something is under way whenever they are looked at.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { kBlock = 300 * 1024 };
static unsigned char block[kBlock];

static void die(const char* what) {
  perror(what);
  exit(1);
}

static uint64_t mix(uint64_t state, const unsigned char* data, size_t size) {
  for (size_t i = 0; i < size; ++i) state = (state ^ data[i]) * 1099511628211ULL;
  return state;
}

static void fill(uint64_t seed) {
  for (size_t i = 0; i < kBlock; ++i) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    block[i] = (unsigned char)seed;
  }
}

static void transfer(int fd, int out) {
  size_t done = 0;
  while (done < kBlock) {
    const ssize_t n = out ? write(fd, block + done, kBlock - done) : read(fd, block + done, kBlock - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) die(out ? "send" : "receive");
    done += (size_t)n;
  }
}

static int connect_socket(const char* path, int serves) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (serves) {
    if (bind(fd, (struct sockaddr*)&address, sizeof address) != 0 || listen(fd, 1) != 0) die("listen");
    const int peer = accept(fd, NULL, NULL);
    if (peer < 0) die("accept");
    return peer;
  }
  // The other program makes it; nothing tells when.
  for (int tries = 0; connect(fd, (struct sockaddr*)&address, sizeof address) != 0; ++tries) {
    if (tries == 1000) die("connect");
    usleep(10000);
  }
  return fd;
}

int main(int argc, char** argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: pair left|right DIR ROUNDS PAUSE_MS\n");
    return 2;
  }
  const int left = strcmp(argv[1], "left") == 0;
  const int rounds = atoi(argv[3]);
  const struct timespec pause = {atoi(argv[4]) / 1000, atoi(argv[4]) % 1000 * 1000000L};
  char path[100];
  snprintf(path, sizeof path, "%s/fifo", argv[2]);
  if (mkfifo(path, 0600) != 0 && errno != EEXIST) die("mkfifo");
  char socket_path[100];
  snprintf(socket_path, sizeof socket_path, "%s/socket", argv[2]);
  const int stream = connect_socket(socket_path, left);
  const int fifo = open(path, left ? O_RDONLY : O_WRONLY);
  if (fifo < 0) die("fifo");
  uint64_t state = 14695981039346656037ULL;
  for (int round = 1; round <= rounds; ++round) {
    if (left) {
      fill(state + (uint64_t)round);
      transfer(stream, 1);
      transfer(fifo, 0);
    } else {
      transfer(stream, 0);
      fill(mix(state, block, kBlock));
      transfer(fifo, 1);
    }
    state = mix(state, block, kBlock);
    if (left && round % 10 == 0) {
      printf("round %d %016llx\n", round, (unsigned long long)state);
      fflush(stdout);
    }
    nanosleep(&pause, NULL);
  }
  printf("%s result %016llx\n", argv[1], (unsigned long long)state);
  return 0;
}
