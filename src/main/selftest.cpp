#include "main/selftest.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <set>

#include "base/io.h"
#include "base/process.h"
#include "base/uuid.h"
#include "pod/exit_status.h"
#include "pod/shim.h"
#include "pod/shim_client.h"

namespace cacs::main {

namespace {

/// Sends rising numbers through a TCP connection to itself until a file tells it to end; exits 0 if all came in order.
constexpr const char* kProgram = R"(
import socket, os, time
server = socket.create_server(('127.0.0.1', 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
sent = b''.join(i.to_bytes(4, 'big') for i in range(1000))
client.sendall(sent)
open('/ready', 'w').close()
while not os.path.exists('/finish'):
    time.sleep(0.02)
got = b''
while len(got) < len(sent):
    got += peer.recv(65536)
client.sendall(b'after')
raise SystemExit(0 if got == sent and peer.recv(5) == b'after' else 3)
)";

class SelfTest {
 public:
  SelfTest(std::filesystem::path init_program, std::filesystem::path criu)
      : init_program_(std::move(init_program)), criu_(std::move(criu)) {}

  Status run() {
    std::string pattern = "/tmp/cacs-selftest-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) return errno_error(errno, "make a temporary directory");
    state_ = pattern;
    spec_.application = new_uuid();
    spec_.pod = "pod-0";
    spec_.incarnation = 1;
    spec_.egress = false;
    spec_.command = {"python3", "-c", kProgram};
    Status result = save_and_restore();
    const Status ended = end_pod();
    if (result) result = ended;
    const Status removed = remove_tree(state_);
    return result ? removed : result;
  }

 private:
  [[nodiscard]] pod::PodLayout layout() const { return {state_ / "pod", state_ / "delta"}; }

  Status save_and_restore() {
    CACS_TRY(start_shim());
    CACS_TRY(client_->call({{"op", "start"}}));
    CACS_TRY(wait_until("the program is ready", [&] { return exists("ready"); }));
    const auto images = layout().images("saved");
    CACS_TRY(make_directories(images));
    CACS_TRY(
        client_->call({{"op", "cut"}, {"checkpoint", "saved"}, {"images", images.string()}, {"deadline_ms", 30000}}));
    CACS_TRY(wait_event({"cut_prepared", "cut_failed"}));
    const auto copied = run_command({.argv = {"cp", "-a", layout().upper().string(), (state_ / "saved").string()}});
    if (!copied) return copied.error();
    CACS_TRY(client_->call({{"op", "thaw"}}));
    CACS_TRY(wait_event({"cut_done", "cut_failed"}));
    CACS_TRY(end_pod());
    CACS_TRY(remove_tree(layout().delta));
    CACS_TRY(make_directories(layout().delta));
    if (::rename((state_ / "saved").c_str(), layout().upper().c_str()) != 0)
      return errno_error(errno, "roll files back");
    spec_.incarnation = 2;
    spec_.restore_checkpoint = new_uuid();
    CACS_TRY(start_shim());
    CACS_TRY(client_->call({{"op", "prepare"}}));
    CACS_TRY(client_->call({{"op", "restore"}, {"images", images.string()}}, std::chrono::seconds(60)));
    CACS_TRY(write_file_durably("/proc/" + std::to_string(init_pid()) + "/root/finish", ""));
    CACS_TRY(wait_event({"exited"}));
    const auto exit = pod::PodExit::from_json(exit_);
    if (exit.kind == pod::PodExit::Kind::kExited && exit.code == 0) return {};
    return make_error(ErrorCode::kInternal,
                      "the restored program did not get what it had sent through its TCP connection",
                      "use another CRIU (scripts/install-engine.sh)");
  }

  Status start_shim() {
    for (const auto& dir : {layout().dir, layout().delta, layout().staging(), layout().work()})
      CACS_TRY(make_directories(dir));
    ::unlink(layout().notify_program().c_str());
    if (::symlink(init_program_.c_str(), layout().notify_program().c_str()) != 0) return errno_error(errno, "symlink");
    CACS_TRY(write_file_durably(layout().spec(), boost::json::serialize(pod::pod_spec_to_json(spec_))));
    if (pod::run_shim({layout(), state_, state_, init_program_, criu_, false}) != 0) {
      return make_error(ErrorCode::kInternal, "the shim of the test's pod did not start");
    }
    CACS_ASSIGN(client_, pod::ShimClient::connect(layout(), [this](const JsonObject& event) { on_event(event); }));
    return {};
  }

  void on_event(const JsonObject& event) {
    const std::lock_guard lock(mutex_);
    const std::string name = json_string_or(event, "event", "");
    if (const JsonObject* exit = json_find_object(event, "exit")) exit_ = *exit;
    if (const JsonObject* error = json_find_object(event, "error")) error_ = error_from_json(*error);
    seen_.insert(name);
    changed_.notify_all();
  }

  /// Waits for the first of these; any of them but the first stands for a failure.
  Status wait_event(const std::vector<std::string>& names) {
    std::unique_lock lock(mutex_);
    const auto came = [&] {
      for (const auto& name : names) {
        if (seen_.count(name) != 0) return true;
      }
      return seen_.count("tainted") != 0 || seen_.count("lost") != 0;
    };
    if (!changed_.wait_for(lock, std::chrono::seconds(30), came)) {
      return make_error(ErrorCode::kTimeout, "the engine did not get to '" + names.front() + "' in 30 seconds");
    }
    if (seen_.count(names.front()) != 0) return {};
    return error_ ? *error_ : make_error(ErrorCode::kInternal, "the engine ended before '" + names.front() + "'");
  }

  Status wait_until(const std::string& what, const std::function<bool()>& done) {
    // What a pod's program does to its own files has no event outside of it.
    for (int i = 0; i < 1000; ++i) {
      if (done()) return {};
      ::usleep(10'000);
    }
    return make_error(ErrorCode::kTimeout, "waited in vain until " + what);
  }

  [[nodiscard]] bool exists(const std::string& name) const { return std::filesystem::exists(layout().upper() / name); }

  pid_t init_pid() {
    const auto status = client_->call({{"op", "status"}});
    return status ? static_cast<pid_t>(json_int_or(*status, "init", 0)) : 0;
  }

  Status end_pod() {
    if (!client_) return {};
    const auto answer = client_->call({{"op", "destroy"}});
    client_.reset();
    const std::lock_guard lock(mutex_);
    seen_.clear();
    return answer ? ok_status() : Status(answer.error());
  }

  std::filesystem::path init_program_;
  std::filesystem::path criu_;
  std::filesystem::path state_;
  pod::PodSpec spec_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> seen_;
  JsonObject exit_;
  std::optional<Error> error_;
  std::unique_ptr<pod::ShimClient> client_;
};

}  // namespace

Status self_test(const std::filesystem::path& init_program, const std::filesystem::path& criu) {
  return SelfTest(init_program, criu).run();
}

}  // namespace cacs::main
