// A TCP stream whose every byte is checked, both ways at once, faster sent than read, so that all buffers are full:
//   stream serve PORT MIB       stream connect HOST PORT MIB
// Prints "MIB read" as it goes, and "result ok" at the end.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kPiece = 1 << 14 };

/// Byte `at` of the stream of one side: a generator that can be entered anywhere.
static uint8_t byte_at(uint64_t at, uint64_t side) {
  uint64_t x = (at >> 3) + side * 0x9E3779B97F4A7C15u;
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9u;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBu;
  x ^= x >> 31;
  return (uint8_t)(x >> (8 * (at & 7)));
}

static int listen_once(const char* port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  const int on = 1;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr*)&at, sizeof at) != 0 || listen(fd, 1) != 0) return -1;
  const int peer = accept(fd, NULL, NULL);
  close(fd);
  return peer;
}

static int connect_to(const char* host, const char* port) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
  for (int round = 0; round < 600; ++round) {
    struct addrinfo* found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0) return -1;
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    const int connected = connect(fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (connected == 0) return fd;
    close(fd);
    usleep(100000);
  }
  return -1;
}

int main(int argc, char** argv) {
  const int serving = argc == 4 && strcmp(argv[1], "serve") == 0;
  if (!serving && !(argc == 5 && strcmp(argv[1], "connect") == 0)) {
    fputs("usage: stream serve PORT MIB | stream connect HOST PORT MIB\n", stderr);
    return 2;
  }
  const int fd = serving ? listen_once(argv[2]) : connect_to(argv[2], argv[3]);
  if (fd < 0) {
    perror("stream");
    return 1;
  }
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  const uint64_t total = strtoull(argv[argc - 1], NULL, 10) << 20;
  uint64_t sent = 0;
  uint64_t read_so_far = 0;
  static uint8_t out[kPiece];
  static uint8_t in[kPiece];
  while (sent < total || read_so_far < total) {
    struct pollfd waiting = {fd, (short)((sent < total ? POLLOUT : 0) | POLLIN), 0};
    poll(&waiting, 1, -1);
    while (sent < total) {
      const size_t size = total - sent < kPiece ? (size_t)(total - sent) : kPiece;
      for (size_t i = 0; i < size; ++i) out[i] = byte_at(sent + i, (uint64_t)serving);
      const ssize_t put = send(fd, out, size, MSG_NOSIGNAL);
      if (put < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (put <= 0) {
        perror("stream: send");
        return 1;
      }
      sent += (uint64_t)put;
    }
    if ((waiting.revents & POLLIN) == 0) continue;
    const ssize_t got = recv(fd, in, sizeof in, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) {
      fprintf(stderr, "stream: the other side is gone after %llu bytes: %s\n", (unsigned long long)read_so_far,
              got < 0 ? strerror(errno) : "end of stream");
      return 1;
    }
    for (ssize_t i = 0; i < got; ++i) {
      if (in[i] == byte_at(read_so_far + (uint64_t)i, (uint64_t)!serving)) continue;
      fprintf(stderr, "stream: byte %llu is wrong\n", (unsigned long long)(read_so_far + (uint64_t)i));
      return 1;
    }
    const uint64_t before = read_so_far >> 20;
    read_so_far += (uint64_t)got;
    if (read_so_far >> 20 != before) {
      printf("%s: %llu MiB\n", argv[1], (unsigned long long)(read_so_far >> 20));
      fflush(stdout);
    }
    const struct timespec slow = {0, 1000000};
    nanosleep(&slow, NULL);
  }
  printf("%s: result ok\n", argv[1]);
  return 0;
}
