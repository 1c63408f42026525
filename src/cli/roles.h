#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace cacs::cli {

/// Flags of `cacs server`.
struct ServerOptions {
  std::filesystem::path state;      ///< empty: the server's own default
  std::vector<std::string> listen;  ///< "unix:/path" or "http://host:port"; empty: the server's own default
  std::string remote;               ///< location of the remote level; empty: none
  std::uint64_t remote_rate = 0;    ///< bytes a second that each node sends there; 0: no limit
  int local_nodes = 1;              ///< that this machine is presented as
  bool no_auth = false;
  bool embedded = false;  ///< end when there is neither an application at work nor a client
  int ready_fd = -1;      ///< where set: write one byte there once ready, then close it
  std::string log_level = "info";
};

/// Flags of `cacs agent`. `arguments` is what the agent's own parser takes.
struct AgentOptions {
  std::filesystem::path state;
  std::string log_level = "info";
  std::vector<std::string> arguments;
};

/// One line of `cacs check`.
struct CheckRow {
  std::string name;  ///< "kernel: time namespaces"
  bool ok = false;
  std::string detail;  ///< what was found
  std::string advice;  ///< what to do about it; empty when ok
};

struct CheckOptions {
  std::filesystem::path state;  ///< where space is looked for; empty: the default
};

/// What other components give to the command line; main fills it in. A hook that is not set is a role that this build
/// lacks: its command says so and fails. A hook's int is the exit code.
struct Roles {
  std::function<Result<int>(const ServerOptions&)> server;
  std::function<Result<int>(const AgentOptions&)> agent;
  std::function<Result<int>(const std::vector<std::string>& arguments)> shim;
  std::function<Result<std::vector<CheckRow>>(const CheckOptions&)> check;
};

}  // namespace cacs::cli
