// A pod whose program saves itself into files. Before its cut it is asked by its own means, and has its time to do so:
// nothing stands still meanwhile, and the other pods are asked at the same time, because parts of a program may need
// each other to save. The cut takes the files; a restart puts them back and runs a command on them.

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "agent/node_pod.h"
#include "agent/pod_directory.h"
#include "base/base64.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "init/protocol.h"
#include "pod/application_process.h"

namespace cacs::agent {

namespace {

using std::chrono::steady_clock;

Error no_answer(const pod::SelfSaving& saving, const std::string& waited_for) {
  return make_error(ErrorCode::kTimeout,
                    "the program was asked to save itself by " + saving.way() + " and did not within " +
                        format_duration(saving.timeout) + ": " + waited_for,
                    "it runs on, and its last checkpoint stands; give it longer (engine_options.timeout), or see why "
                    "it does not answer")
      .with_type("program-did-not-save");
}

Error in_field(const Error& error, const char* field) {
  return error.with_context(std::string("engine_options.") + field);
}

Status ask_stopped() { return make_error(ErrorCode::kAborted, "the checkpoint was given up"); }

/// What a wait for the program ends by, besides what it waits for.
struct Waiting {
  int init = -1;  ///< pidfd of the pod's init
  int stop = -1;
  steady_clock::time_point end;
};

/// Until `done` holds; it is asked anew with each event of one of the directories.
Result<bool> wait_for(const Waiting& waiting, const std::array<const PodDirectory*, 2>& directories,
                      const std::function<bool()>& done) {
  while (!done()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(waiting.end - steady_clock::now());
    if (left.count() <= 0) return false;
    std::array<pollfd, 4> fds{pollfd{waiting.stop, POLLIN, 0}, pollfd{waiting.init, POLLIN, 0},
                              pollfd{directories[0] == nullptr ? -1 : directories[0]->events(), POLLIN, 0},
                              pollfd{directories[1] == nullptr ? -1 : directories[1]->events(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), static_cast<int>(left.count())) < 0 && errno != EINTR) {
      return errno_error(errno, "wait for the program");
    }
    if (fds[0].revents != 0) return ask_stopped().error();
    if (fds[1].revents != 0) {
      return make_error(ErrorCode::kConflict, "the application ended before it said that it had saved itself");
    }
    for (const auto* directory : directories) {
      if (directory != nullptr) directory->take_events();
    }
  }
  return true;
}

}  // namespace

Result<JsonObject> NodePod::ask_to_save(const std::string& checkpoint) {
  std::shared_ptr<const UniqueFd> stop;
  {
    const std::lock_guard lock(mutex_);
    if (auto known = find_cut(checkpoint)) {
      const std::string& phase = (*known)->phase;
      if (phase == "ASKING") return make_error(ErrorCode::kConflict, "the program is being asked already");
      if (phase == "ABORTED" || phase == "FAILED") return (*known)->error ? *(*known)->error : ask_stopped().error();
      return cut_json(**known);
    }
    CACS_TRY(check_free_for_cut());
    // Asked for a checkpoint that nobody wants any more.
    for (Cut& each : cuts_) {
      if (each.phase == "ASKED") change_phase(each, "ABORTED");
    }
    add_cut(checkpoint, "ASKING");
    stop = std::make_shared<const UniqueFd>(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    ask_stop_ = stop;
  }
  const auto begun = steady_clock::now();
  const bool asked = spec_.self_saving && spec_.self_saving->asks(spec_.pod) &&
                     !(spec_.command.empty() && !spec_.self_saving->signal.empty());
  const Status saved = asked ? ask_program(checkpoint, stop->get()) : ok_status();
  if (!saved && saved.error().code != ErrorCode::kAborted) {
    spdlog::warn("pod {}: {}", spec_.uid(), saved.error().to_string());
  }
  const std::lock_guard lock(mutex_);
  CACS_ASSIGN(Cut * cut, find_cut(checkpoint));
  if (cut->phase != "ASKING") return cut->error ? *cut->error : ask_stopped().error();
  cut->timings["ask_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begun).count();
  if (!saved) cut->error = saved.error();
  change_phase(*cut, saved ? "ASKED" : "FAILED");
  if (!saved) return saved.error();
  return cut_json(*cut);
}

/// Under the lock.
void NodePod::stop_asking(Cut& cut) {
  cut.error = ask_stopped().error();
  change_phase(cut, "ABORTED");
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto told = ask_stop_ ? ::write(ask_stop_->get(), &one, sizeof one) : 0;
}

Status NodePod::ask_program(const std::string& checkpoint, int stop) {
  if (!spec_.self_saving->command.empty()) return ask_by_command(checkpoint);
  return ask_by_files(stop);
}

Status NodePod::ask_by_command(const std::string& checkpoint) {
  const pod::SelfSaving& saving = *spec_.self_saving;
  const JsonObject body{{"command", JsonArray(saving.command.begin(), saving.command.end())},
                        {"env", JsonObject{{"CACS_POD", spec_.pod}, {"CACS_CHECKPOINT", checkpoint}}},
                        {"timeout_ms", saving.timeout.count()}};
  const auto given_up = [&] {
    const auto cut = find_cut(checkpoint);
    return !cut || (*cut)->phase != "ASKING";
  };
  const auto result = exec(body, given_up);
  if (!result) {
    if (result.error().code == ErrorCode::kAborted) return result.error();
    {
      const std::lock_guard lock(mutex_);
      if (state_ != State::kRunning) {
        return make_error(ErrorCode::kConflict, "the application ended before it had saved itself");
      }
    }
    if (result.error().code == ErrorCode::kTimeout) return no_answer(saving, "the command has not ended, and goes on");
    return in_field(result.error(), "command");
  }
  const JsonObject* exit = json_find_object(*result, "exit");
  const auto ended = exit == nullptr ? pod::PodExit{} : pod::PodExit::from_json(*exit);
  if (ended.kind == pod::PodExit::Kind::kExited && ended.code == 0) return {};
  const auto said = base64_decode(json_string_or(*result, "stderr", ""));
  const std::string how = ended.kind == pod::PodExit::Kind::kExited ? "exit code " + std::to_string(ended.code)
                                                                    : "signal " + std::to_string(ended.signal);
  return make_error(ErrorCode::kAborted,
                    "the program was asked to save itself by " + saving.way() + ", which ended with " + how + ": " +
                        printable(said ? trim(*said) : "", 400),
                    "it runs on, and its last checkpoint stands")
      .with_type("program-did-not-save");
}

/// By a signal or a file; a file, or that it goes, is the answer.
Status NodePod::ask_by_files(int stop) {
  const pod::SelfSaving& saving = *spec_.self_saving;
  CACS_ASSIGN(const pid_t init, init_pid());
  CACS_ASSIGN(const ProcessIdentity identity, identify_process(init));
  CACS_ASSIGN(const UniqueFd process, open_process(identity));
  std::optional<PodDirectory> done;
  std::optional<PodDirectory> wish;
  const auto open = [&](const std::string& path, const char* field, std::optional<PodDirectory>& into) -> Status {
    if (path.empty()) return {};
    auto directory = PodDirectory::of(init, path);
    if (!directory) return in_field(directory.error(), field);
    into = *std::move(directory);
    return {};
  };
  CACS_TRY(open(saving.done, "done", done));
  CACS_TRY(open(saving.file, "file", wish));
  // One of an earlier time says nothing.
  if (done) CACS_TRY(done->remove());
  Waiting waiting{.init = process.get(), .stop = stop, .end = steady_clock::now() + saving.timeout};
  if (wish) {
    CACS_TRY(wish->make(init, spec_.user));
  } else {
    CACS_TRY(pod::signal_application(init, pod::signal_number(saving.signal)));
  }
  auto answered = wait_for(waiting, {done ? &*done : nullptr, wish ? &*wish : nullptr},
                           [&] { return done ? done->exists() : !wish->exists(); });
  // Nobody waits any more: the program is not to save itself for nothing.
  if (wish) {
    if (const Status removed = wish->remove(); !removed) spdlog::warn("{}", removed.error().to_string());
  }
  if (!answered) return answered.error();
  if (*answered) return {};
  return no_answer(saving, done ? "there is no " + printable(saving.done) : "it has not removed the file");
}

/// What the program saves itself into, and what it has printed by then.
delta::Selection NodePod::what_is_saved() const {
  if (!spec_.self_saving) return {};
  std::vector<std::string> paths = spec_.self_saving->files;
  for (const char* stream : {"stdout", "stderr"}) paths.push_back(output_path(stream));
  return delta::Selection(paths);
}

/// A program that was asked and left nothing to restart from has not saved itself.
Status NodePod::check_saved(const delta::Snapshot& snapshot) const {
  const auto is_own = [&](const delta::CapturedFile& file) {
    return !("/" + snapshot.listing().entries.at(file.entry).path).starts_with(CACS_POD_DIR "/");
  };
  if (!spec_.self_saving->asks(spec_.pod) || std::ranges::any_of(snapshot.files(), is_own)) return {};
  std::string paths;
  for (const auto& path : spec_.self_saving->files) paths += (paths.empty() ? "" : ", ") + printable(path);
  return make_error(ErrorCode::kNotFound,
                    "the program says that it has saved itself, but has written none of the files of "
                    "engine_options.files in " +
                        spec_.pod + ": " + paths,
                    "correct the paths; where only one pod has files, name it (engine_options.in)")
      .with_type("program-did-not-save");
}

/// What the program saved itself into is put back, and a command runs on it.
Status NodePod::restart_on_files() {
  const auto saved = layout_.delta / "restored";
  CACS_TRY(make_directories(saved));
  CACS_ASSIGN(const repository::Manifest manifest, context_.store->repository().load(spec_.restore_checkpoint));
  CACS_TRY(context_.store->fetch_tree(manifest, spec_.pod, "delta", saved));
  CACS_TRY(call({{"op", "mount"}, {"restored", saved.string()}}));
  CACS_TRY(note_log_base());
  CACS_TRY(call({{"op", "start"}}));
  return remove_tree(saved);
}

}  // namespace cacs::agent
