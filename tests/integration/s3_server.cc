#include "s3_server.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>

#include "base/io.h"
#include "base/json.h"
#include "repository/backend/s3_client.h"

namespace cacs::testing {

namespace {

using repository::S3Options;

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

S3Server::S3Server(std::string kind, Child child, UniqueFd commands, UniqueFd answers)
    : kind_(std::move(kind)), child_(std::move(child)), commands_(std::move(commands)), answers_(std::move(answers)) {}

S3Server::~S3Server() {
  commands_.reset();  // end of its standard input: it cleans up and ends
  static_cast<void>(child_.wait(std::chrono::seconds(30)));
}

Result<std::unique_ptr<S3Server>> S3Server::start(const std::string& kind) {
  CACS_ASSIGN(Pipe commands, make_pipe());
  CACS_ASSIGN(Pipe answers, make_pipe());
  const Command command{.argv = {"python3", std::string(CACS_SERVERS) + "/" + kind + ".py"},
                        .fds = {{commands.read.get(), 0}, {answers.write.get(), 1}, {2, 2}}};
  CACS_ASSIGN(Child child, spawn(command));
  answers.write.reset();
  std::unique_ptr<S3Server> server(
      new S3Server(kind, std::move(child), std::move(commands.write), std::move(answers.read)));
  CACS_ASSIGN(const std::string line, server->read_line());
  CACS_ASSIGN(const JsonObject ready, parse_json_object(line, "what the server says of itself"));
  CACS_ASSIGN(server->endpoint_, json_string(ready, "endpoint"));
  CACS_ASSIGN(server->region_, json_string(ready, "region"));
  CACS_ASSIGN(server->keys_.access_key, json_string(ready, "access_key"));
  CACS_ASSIGN(server->keys_.secret_key, json_string(ready, "secret_key"));
  return server;
}

Result<std::string> S3Server::read_line() {
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

Status S3Server::command(const std::string& command) {
  CACS_TRY(write_full(commands_.get(), command + "\n"));
  CACS_ASSIGN(const std::string line, read_line());
  CACS_ASSIGN(const JsonObject answer, parse_json_object(line, "the server's answer"));
  CACS_ASSIGN(const std::string done, json_string(answer, "done"));
  if (done != command) return make_error(ErrorCode::kInternal, "the server did " + done + " instead of " + command);
  return {};
}

S3Options S3Server::options(const std::string& bucket, const std::string& prefix) const {
  S3Options options;
  options.bucket = bucket;
  options.prefix = prefix;
  options.endpoint = endpoint_;
  options.region = region_;
  return options;
}

std::shared_ptr<repository::CredentialSource> S3Server::credentials() const {
  return repository::fixed_credentials(keys_);
}

Status S3Server::make_bucket(const std::string& bucket) const {
  CACS_ASSIGN(const auto client, repository::S3Client::make(options(bucket), credentials()));
  CACS_TRY(client->call({.method = "PUT"}, "make a bucket"));
  return {};
}

}  // namespace cacs::testing
