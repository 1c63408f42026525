#include "cli/test_server.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace cacs::cli {

TestServer::TestServer() {
  std::vector<net::Route> routes;
  const net::Handler handler = [this](const net::Request& request) { return serve(request); };
  for (const char* method : {"GET", "POST", "DELETE"}) {
    for (const char* pattern : {"/version", "/v1/coordinators", "/v1/coordinators/{id}", "/v1/coordinators/{id}/{what}",
                                "/v1/coordinators/{id}/{what}/{cid}", "/v1/operations/{id}"}) {
      routes.push_back({.method = method, .pattern = pattern, .handler = handler});
    }
  }
  net::Route logs{.method = "GET", .pattern = "/v1/coordinators/{id}/logs", .kind = net::RouteKind::kLong};
  logs.stream = [this](const net::Request& request, net::ResponseStream& stream) { serve_logs(request, stream); };
  routes.push_back(std::move(logs));
  net::ServerOptions options;
  options.unix_socket = dir_.path() / "server.sock";
  auto started = net::HttpServer::start(std::move(options), std::move(routes));
  if (!started) std::abort();
  server_ = *std::move(started);
}

void TestServer::answer(const std::string& what, int status, const std::string& body, const std::string& location) {
  const std::scoped_lock lock(mutex_);
  canned_[what] = {.status = status, .bodies = {body}, .location = location};
}

void TestServer::answers(const std::string& what, std::vector<std::string> bodies) {
  const std::scoped_lock lock(mutex_);
  std::reverse(bodies.begin(), bodies.end());
  canned_[what] = {.status = 200, .bodies = std::move(bodies), .location = {}};
}

void TestServer::release_logs() {
  {
    const std::scoped_lock lock(mutex_);
    held_ = false;
  }
  changed_.notify_all();
}

void TestServer::remember(const net::Request& request) {
  {
    const std::scoped_lock lock(mutex_);
    requests_.push_back(request);
  }
  changed_.notify_all();
}

net::Response TestServer::serve(const net::Request& request) {
  remember(request);
  const std::scoped_lock lock(mutex_);
  const auto found = canned_.find(request.method + " " + request.path);
  if (found == canned_.end()) {
    return net::problem_response(make_error(ErrorCode::kNotFound, "there is no " + request.path));
  }
  Canned& canned = found->second;
  net::Response response = net::json_response(canned.status, canned.bodies.back());
  if (canned.bodies.size() > 1) canned.bodies.pop_back();
  if (!canned.location.empty()) response.headers.add("location", canned.location);
  return response;
}

void TestServer::serve_logs(const net::Request& request, net::ResponseStream& stream) {
  remember(request);
  if (request.headers.get("accept") == "text/plain") {
    const std::string* name = net::find_query(request.query, "stream");
    Status sent = stream.respond(net::text_response(200, name == nullptr ? "" : "plain " + *name + " \x1b[1m\n"));
    return;
  }
  std::vector<std::string> records;
  {
    const std::scoped_lock lock(mutex_);
    if (!log_streams_.empty()) records = log_streams_[std::min(log_connections_, log_streams_.size() - 1)];
    ++log_connections_;
  }
  net::Response head;
  head.headers.add("content-type", "text/event-stream");
  if (!stream.start(head).ok()) return;
  for (const auto& record : records) {
    if (!stream.write(record).ok()) return;
  }
  std::unique_lock lock(mutex_);
  while (held_ && !request.stopping() && !stream.gone()) changed_.wait_for(lock, std::chrono::milliseconds(50));
}

std::vector<std::string> TestServer::requests() {
  const std::scoped_lock lock(mutex_);
  std::vector<std::string> all;
  for (const auto& request : requests_) all.push_back(request.method + " " + request.target);
  return all;
}

net::Request TestServer::last(const std::string& what) {
  const std::scoped_lock lock(mutex_);
  for (auto it = requests_.rbegin(); it != requests_.rend(); ++it) {  // NOLINT(modernize-loop-convert): newest first
    if ((it->method + " " + it->target).starts_with(what)) return *it;
  }
  ADD_FAILURE() << "no request " << what;
  return {};
}

bool TestServer::wait_for(const std::string& what, std::ptrdiff_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(20), [&] {
    return std::count_if(requests_.begin(), requests_.end(), [&](const net::Request& request) {
             return (request.method + " " + request.target).starts_with(what);
           }) >= count;
  });
}

Command TestServer::command(std::vector<std::string> arguments, std::vector<std::string> more_env) const {
  Command command;
  command.argv = {CACS_BINARY};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.env = std::vector<std::string>{"HOME=" + dir_.path().string(), "PATH=/usr/bin:/bin", "TERM=xterm",
                                         "CACS_SERVER=" + address()};
  // In front: the first of two variables of one name counts.
  command.env->insert(command.env->begin(), more_env.begin(), more_env.end());
  return command;
}

Captured TestServer::run(std::vector<std::string> arguments, std::vector<std::string> more_env) {
  auto captured = run_command(command(std::move(arguments), std::move(more_env)), std::chrono::seconds(30));
  if (captured) return *std::move(captured);
  ADD_FAILURE() << captured.error().to_string();
  return {};
}

std::string output_event(std::uint64_t offset, const std::string& base64, const std::string& stream) {
  return "event: output\ndata: " +
         boost::json::serialize(
             JsonObject{{"incarnation", 1}, {"stream", stream}, {"offset", offset}, {"data", base64}}) +
         "\n\n";
}

std::string with_id(const std::string& id, const std::string& event) { return "id: " + id + "\n" + event; }

std::string rollback_event(std::uint64_t offset) {
  return "event: rollback\ndata: " +
         boost::json::serialize(
             JsonObject{{"rollback", true}, {"incarnation", 2}, {"stream", "stdout"}, {"offset", offset}}) +
         "\n\n";
}

std::string end_event(const std::string& exit) { return "event: end\ndata: {\"exit\": " + exit + "}\n\n"; }

}  // namespace cacs::cli
