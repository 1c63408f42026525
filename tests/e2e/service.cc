#include "e2e/service.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <stdexcept>

#include "base/io.h"
#include "base/text.h"

namespace cacs::e2e {

namespace {

std::filesystem::path build_dir() {
  // tests/e2e/PROGRAM of a build tree
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path().parent_path();
}

bool is_final(const std::string& state) { return state == "COMPLETED" || state == "ERROR" || state == "SUSPENDED"; }

std::vector<pid_t> all_pids() {
  std::vector<pid_t> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const auto pid = static_cast<pid_t>(std::strtol(entry.path().filename().c_str(), nullptr, 10));
    if (pid > 0) pids.push_back(pid);
  }
  return pids;
}

std::string proc_text(pid_t pid, const char* file) {
  auto text = read_text_file("/proc/" + std::to_string(pid) + "/" + file, std::size_t{4} << 20U);
  return text ? *text : std::string();
}

}  // namespace

std::string ServiceTest::program(const std::string& name) { return (build_dir() / "programs" / name).string(); }

std::filesystem::path ServiceTest::cacs() { return build_dir() / "bin/cacs"; }

void ServiceTest::SetUp() {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  std::string pattern = "/tmp/cacs-e2e-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  dir_ = pattern;
  net::ClientOptions options;
  options.unix_socket = dir_ / "api.sock";
  options.timeout = std::chrono::seconds(120);
  client_ = std::make_unique<net::HttpClient>(options);
  make_place();
  if (!HasFatalFailure()) start_server();
}

void ServiceTest::start_server() {
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe2(ready.data(), O_CLOEXEC), 0);
  UniqueFd read_end(ready[0]);
  UniqueFd write_end(ready[1]);
  auto log = open_file(dir_ / "server.log", O_WRONLY | O_CREAT | O_APPEND);
  ASSERT_TRUE(log.ok());
  Command command;
  command.argv = server_prefix_;
  for (const auto& word :
       {cacs().string(), std::string("server"), std::string("--state"), (dir_ / "state").string(),
        std::string("--listen"), "unix:" + (dir_ / "api.sock").string(), std::string("--ready-fd"), std::string("9")}) {
    command.argv.push_back(word);
  }
  command.argv.insert(command.argv.end(), server_arguments_.begin(), server_arguments_.end());
  if (!server_env_.empty()) {
    command.env.emplace();
    for (char** word = environ; *word != nullptr; ++word) command.env->emplace_back(*word);
    command.env->insert(command.env->end(), server_env_.begin(), server_env_.end());
  }
  for (const auto& address : more_addresses_) {
    command.argv.emplace_back("--listen");
    command.argv.push_back(address);
  }
  command.fds = {{write_end.get(), 9}, {log->get(), 1}, {log->get(), 2}};
  auto child = spawn(command);
  ASSERT_TRUE(child.ok()) << child.error().to_string();
  server_ = *std::move(child);
  write_end.reset();
  std::array<std::byte, 1> byte{};
  auto got = read_full(read_end.get(), byte);
  ASSERT_TRUE(got.ok() && *got == 1) << read_text_file(dir_ / "server.log").value();
}

void ServiceTest::kill_server() {
  ASSERT_TRUE(server_->signal(SIGKILL).ok());
  ASSERT_TRUE(server_->wait().ok());
  server_.reset();
}

Result<net::ClientResponse> ServiceTest::request(const std::string& method, const std::string& target,
                                                 const std::string& body, const net::Headers& headers) {
  net::ClientRequest request;
  request.method = method;
  request.target = "/v1" + target;
  request.body = body;
  request.headers = headers;
  if (!body.empty()) request.headers.add("Content-Type", "application/json");
  return client_->send(request);
}

JsonObject ServiceTest::must(const std::string& method, const std::string& target, const std::string& body) {
  auto response = request(method, target, body);
  if (!response) {
    ADD_FAILURE() << method << " " << target << ": " << response.error().to_string();
    return {};
  }
  EXPECT_LT(response->status, 400) << method << " " << target << ": " << response->body;
  auto object = parse_json_object(response->body, "answer");
  return object ? *object : JsonObject{};
}

std::string ServiceTest::submit(const JsonObject& asr) {
  const std::string id = json_string_or(must("POST", "/coordinators", boost::json::serialize(asr)), "id", "");
  if (id.empty()) throw std::runtime_error("the application was not taken");  // ends the test
  return id;
}

JsonObject ServiceTest::application(const std::string& id) { return must("GET", "/coordinators/" + id); }

std::string ServiceTest::state_of(const std::string& id) { return json_string_or(application(id), "state", ""); }

