#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "pod/self_saving.h"
#include "pod/switch.h"

namespace cacs::pod {

struct FileSpec {
  std::string path;
  std::string content;
  unsigned mode = 0644;
};

struct MountSpec {
  std::string source;
  std::string target;
  bool read_only = false;
  bool rollback = false;
};

struct HostName {
  std::string name;
  std::string address;
};

/// Where a node that has nothing of the pod in its repository can get it from.
struct PartSource {
  std::string node;    ///< of another agent, which permits it (docs/agent-api.md, exports): its name,
  std::string agent;   ///< where it hears other agents ("address:port"),
  std::string ticket;  ///< and what it gave for it
  std::string place;   ///< or: the location of another node's remote level
};

/// Everything a node must know to make one pod (docs/agent-api.md, PodSpec).
struct PodSpec {
  std::string application;
  std::string pod;   ///< "pod-0"
  std::string name;  ///< the application's, for people
  int incarnation = 0;
  std::string tenant = "default";
  std::vector<std::string> command;  ///< empty: it only runs what other pods launch in it
  std::map<std::string, std::string> env;
  std::string workdir = "/";
  std::string user = "root";
  std::vector<FileSpec> files;
  double cpus = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t disk_bytes = 0;
  std::uint64_t pids = 0;
  std::vector<MountSpec> mounts;
  std::string address = "10.77.0.1";
  int prefix = 16;
  std::vector<HostName> hosts;       ///< all pods of the application, this one included; empty: this one only
  std::optional<Underlay> underlay;  ///< where others are on other nodes
  bool egress = true;
  std::string base = "host";
  std::string engine = "criu";
  std::optional<SelfSaving> self_saving;  ///< no engine saves its processes
  bool reset_external_connections = false;
  std::string restore_checkpoint;           ///< empty: start from nothing
  std::vector<PartSource> restore_sources;  ///< in the order in which they are to be tried

  [[nodiscard]] std::string uid() const { return application + "." + pod; }
  /// Whether there are other pods that it is connected with.
  [[nodiscard]] bool connected() const { return hosts.size() > 1; }
  /// Whether what comes back of a checkpoint are files alone, and a command is run on them.
  [[nodiscard]] bool restarts() const { return self_saving.has_value() && !restore_checkpoint.empty(); }
  /// What runs in it this time: the application's command, or the one for a restart.
  [[nodiscard]] const std::vector<std::string>& command_to_run() const {
    const bool other = restarts() && !command.empty() && !self_saving->restart_command.empty();
    return other ? self_saving->restart_command : command;
  }
};

/// Checks every bound again: the agent does not trust that the server did.
Result<PodSpec> parse_pod_spec(const JsonObject& object);
JsonObject pod_spec_to_json(const PodSpec& spec);

/// Whether `uid` is "<uuid>.pod-N"; nothing else ever becomes part of a path.
bool is_pod_uid(std::string_view uid);

}  // namespace cacs::pod
