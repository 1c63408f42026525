/* A program of two processes that saves itself, and knows of no engine: their numbers depend on each other in every
 * round, so that states of different rounds, or only one of them, give another result.
 *
 *   saver follow PORT DIR
 *   saver lead HOST PORT DIR ROUNDS MILLISECONDS-PER-ROUND
 *
 * The leader saves when it gets SIGUSR1: it has the follower save DIR/follow, saves DIR/lead, and makes DIR/saved. Both
 * go on from these files where they are there. The leader prints "round N SUM" a round, "saved N", and at the end
 * "result SUM". Exit 3: the two are not of the same round.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct state {
  int64_t round;
  uint64_t sum;
};

struct message {
  int64_t save; /* 1: save yourself, rather than a round */
  struct state state;
};

static volatile sig_atomic_t g_asked;

static void on_signal(int number) {
  (void)number;
  g_asked = 1;
}

static void die(const char* what) {
  printf("%s (errno %d)\n", what, errno);
  fflush(stdout);
  _exit(4);
}

static uint64_t mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

static void pause_ms(long ms) {
  struct timespec left = {ms / 1000, (ms % 1000) * 1000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

static void move_all(int fd, void* data, size_t size, int out) {
  char* at = data;
  while (size > 0) {
    const ssize_t moved = out ? send(fd, at, size, MSG_NOSIGNAL) : recv(fd, at, size, 0);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) die(out ? "send" : "the other is gone");
    at += moved;
    size -= (size_t)moved;
  }
}

static void put(const char* name, const struct state* state) {
  char early[64];
  snprintf(early, sizeof early, "%s.new", name);
  const int fd = open(early, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, state, sizeof *state) != (ssize_t)sizeof *state || fsync(fd) != 0) die("save");
  close(fd);
  if (rename(early, name) != 0) die("rename");
}

static struct state get(const char* name) {
  struct state state = {0, 1};
  const int fd = open(name, O_RDONLY);
  if (fd < 0) return state;
  if (read(fd, &state, sizeof state) != (ssize_t)sizeof state) die("read what was saved");
  close(fd);
  return state;
}

static int follow(int port) {
  struct state state = get("follow");
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 1) != 0) die("listen");
  const int fd = accept(listener, NULL, NULL);
  if (fd < 0) die("accept");
  struct message message;
  for (;;) {
    move_all(fd, &message, sizeof message, 0);
    if (message.state.round != state.round) {
      printf("follower: round %ld against %ld\n", (long)state.round, (long)message.state.round);
      return 3;
    }
    if (message.save) {
      pause_ms(300); /* a state of some size */
      put("follow", &state);
    } else {
      state.sum = mix(state.sum + message.state.sum);
      ++state.round;
    }
    message.state = state;
    move_all(fd, &message, sizeof message, 1);
  }
}

static int connect_to(const char* host, int port) {
  for (int attempt = 0; attempt < 200; ++attempt) {
    const struct hostent* entry = gethostbyname(host);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (entry == NULL) die("look up");
    memcpy(&address.sin_addr, entry->h_addr_list[0], sizeof address.sin_addr);
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr*)&address, sizeof address) == 0) return fd;
    close(fd);
    pause_ms(100);
  }
  die("connect");
  return -1;
}

static void save(int fd, const struct state* state) {
  struct message message = {1, *state};
  move_all(fd, &message, sizeof message, 1);
  move_all(fd, &message, sizeof message, 0);
  if (message.state.round != state->round) die("the follower saved another round");
  put("lead", state);
  printf("saved %ld\n", (long)state->round);
  const int done = open("saved", O_WRONLY | O_CREAT, 0644);
  if (done < 0) die("say that it is saved");
  close(done);
}

static int lead(const char* host, int port, long rounds, long pause) {
  struct state state = get("lead");
  printf("begins at %ld, restarted %s\n", (long)state.round, getenv("CACS_RESTARTED") ? getenv("CACS_RESTARTED") : "-");
  const int fd = connect_to(host, port);
  while (state.round < rounds) {
    struct message message = {0, state};
    move_all(fd, &message, sizeof message, 1);
    move_all(fd, &message, sizeof message, 0);
    if (message.state.round != state.round + 1) return 3;
    state.sum = mix(state.sum ^ message.state.sum);
    ++state.round;
    printf("round %ld %016lx\n", (long)state.round, (unsigned long)state.sum);
    if (g_asked) {
      g_asked = 0;
      save(fd, &state);
    }
    pause_ms(pause);
  }
  printf("result %016lx\n", (unsigned long)state.sum);
  return 0;
}

int main(int argc, char** argv) {
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &action, NULL);
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc == 4 && strcmp(argv[1], "follow") == 0) {
    return chdir(argv[3]) == 0 ? follow((int)strtol(argv[2], NULL, 10)) : 4;
  }
  if (argc == 7 && strcmp(argv[1], "lead") == 0 && chdir(argv[4]) == 0) {
    return lead(argv[2], (int)strtol(argv[3], NULL, 10), strtol(argv[5], NULL, 10), strtol(argv[6], NULL, 10));
  }
  return 2;
}