bool ServiceTest::wait_until(const std::function<bool()>& done, std::chrono::seconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::usleep(50'000);
  }
  return true;
}

void ServiceTest::wait_state(const std::string& id, const std::string& state, std::chrono::seconds limit) {
  std::string now;
  const bool came = wait_until(
      [&] {
        now = state_of(id);
        return now == state || (is_final(now) && now != state);
      },
      limit);
  EXPECT_TRUE(came) << "still " << now << " instead of " << state;
  if (now != state) {
    JsonObject all = application(id);
    all.erase("asr");
    FAIL() << "is " << now << " instead of " << state << ": " << boost::json::serialize(all) << "\n"
           << output(id) << output(id, "stderr") << read_text_file(dir_ / "server.log").value();
  }
}

std::string ServiceTest::output(const std::string& id, const std::string& stream) {
  std::string all;
  while (true) {
    auto response =
        request("GET", "/coordinators/" + id + "/logs?stream=" + stream + "&offset=" + std::to_string(all.size()));
    if (!response || response->status != 200 || response->body.empty()) return all;
    all += response->body;
  }
}

bool ServiceTest::wait_output(const std::string& id, const std::string& text, std::chrono::seconds limit) {
  return wait_until([&] { return output(id).find(text) != std::string::npos; }, limit);
}

std::vector<JsonObject> ServiceTest::checkpoints(const std::string& id) {
  std::vector<JsonObject> list;
  const JsonObject page = must("GET", "/coordinators/" + id + "/checkpoints");
  if (const JsonArray* items = json_find_array(page, "items")) {
    for (const auto& item : *items) list.push_back(item.as_object());
  }
  return list;
}

JsonObject ServiceTest::try_checkpoint(const std::string& id) {
  // The program's first words may be there before the server has heard that it runs.
  EXPECT_TRUE(wait_until([&] { return state_of(id) == "RUNNING"; }));
  const JsonObject operation = must("POST", "/coordinators/" + id + "/checkpoints");
  const std::string target = "/operations/" + json_string_or(operation, "id", "");
  JsonObject last;
  EXPECT_TRUE(wait_until([&] {
    last = must("GET", target);
    return json_string_or(last, "state", "") != "RUNNING";
  })) << boost::json::serialize(last);
  const std::string checkpoint = json_string_or(last, "checkpoint", "");
  return must("GET", "/coordinators/" + id + "/checkpoints/" + checkpoint);
}

std::string ServiceTest::checkpoint(const std::string& id) {
  const JsonObject taken = try_checkpoint(id);
  EXPECT_EQ(json_string_or(taken, "state", ""), "AVAILABLE") << boost::json::serialize(taken);
  return json_string_or(taken, "id", "");
}

std::vector<pid_t> ServiceTest::processes_of(const std::string& id, const std::string& comm) {
  std::vector<pid_t> found;
  const std::string mark = "CACS_APPLICATION=" + id;
  for (const pid_t pid : all_pids()) {
    if (proc_text(pid, "environ").find(mark) == std::string::npos) continue;
    if (comm.empty() || std::string(trim(proc_text(pid, "comm"))) == comm.substr(0, 15)) found.push_back(pid);
  }
  return found;
}

std::vector<pid_t> ServiceTest::processes_of_service() {
  std::map<pid_t, pid_t> parents;
  std::set<pid_t> found;
  for (const pid_t pid : all_pids()) {
    const std::string stat = proc_text(pid, "stat");
    const auto fields = split(std::string_view(stat).substr(std::min(stat.rfind(')') + 2, stat.size())), ' ');
    if (fields.size() > 1) parents[pid] = static_cast<pid_t>(std::strtol(fields[1].c_str(), nullptr, 10));
    if (pid != ::getpid() && proc_text(pid, "cmdline").find(dir_.string()) != std::string::npos) found.insert(pid);
  }
  for (bool grown = true; grown;) {
    grown = false;
    for (const auto& [pid, parent] : parents) {
      if (found.contains(parent)) grown = found.insert(pid).second || grown;
    }
  }
  return {found.begin(), found.end()};
}

int ServiceTest::kill_program(const std::string& id, const std::string& comm) {
  const auto pids = processes_of(id, comm);
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  return static_cast<int>(pids.size());
}

void ServiceTest::delete_everything() {
  const JsonObject page = must("GET", "/coordinators?limit=1000");
  const JsonArray* items = json_find_array(page, "items");
  if (items == nullptr) return;
  for (const auto& item : *items) {
    const std::string id = json_string_or(item.as_object(), "id", "");
    auto response = request("DELETE", "/coordinators/" + id);
    EXPECT_TRUE(response.ok() && response->status < 300) << (response ? response->body : response.error().to_string());
    EXPECT_TRUE(wait_until([&] {
      auto look = request("GET", "/coordinators/" + id);
      return look && look->status == 404;
    })) << "application "
        << id << " does not go away";
  }
}

