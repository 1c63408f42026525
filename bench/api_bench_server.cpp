// A server with the real API over applications in memory, for bench/api_bench.sh: prints its URL for one
// application and serves until its standard input ends.

#include <cstdio>

#include "api/fake_service.h"
#include "api/server.h"
#include "base/log.h"
#include "net/http_client.h"

int main() {
  cacs::init_logging("bench", "warn");
  cacs::api::testing::FakeService service;
  auto server = cacs::api::Server::start({.no_auth = true, .threads = 2}, service);
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.error().to_string().c_str());
    return 1;
  }
  cacs::application::Asr asr;
  asr.name = "bench";
  asr.command = {"mpirun", "-np", "4", "lmp", "-in", "in.melt"};
  const auto started = service.submit({}, asr);
  if (!started.ok()) return 1;
  std::printf("%s/v1/coordinators/%s\n", (*server)->url().c_str(), started->id.c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}
