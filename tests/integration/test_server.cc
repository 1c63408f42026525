#include "test_server.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>

#include "base/io.h"

namespace cacs::testing {

namespace {

/// Making a chroot is the longest that anything here takes.
constexpr int kLimitMilliseconds = 600'000;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return errno_error(errno, "pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

}  // namespace

TestServer::TestServer(std::string kind, Child child, UniqueFd commands, UniqueFd answers)
    : kind_(std::move(kind)), child_(std::move(child)), commands_(std::move(commands)), answers_(std::move(answers)) {}

TestServer::~TestServer() {
  commands_.reset();  // end of its standard input: it cleans up and ends
  static_cast<void>(child_.wait(std::chrono::seconds(30)));
}

Result<std::unique_ptr<TestServer>> TestServer::start(const std::string& kind) {
  CACS_ASSIGN(Pipe commands, make_pipe());
  CACS_ASSIGN(Pipe answers, make_pipe());
  const Command command{.argv = {"python3", std::string(CACS_SERVERS) + "/" + kind + ".py"},
                        .fds = {{commands.read.get(), 0}, {answers.write.get(), 1}, {2, 2}}};
  CACS_ASSIGN(Child child, spawn(command));
  answers.write.reset();
  std::unique_ptr<TestServer> server(
      new TestServer(kind, std::move(child), std::move(commands.write), std::move(answers.read)));
  CACS_ASSIGN(const std::string line, server->read_line());
  CACS_ASSIGN(server->ready_, parse_json_object(line, "what the server says of itself"));
  return server;
}

Result<std::string> TestServer::read_line() {
  std::string line;
  while (!line.ends_with('\n')) {
    pollfd entry{.fd = answers_.get(), .events = POLLIN, .revents = 0};
    char byte = 0;
    if (::poll(&entry, 1, kLimitMilliseconds) <= 0) return make_error(ErrorCode::kTimeout, kind_ + " says nothing");
    if (::read(answers_.get(), &byte, 1) != 1) return make_error(ErrorCode::kIo, kind_ + " did not start: see above");
    line += byte;
  }
  return line;
}

Status TestServer::command(const std::string& command) {
  CACS_TRY(write_full(commands_.get(), command + "\n"));
  CACS_ASSIGN(const std::string line, read_line());
  CACS_ASSIGN(const JsonObject answer, parse_json_object(line, "the server's answer"));
  CACS_ASSIGN(const std::string done, json_string(answer, "done"));
  if (done != command) return make_error(ErrorCode::kInternal, "the server did " + done + " instead of " + command);
  return {};
}

}  // namespace cacs::testing