std::vector<std::filesystem::path> ServiceTest::nodes() {
  std::vector<std::filesystem::path> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(dir_ / "state/nodes", none)) {
    if (entry.path().filename().string().starts_with("local-")) found.push_back(entry.path());
  }
  return found;
}

std::optional<ProcessIdentity> ServiceTest::agent_of(const std::filesystem::path& node) {
  const auto text = read_text_file(node / "agent.pid", 4096);
  const auto object = text ? parse_json_object(*text, "agent.pid") : Result<JsonObject>(text.error());
  if (!object) return std::nullopt;
  return ProcessIdentity{.pid = static_cast<pid_t>(json_int_or(*object, "pid", 0)),
                         .start_time = static_cast<std::uint64_t>(json_int_or(*object, "start_time", 0)),
                         .boot_id = read_boot_id().value()};  // a test may have given the service another
}

void ServiceTest::end_agent(const std::filesystem::path& node) {
  const auto identity = agent_of(node);
  if (!identity || !open_process(*identity)) return;
  ::kill(identity->pid, SIGTERM);
  EXPECT_TRUE(wait_until([&] {
    const std::string stat = proc_text(identity->pid, "stat");
    return !open_process(*identity) || stat.find(") Z ") != std::string::npos;
  })) << "the agent does not end";
}

/// Whether a process has something below `mark` mounted: in a namespace of its own, as this one has not.
static bool somebody_holds(const std::string& mark) {
  const auto pids = all_pids();
  return std::any_of(pids.begin(), pids.end(),
                     [&](pid_t pid) { return proc_text(pid, "mountinfo").find(mark) != std::string::npos; });
}

void expect_nothing_left(const std::filesystem::path& dir) {
  const std::string mark = dir.string() + "/";
  EXPECT_EQ(read_text_file("/proc/self/mountinfo").value().find(mark), std::string::npos) << "a mount is left";
  for (const pid_t pid : all_pids()) {
    const std::string command = proc_text(pid, "cmdline");
    EXPECT_EQ(command.find(mark), std::string::npos) << "process " << pid << " is left: " << printable(command, 300);
  }
  std::error_code problem;
  for (const auto& device : std::filesystem::directory_iterator("/sys/block", problem)) {
    // A device that is not bound has no such file.
    const auto file = read_text_file(device.path() / "loop/backing_file", 4096);
    // One that the mount namespace of somebody else, made meanwhile, holds on to is not ours to release.
    EXPECT_FALSE(file && file->starts_with(mark) && !somebody_holds(mark))
        << device.path() << " is left: " << (file ? *file : "");
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir, problem)) {
    EXPECT_FALSE(entry.is_socket()) << entry.path() << " is left";
  }
  // Whatever has a folder here had control groups of its name.
  std::set<std::string> uids;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir, problem)) {
    if (entry.path().parent_path().filename() == "pods") uids.insert(entry.path().filename());
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator("/sys/fs/cgroup", problem)) {
    for (const auto& uid : uids) {
      EXPECT_EQ(entry.path().filename().string().find(uid), std::string::npos) << entry.path() << " is left";
    }
  }
}

void ServiceTest::TearDown() {
  if (dir_.empty()) return;
  if (server_) {
    delete_everything();
    EXPECT_TRUE(server_->signal(SIGTERM).ok());
    auto ended = server_->wait(std::chrono::seconds(30));
    EXPECT_TRUE(ended && ended->success()) << "the server did not end in order";
    server_.reset();
  }
  for (const auto& node : nodes()) {
    end_agent(node);
    if (std::filesystem::exists(node / "pods")) {
      EXPECT_TRUE(std::filesystem::is_empty(node / "pods")) << "a pod's folder is left";
    }
  }
  if (HasFailure()) {
    if (auto log = read_text_file(dir_ / "server.log")) std::printf("--- server.log\n%s\n", log->c_str());
    for (const auto& node : nodes()) {
      if (auto log = read_text_file(node / "agent.log")) {
        std::printf("--- agent.log of %s\n%s\n", node.filename().c_str(), log->c_str());
      }
    }
  }
  remove_place();
  expect_nothing_left(dir_);
  for (const auto& node : nodes()) ::umount2((node / "delta").c_str(), MNT_DETACH);
  EXPECT_TRUE(remove_tree(dir_).ok());
}

}  // namespace cacs::e2e
