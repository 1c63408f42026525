#include "e2e/cli.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "base/fd.h"
#include "base/io.h"

namespace cacs::e2e {

CommandLineUser::CommandLineUser(std::filesystem::path home) : home_(std::move(home)) {
  env_ = {{"PATH", std::getenv("PATH")},
          {"HOME", home_},
          {"XDG_STATE_HOME", home_ / ".local/state"},
          {"XDG_CONFIG_HOME", home_ / ".config"},
          {"TERM", "xterm"}};
  // What the tests' runner says about the engine and sanitizers holds for the program, too.
  for (const char* name : {"CACS_CRIU", "ASAN_OPTIONS", "UBSAN_OPTIONS"}) {
    if (const char* value = std::getenv(name)) env_[name] = value;
  }
}

Command CommandLineUser::command(std::vector<std::string> arguments) const {
  const auto build = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().parent_path();
  Command command;
  command.argv = {(build / "bin/cacs").string()};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.env.emplace();
  for (const auto& [name, value] : env_) command.env->push_back(name + "=" + value);
  command.cwd = home_;
  return command;
}

Captured CommandLineUser::run(std::vector<std::string> arguments, std::chrono::seconds limit,
                              const std::string& input) const {
  Command command = this->command(std::move(arguments));
  UniqueFd in;
  if (!input.empty()) {
    const auto file = home_ / "input";
    EXPECT_TRUE(write_file_durably(file, input).ok());
    in = UniqueFd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    command.fds = {{in.get(), 0}};
  }
  auto ran = run_command(command, limit);
  EXPECT_TRUE(ran.ok()) << ran.error().to_string();
  return ran ? *std::move(ran) : Captured{};
}

std::string CommandLineUser::must(std::vector<std::string> arguments) const {
  const std::string name = arguments.front();
  Captured ran = run(std::move(arguments));
  EXPECT_TRUE(ran.status.success()) << "cacs " << name << ": " << ran.status.to_string() << "\n" << ran.err;
  return std::move(ran.out);
}

JsonObject CommandLineUser::json(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin() + 1, {"-o", "json"});
  const std::string text = must(std::move(arguments));
  auto object = parse_json_object(text, "what cacs printed");
  EXPECT_TRUE(object.ok()) << text;
  return object ? *std::move(object) : JsonObject{};
}

std::string CommandLineUser::state_of(const std::string& application) const {
  return json_string_or(json({"show", application}), "state", "");
}

bool CommandLineUser::wait_state(const std::string& application, const std::string& state) const {
  return wait_for([&] { return state_of(application) == state; });
}

bool CommandLineUser::wait_logs(const std::string& application, const std::string& text) const {
  return wait_for([&] { return run({"logs", application}).out.find(text) != std::string::npos; });
}

bool wait_for(const std::function<bool()>& done, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::usleep(50'000);
  }
  return true;
}

std::vector<pid_t> processes_below(const std::filesystem::path& dir) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto pid = static_cast<pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10));
    if (pid <= 0) continue;
    const auto command = read_text_file(entry.path() / "cmdline", 65536);
    if (command && command->find(dir.string() + "/") != std::string::npos) found.push_back(pid);
  }
  return found;
}

}  // namespace cacs::e2e
