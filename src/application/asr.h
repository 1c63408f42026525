#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace cacs::application {

struct AsrFile {
  std::string path;     ///< absolute path in the pod
  std::string content;  ///< bytes
  unsigned mode = 0644;
};

struct AsrMount {
  std::string source;
  std::string target;
  bool read_only = false;
  bool rollback = false;  ///< its files are captured with the delta and rolled back
};

struct AsrSecret {
  std::string name;
  std::string env;  ///< the variable of the application that gets it
};

/// An Application Submission Request: everything a user says of an application (the REST contract's "ASR"). Defaults
/// make a laptop user happy: one pod, one node, this machine.
struct Asr {
  std::string name;
  std::vector<std::string> command;
  std::vector<AsrFile> files;
  std::string workdir = "/";
  std::map<std::string, std::string> env;
  std::set<std::string> secret_env;  ///< names in `env` that are never echoed, logged or stored in clear
  std::vector<AsrSecret> secrets;
  std::string user;  ///< empty: the one the server runs as
  std::string cloud = "local";
  int pods = 1;
  int node_count = 1;
  std::string node_template;
  double cpus = 0;                 ///< for each pod; 0: no limit
  std::uint64_t memory_bytes = 0;  ///< 0: no limit
  std::uint64_t disk_bytes = 0;    ///< 0: no limit
  std::string base = "host";
  std::vector<std::string> provision;
  std::vector<AsrMount> mounts;
  bool egress = true;
  std::vector<int> ports;
  std::string engine = "criu";
  JsonObject engine_options;
  std::optional<std::chrono::milliseconds> checkpoint_interval;  ///< unset: none
  bool checkpoint_interval_auto = false;                         ///< from cost and failure rate (Young/Daly)
  int checkpoint_keep = 5;
  std::vector<std::string> checkpoint_levels{"local"};
  bool reset_external_connections = false;
  std::vector<std::string> health_command;
  std::chrono::milliseconds health_interval{10'000};
  std::chrono::milliseconds health_timeout{5'000};
  int recovery_max_attempts = 5;
  bool restart_on_signal = true;
  bool restart_on_oom = true;
  std::set<int> restart_on_codes;
  std::string fence = "lease";
  std::chrono::milliseconds time_limit{
      0};  ///< wall time given with the job: a checkpoint is taken before it is over; 0: none
  int priority = 0;
};

/// An ASR from a request body. Unknown fields are an error that names the field, its place and the nearest valid name;
/// so are mistyped values and values out of bounds. Never throws; safe on hostile input (fuzzed).
Result<Asr> parse_asr(const JsonObject& body);

/// The ASR as the API shows it: normalised, secret values replaced by "***".
JsonObject asr_to_json(const Asr& asr);

/// Whole, for the database (secret values are included only with `with_secrets`).
JsonObject asr_to_stored_json(const Asr& asr, bool with_secrets);
Result<Asr> asr_from_stored_json(const JsonObject& object);

}  // namespace cacs::application
