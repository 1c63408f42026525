#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "net/http_server.h"
#include "repository/backend/s3_backend.h"
#include "repository/backend/test_support.h"

namespace cacs::repository {

/// A server on loopback that answers as a test tells it: for what no real store can be made to say. It notes what it
/// was asked.
class TestHttpServer {
 public:
  explicit TestHttpServer(net::Handler handler) : handler_(std::move(handler)) {
    std::vector<net::Route> routes;
    for (const char* method : {"GET", "PUT", "POST", "DELETE", "HEAD"}) {
      for (const char* pattern : {"/", "/{a}", "/{a}/", "/{a}/{b}", "/{a}/{b}/{c}", "/{a}/{b}/{c}/", "/{a}/{b}/{c}/{d}",
                                  "/{a}/{b}/{c}/{d}/", "/{a}/{b}/{c}/{d}/{e}"}) {
        routes.push_back({.method = method, .pattern = pattern, .handler = [this](const net::Request& request) {
                            {
                              const std::lock_guard lock(mutex_);
                              asked_.push_back(request.method + " " + request.target);
                            }
                            return handler_(request);
                          }});
      }
    }
    auto server = net::HttpServer::start({}, std::move(routes));
    EXPECT_OK(server);
    if (server.ok()) server_ = std::move(server).value();
  }

  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + std::to_string(server_->port()); }
  [[nodiscard]] std::vector<std::string> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  net::Handler handler_;
  mutable std::mutex mutex_;
  std::vector<std::string> asked_;
  std::unique_ptr<net::HttpServer> server_;
};

}  // namespace cacs::repository
