// Timers of the kinds that are hard to bring back: a periodic timerfd whose expiry nobody has read yet, ones set to an
// absolute time that have fired, one that is still to fire and one that was switched off. What a program sees of them
// after a restore must be what it would have seen without.
//
//   timers ROUNDS      prints "round N" every 50 ms; at the end "result ok", or what was wrong and exit 3

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static void check(int good, const char* what) {
  if (good) return;
  printf("FAILED: %s\n", what);
  fflush(stdout);
  _exit(3);
}

static int timer(int clock, int flags, struct timespec value, long interval_ms) {
  struct itimerspec setting = {{interval_ms / 1000, interval_ms % 1000 * 1000000}, value};
  int fd = timerfd_create(clock, 0);
  check(fd >= 0 && timerfd_settime(fd, flags, &setting, NULL) == 0, "set a timer");
  return fd;
}

static struct timespec after_ms(int clock, long ms) {
  struct timespec at;
  clock_gettime(clock, &at);
  at.tv_nsec += ms % 1000 * 1000000;
  at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000;
  at.tv_nsec %= 1000000000;
  return at;
}

static uint64_t expiries(int fd) {
  uint64_t count = 0;
  check(read(fd, &count, sizeof count) == sizeof count, "read a timer");
  return count;
}

static int fires_within(int fd, int ms) {
  struct pollfd entry = {.fd = fd, .events = POLLIN};
  return poll(&entry, 1, ms) == 1;
}

int main(int argc, char** argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 100;
  const struct timespec soon = {0, 20 * 1000000};
  const struct timespec never = {0, 0};
  int unread = timer(CLOCK_MONOTONIC, 0, soon, 100);
  int unread_absolute = timer(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, after_ms(CLOCK_MONOTONIC, 20), 100);
  int unread_wall = timer(CLOCK_REALTIME, TFD_TIMER_ABSTIME, after_ms(CLOCK_REALTIME, 20), 100);
  int fired = timer(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, after_ms(CLOCK_MONOTONIC, 20), 0);
  int fired_wall = timer(CLOCK_REALTIME, TFD_TIMER_ABSTIME, after_ms(CLOCK_REALTIME, 20), 0);
  int off = timer(CLOCK_MONOTONIC, 0, never, 100);
  // Ten minutes from now: not while this program runs.
  int later = timer(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, after_ms(CLOCK_MONOTONIC, 600000), 0);
  int later_wall = timer(CLOCK_REALTIME, TFD_TIMER_ABSTIME, after_ms(CLOCK_REALTIME, 600000), 0);
  check(expiries(fired) == 1 && expiries(fired_wall) == 1, "a timer fires once");
  check(fires_within(unread, 5000) && fires_within(unread_absolute, 5000) && fires_within(unread_wall, 5000),
        "a periodic timer fires");

  for (int round = 0; round < rounds; ++round) {
    printf("round %d \n", round);
    fflush(stdout);
    usleep(50000);
  }

  const int periodic[] = {unread, unread_absolute, unread_wall};
  for (int i = 0; i < 3; ++i) {
    check(fires_within(periodic[i], 0) && expiries(periodic[i]) >= 1, "an expiry that nobody had read is lost");
    for (int again = 0; again < 3; ++again) {
      check(fires_within(periodic[i], 5000) && expiries(periodic[i]) >= 1, "a periodic timer has stopped");
    }
  }
  check(!fires_within(fired, 0) && !fires_within(fired_wall, 0), "a timer that had fired and been read fired again");
  check(!fires_within(off, 0), "a timer that was off fired");
  check(!fires_within(later, 0) && !fires_within(later_wall, 0), "a timer fired ten minutes early");
  struct itimerspec left;
  check(timerfd_gettime(fired, &left) == 0 && left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0,
        "a timer that had fired is armed");
  check(timerfd_gettime(off, &left) == 0 && left.it_value.tv_sec == 0 && left.it_interval.tv_nsec == 100000000,
        "a timer that was off is armed, or has lost its interval");
  check(timerfd_gettime(later, &left) == 0 && left.it_value.tv_sec > 300, "a later timer has lost its time");
  check(timerfd_gettime(later_wall, &left) == 0 && left.it_value.tv_sec > 300, "a later timer has lost its time");
  printf("result ok\n");
  return 0;
}
