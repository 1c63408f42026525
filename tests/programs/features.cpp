// A program with many threads that leans on the kernel: epoll, timerfd, eventfd, shared memory, a TCP connection to
// itself, a pipe to a child. It counts, and every count is checked by its receiver; any gap or repetition is exit 3.
//
//   features SECONDS-OF-WORK      prints "beat N" now and then, and at the end "result N messages"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace {

std::atomic<bool> g_done{false};

[[noreturn]] void die(const char* what) {
  std::printf("FAILED: %s\n", what);
  std::fflush(stdout);
  std::_Exit(3);
}

void check(bool good, const char* what) {
  if (!good) die(what);
}

/// Sends 0, 1, 2, ... and the other end checks that nothing is lost, repeated or reordered.
void send_counts(int fd, std::atomic<std::uint64_t>* sent) {
  std::uint64_t next = 0;
  while (!g_done) {
    check(write(fd, &next, sizeof next) == sizeof next, "send");
    ++next;
    sent->store(next);
    if (next % 64 == 0) usleep(2000);
  }
  const std::uint64_t end = ~std::uint64_t{0};
  check(write(fd, &end, sizeof end) == sizeof end, "send the end");
}

std::uint64_t receive_counts(int fd) {
  std::uint64_t expected = 0;
  while (true) {
    std::uint64_t got = 0;
    std::size_t filled = 0;
    while (filled < sizeof got) {
      const ssize_t n = read(fd, reinterpret_cast<char*>(&got) + filled, sizeof got - filled);
      check(n > 0, "receive");
      filled += static_cast<std::size_t>(n);
    }
    if (got == ~std::uint64_t{0}) return expected;
    check(got == expected, "a message is missing, repeated or out of order");
    ++expected;
  }
}

struct Connection {
  int client = -1;
  int server = -1;
};

Connection connect_to_self() {
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  check(bind(listener, reinterpret_cast<sockaddr*>(&address), length) == 0 && listen(listener, 1) == 0 &&
            getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) == 0,
        "listen");
  Connection connection;
  connection.client = socket(AF_INET, SOCK_STREAM, 0);
  check(connect(connection.client, reinterpret_cast<sockaddr*>(&address), length) == 0, "connect");
  connection.server = accept(listener, nullptr, nullptr);
  check(connection.server >= 0, "accept");
  close(listener);
  return connection;
}

}  // namespace

int main(int argc, char** argv) {
  const int beats = argc > 1 ? std::atoi(argv[1]) * 10 : 50;
  const Connection tcp = connect_to_self();
  int pipe_fds[2];
  check(pipe(pipe_fds) == 0, "pipe");
  const pid_t child = fork();
  if (child == 0) {
    close(pipe_fds[1]);
    receive_counts(pipe_fds[0]);
    std::_Exit(0);
  }
  close(pipe_fds[0]);
  const int shm = shm_open("/features", O_RDWR | O_CREAT, 0600);
  check(shm >= 0 && ftruncate(shm, 1 << 20) == 0, "shm_open");
  auto* shared =
      static_cast<std::atomic<std::uint64_t>*>(mmap(nullptr, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, shm, 0));

  std::atomic<std::uint64_t> tcp_sent{0};
  std::atomic<std::uint64_t> pipe_sent{0};
  std::uint64_t tcp_received = 0;
  std::thread tcp_sender(send_counts, tcp.client, &tcp_sent);
  std::thread tcp_receiver([&] { tcp_received = receive_counts(tcp.server); });
  std::thread pipe_sender(send_counts, pipe_fds[1], &pipe_sent);
  const int wake = eventfd(0, 0);
  std::thread incrementer([&] {
    while (!g_done) {
      shared[0].fetch_add(1);
      const std::uint64_t one = 1;
      check(write(wake, &one, sizeof one) == sizeof one, "eventfd");
      usleep(1000);
    }
  });

  const int epoll = epoll_create1(0);
  const int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  const itimerspec every{{0, 100'000'000}, {0, 100'000'000}};
  check(timerfd_settime(timer, 0, &every, nullptr) == 0, "timerfd");
  for (const int fd : {timer, wake}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
  }
  std::uint64_t woken = 0;
  for (int beat = 0; beat < beats;) {
    epoll_event event{};
    if (epoll_wait(epoll, &event, 1, 10'000) != 1) continue;
    std::uint64_t count = 0;
    check(read(event.data.fd, &count, sizeof count) == sizeof count, "read an event");
    if (event.data.fd == wake) {
      woken += count;
      continue;
    }
    beat += static_cast<int>(count);
    std::printf("beat %d\n", beat);
    std::fflush(stdout);
  }
  g_done = true;
  tcp_sender.join();
  tcp_receiver.join();
  pipe_sender.join();
  incrementer.join();
  int status = 0;
  check(waitpid(child, &status, 0) == child && status == 0, "the child ended badly");
  std::uint64_t left = 0;
  fcntl(wake, F_SETFL, O_NONBLOCK);
  if (read(wake, &left, sizeof left) == sizeof left) woken += left;
  check(woken == shared[0].load(), "wake-ups and shared memory do not agree");
  check(tcp_received == tcp_sent.load(), "not all TCP messages came");
  std::printf("result ok %d\n", tcp_received > 0 && pipe_sent.load() > 0);
  return 0;
}
