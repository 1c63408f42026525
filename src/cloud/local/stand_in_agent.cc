// A program that stands in for `cacs agent` in tests of clouds: a real process with the agent's arguments, which serves
// GET /v1/info (docs/agent-api.md) on a real socket until SIGTERM. With a file `die` in its directory it ends at once.
#include <boost/json/serialize.hpp>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "base/json.h"
#include "net/http_server.h"

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv, argv + argc);
  if (args.size() != 8 || args[1] != "agent" || args[2] != "--state" || args[4] != "--node") return 2;
  const std::filesystem::path directory = args[3];
  std::cerr << "agent of " << args[5] << " starts\n";
  if (std::filesystem::exists(directory / "die")) {
    std::cerr << "told to die\n";
    return 3;
  }
  // Before any thread is there, so that all of them have it blocked and sigwait gets it.
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigprocmask(SIG_BLOCK, &terminate, nullptr);

  cacs::net::ServerOptions options;
  options.unix_socket = directory / "agent.sock";
  options.threads = 1;
  const std::string info = boost::json::serialize(cacs::JsonObject{{"node", args[5]}, {"pid", getpid()}});
  auto server = cacs::net::HttpServer::start(
      std::move(options), {{.method = "GET",
                            .pattern = "/v1/info",
                            .kind = cacs::net::RouteKind::kInline,
                            .handler = [info](const auto&) { return cacs::net::json_response(200, info); },
                            .stream = {}}});
  if (!server.ok()) {
    std::cerr << server.error().to_string() << "\n";
    return 1;
  }
  int number = 0;
  sigwait(&terminate, &number);
  return 0;
}
