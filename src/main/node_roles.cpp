#include "main/node_roles.h"

#include <fcntl.h>

#include <cstdlib>
#include <map>

#include "agent/agent.h"
#include "base/text.h"
#include "engine/criu.h"
#include "main/paths.h"
#include "pod/shim.h"

namespace cacs::main {

namespace {

using Flags = std::map<std::string, std::string>;

/// "--name value" pairs, and names that stand alone. Our own processes write these command lines, so anything else is a
/// mistake to be named.
Result<Flags> parse_flags(const std::vector<std::string>& arguments, const std::vector<std::string>& known) {
  Flags flags;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if ((word == "--adopt" || word == "--switch") && std::find(known.begin(), known.end(), word) != known.end()) {
      flags[word] = "yes";
      continue;
    }
    if (std::find(known.begin(), known.end(), word) == known.end() || i + 1 >= arguments.size()) {
      return make_error(ErrorCode::kInvalidArgument, "unexpected argument '" + printable(word) + "'",
                        "this command is for CACS's own processes");
    }
    flags[word] = arguments[++i];
  }
  return flags;
}

Result<std::string> need(const Flags& flags, const std::string& name) {
  const auto found = flags.find(name);
  if (found != flags.end() && !found->second.empty()) return found->second;
  return make_error(ErrorCode::kInvalidArgument, name + " is missing");
}

/// The number of a descriptor that is open, -1 where none is named. What we start later is not to have it by accident.
Result<int> descriptor(const Flags& flags, const std::string& name) {
  const auto found = flags.find(name);
  if (found == flags.end()) return -1;
  const int fd = static_cast<int>(std::strtol(found->second.c_str(), nullptr, 10));
  if (fd > 2 && ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) return fd;
  return make_error(ErrorCode::kInvalidArgument, name + " is not open");
}

}  // namespace

Result<int> run_agent_role(const std::vector<std::string>& arguments) {
  CACS_ASSIGN(const Flags flags,
              parse_flags(arguments, {"--state", "--node", "--mask", "--remote", "--remote-rate", "--listen",
                                      "--listen-peers", "--tls", "--cluster-key", "--network-fd", "--hold-fd"}));
  agent::AgentOptions options;
  CACS_ASSIGN(options.state_dir, need(flags, "--state"));
  CACS_ASSIGN(options.node, need(flags, "--node"));
  options.state_dir = std::filesystem::absolute(options.state_dir);
  const auto mask = flags.find("--mask");
  options.mask_dir = mask == flags.end() ? options.state_dir : std::filesystem::absolute(mask->second);
  if (const auto remote = flags.find("--remote"); remote != flags.end()) options.remote = remote->second;
  if (const auto rate = flags.find("--remote-rate"); rate != flags.end()) {
    CACS_ASSIGN(options.remote_rate, parse_size(rate->second));
  }
  if (const auto listen = flags.find("--listen"); listen != flags.end()) {
    options.listen = listen->second;
    if (const auto peers = flags.find("--listen-peers"); peers != flags.end()) options.listen_peers = peers->second;
    if (const auto key = flags.find("--cluster-key"); key != flags.end()) options.cluster_key = key->second;
    CACS_ASSIGN(options.tls, need(flags, "--tls"));
  }
  CACS_ASSIGN(options.network_fd, descriptor(flags, "--network-fd"));
  CACS_ASSIGN(options.hold_fd, descriptor(flags, "--hold-fd"));
  CACS_ASSIGN(options.program, own_program());
  CACS_ASSIGN(options.init_program, find_init_program());
  // Without it programs that save themselves still run; that it is missing is what the engine's probe finds.
  const auto criu = engine::find_criu();
  options.criu = criu ? *criu : "criu";
  return agent::run_agent(options);
}

Result<int> run_shim_role(const std::vector<std::string>& arguments) {
  CACS_ASSIGN(const Flags flags, parse_flags(arguments, {"--dir", "--delta", "--state", "--mask", "--init", "--criu",
                                                         "--adopt", "--switch"}));
  pod::ShimOptions options;
  CACS_ASSIGN(options.layout.dir, need(flags, "--dir"));
  CACS_ASSIGN(options.layout.delta, need(flags, "--delta"));
  CACS_ASSIGN(options.state_dir, need(flags, "--state"));
  CACS_ASSIGN(options.mask_dir, need(flags, "--mask"));
  CACS_ASSIGN(options.init_program, need(flags, "--init"));
  CACS_ASSIGN(options.criu, need(flags, "--criu"));
  options.adopt = flags.count("--adopt") != 0;
  if (flags.count("--switch") != 0) options.switch_fd = pod::Shim::kSwitchFd;
  return pod::run_shim(options);
}

}  // namespace cacs::main
