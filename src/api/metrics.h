#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/operation.h"

namespace cacs::api {

/// What the server counts of itself, for Prometheus. Any thread.
class Metrics {
 public:
  explicit Metrics(const std::vector<Operation>& operations);
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;
  ~Metrics();

  /// One answer went out. `route` as matched, with or without /v1; empty where none was.
  void observe(std::string_view method, std::string_view route, int status, std::chrono::nanoseconds took);

  /// Everything in Prometheus' text format, with the gauges read just now.
  std::string collect(application::Service& service, const net::ServerStats& stats);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cacs::api
