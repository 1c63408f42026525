#include "repository/keys/prompt.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "base/fd.h"
#include "base/io.h"

namespace cacs::repository {

namespace {

constexpr char kInterrupt = 3;
constexpr char kEndOfFile = 4;
constexpr char kBackspace = 8;
constexpr char kKillLine = 21;
constexpr char kDelete = 127;

/// While it lives, signals that would end or stop the program wait, and `pending` becomes readable when there is one.
class HeldSignals {
 public:
  HeldSignals() {
    sigset_t held;
    sigemptyset(&held);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP}) sigaddset(&held, number);
    ::pthread_sigmask(SIG_BLOCK, &held, &before_);
    pending.reset(::signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  HeldSignals(const HeldSignals&) = delete;
  HeldSignals& operator=(const HeldSignals&) = delete;
  /// What came meanwhile takes effect here.
  ~HeldSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  UniqueFd pending;

 private:
  sigset_t before_{};
};

/// While it lives, the terminal shows nothing and hands over every key as it is.
class SilentTerminal {
 public:
  explicit SilentTerminal(int fd) : fd_(fd) {
    is_terminal_ = ::tcgetattr(fd, &before_) == 0;
    if (!is_terminal_) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHOE | ECHOK | ECHONL | ICANON | ISIG | IEXTEN);
    silent.c_cc[VMIN] = 1;
    silent.c_cc[VTIME] = 0;
    is_terminal_ = ::tcsetattr(fd, TCSAFLUSH, &silent) == 0;
  }
  SilentTerminal(const SilentTerminal&) = delete;
  SilentTerminal& operator=(const SilentTerminal&) = delete;
  ~SilentTerminal() {
    if (is_terminal_) ::tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  [[nodiscard]] bool is_terminal() const { return is_terminal_; }

 private:
  int fd_;
  bool is_terminal_ = false;
  termios before_{};
};

Error given_up() {
  return make_error(ErrorCode::kAborted, "ask for a passphrase: given up at the terminal", "nothing was changed");
}

/// The next key; kAborted when a signal came, or the terminal is gone.
Result<char> next_key(int terminal, int signals) {
  while (true) {
    std::array<pollfd, 2> waiting{pollfd{terminal, POLLIN, 0}, pollfd{signals, POLLIN, 0}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "wait for the terminal");
    }
    if (waiting[1].revents != 0) return given_up();
    char key = 0;
    const ssize_t got = ::read(terminal, &key, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, "read from the terminal");
    if (got == 0) return given_up();
    return key;
  }
}

/// Bytes of UTF-8 that go on with a character: backspace takes them away with its first.
bool continues_character(std::byte byte) { return (byte & std::byte{0xc0}) == std::byte{0x80}; }

Result<SecretBytes> read_line(int terminal, int signals) {
  SecretBytes line(Passphrase::kMaxBytes + 1);
  const auto bytes = line.bytes();
  std::size_t length = 0;
  while (true) {
    CACS_ASSIGN(const char key, next_key(terminal, signals));
    if (key == '\n' || key == '\r') return SecretBytes(std::span<const std::byte>(bytes).first(length));
    if (key == kInterrupt || key == kEndOfFile) return given_up();
    if (key == kKillLine) {
      length = 0;
    } else if (key == kBackspace || key == kDelete) {
      while (length > 0 && continues_character(bytes[length - 1])) --length;
      if (length > 0) --length;
    } else if (length < bytes.size()) {
      // What goes past the bound is refused as too long afterwards, not cut off silently.
      bytes[length++] = std::byte(static_cast<unsigned char>(key));
    }
  }
}

Result<SecretBytes> ask_once(int terminal, int signals, const std::string& question) {
  CACS_TRY(write_full(terminal, question).context("write to the terminal"));
  auto line = read_line(terminal, signals);
  CACS_TRY(write_full(terminal, "\n").context("write to the terminal"));
  return line;
}

}  // namespace

Result<Passphrase> ask(const Prompt& prompt) {
  const HeldSignals held;
  if (!held.pending.valid()) return errno_error(errno, "ask for a passphrase: signalfd");
  const auto no_terminal = [&] {
    return make_error(ErrorCode::kNotFound, "ask for a passphrase: " + prompt.terminal.string() + " is no terminal",
                      "set CACS_PASSPHRASE_COMMAND, CACS_PASSPHRASE_FILE or CACS_KEY_FILE");
  };
  auto terminal = open_file(prompt.terminal, O_RDWR | O_NOCTTY);
  if (!terminal) return no_terminal();
  const int fd = terminal->get();
  const SilentTerminal silent(fd);
  if (!silent.is_terminal()) return no_terminal();
  CACS_ASSIGN(const SecretBytes line, ask_once(fd, held.pending.get(), prompt.question));
  if (!prompt.again.empty()) {
    CACS_ASSIGN(const SecretBytes second, ask_once(fd, held.pending.get(), prompt.again));
    if (line.text() != second.text())
      return make_error(ErrorCode::kInvalidArgument, "the two passphrases are not the same", "try again");
  }
  return Passphrase::from(line.text());
}

}  // namespace cacs::repository
