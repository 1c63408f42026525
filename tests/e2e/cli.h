#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/process.h"

namespace cacs::e2e {

/// Calls the real `cacs` as a user's shell does, with an environment of its own.
class CommandLineUser {
 public:
  /// HOME and the XDG directories lie below `home`.
  explicit CommandLineUser(std::filesystem::path home);

  void set(const std::string& variable, const std::string& value) { env_[variable] = value; }
  /// For what starts it otherwise: on a terminal, in the background.
  [[nodiscard]] Command command(std::vector<std::string> arguments) const;
  [[nodiscard]] Captured run(std::vector<std::string> arguments, std::chrono::seconds limit = std::chrono::seconds(90),
                             const std::string& input = {}) const;
  /// One that must succeed: what it printed.
  [[nodiscard]] std::string must(std::vector<std::string> arguments) const;
  /// The same with -o json, parsed.
  [[nodiscard]] JsonObject json(std::vector<std::string> arguments) const;
  [[nodiscard]] std::string state_of(const std::string& application) const;
  [[nodiscard]] bool wait_state(const std::string& application, const std::string& state) const;
  [[nodiscard]] bool wait_logs(const std::string& application, const std::string& text) const;

  [[nodiscard]] const std::filesystem::path& home() const { return home_; }

 private:
  std::filesystem::path home_;
  std::map<std::string, std::string> env_;
};

/// Looks again and again, for what has no event outside of the service.
bool wait_for(const std::function<bool()>& done, std::chrono::seconds limit = std::chrono::seconds(60));

/// Processes whose command line names something below `dir`.
std::vector<pid_t> processes_below(const std::filesystem::path& dir);

}  // namespace cacs::e2e
