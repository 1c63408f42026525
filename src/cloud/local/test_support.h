#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include "cloud/local/local_cloud.h"

namespace cacs::cloud {

/// A local cloud in a directory of its own, with the stand-in as its agents; at the end they are stopped and all is
/// gone.
class LocalCloudFixture {
 public:
  explicit LocalCloudFixture(int nodes) {
    std::string name = (std::filesystem::temp_directory_path() / "cacs-cloud-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    options.state = name;
    options.program = CACS_STAND_IN_AGENT;
    options.nodes = nodes;
    options.first_backoff = std::chrono::milliseconds(20);
    reopen();
  }
  LocalCloudFixture(const LocalCloudFixture&) = delete;
  LocalCloudFixture& operator=(const LocalCloudFixture&) = delete;
  ~LocalCloudFixture() {
    const Status stopped = cloud->stop_agents();
    cloud.reset();
    std::error_code ignored;
    if (stopped.ok()) std::filesystem::remove_all(options.state, ignored);
  }
  /// As a server that was killed and started again does.
  void reopen() {
    cloud.reset();
    auto opened = LocalCloud::open(options);
    if (!opened.ok()) throw std::runtime_error(opened.error().to_string());
    cloud = std::move(*opened);
  }
  [[nodiscard]] std::filesystem::path node() const { return options.state / "nodes" / "local-0"; }

  LocalCloudOptions options;
  std::unique_ptr<LocalCloud> cloud;
};

}  // namespace cacs::cloud
