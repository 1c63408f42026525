// A pod's part of the cut, as the agent sees it: LOCK and DUMP by the shim, SNAPSHOT of the files beside it, then, with
// the program running again, STORE.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <future>

#include "agent/compatibility.h"
#include "agent/node_pod.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"

namespace cacs::agent {

namespace {

constexpr std::size_t kKeptCuts = 16;
constexpr std::chrono::seconds kBaseLimit(10);

std::int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

/// Storing must not slow the program down that it is for: the worker gives way to everything.
void be_polite() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 15);
  constexpr int kIdleClass = 3 << 13;
  ::syscall(SYS_ioprio_set, 1, 0, kIdleClass);
}

std::uint64_t directory_bytes(const std::filesystem::path& directory) {
  std::uint64_t total = 0;
  std::error_code problem;
  for (const auto& file : std::filesystem::directory_iterator(directory, problem)) {
    if (file.is_regular_file(problem)) total += file.file_size(problem);
  }
  return total;
}

/// Of the same pod there is no second one meanwhile.
constexpr auto kIsUnderWay = [](const auto& cut) {
  return cut.phase == "ASKING" || cut.phase == "DUMPING" || cut.phase == "PREPARED" || cut.phase == "STORING";
};

Error no_such_cut(const std::string& checkpoint) {
  return make_error(ErrorCode::kNotFound, "there is no cut for checkpoint " + checkpoint + " on this node");
}

}  // namespace

JsonObject NodePod::cut_json(const Cut& cut) const {
  JsonObject timings = cut.timings;
  timings.erase("shim");
  JsonObject object{{"checkpoint", cut.checkpoint}, {"uid", spec_.uid()},           {"incarnation", spec_.incarnation},
                    {"phase", cut.phase},           {"piece", cut.piece},           {"bytes_total", cut.bytes_total},
                    {"bytes_done", cut.bytes_done}, {"size_bytes", cut.size_bytes}, {"stored_bytes", cut.stored_bytes},
                    {"timings", std::move(timings)}};
  object["error"] = cut.error ? Json(error_to_json(*cut.error)) : Json(nullptr);
  return object;
}

Result<NodePod::Cut*> NodePod::find_cut(const std::string& checkpoint) {
  for (auto& cut : cuts_) {
    if (cut.checkpoint == checkpoint) return &cut;
  }
  return no_such_cut(checkpoint);
}

void NodePod::change_phase(Cut& cut, const std::string& phase) {
  cut.phase = phase;
  changed_.notify_all();
  push_event("cut.phase", {{"checkpoint", cut.checkpoint}, {"phase", phase}});
}

void NodePod::discard_cut_files(const std::string& checkpoint) {
  if (const auto removed = remove_tree(layout_.images(checkpoint)); !removed) {
    spdlog::warn("{}", removed.error().to_string());
  }
}

/// Files of cuts that an agent before us had under way when it died: nobody will store them.
void NodePod::discard_forgotten_cuts() {
  {
    const std::lock_guard lock(mutex_);
    if (std::any_of(cuts_.begin(), cuts_.end(), kIsUnderWay)) return;
  }
  for (const auto& directory : {layout_.dir / "images", layout_.staging()}) {
    std::error_code problem;
    for (const auto& entry : std::filesystem::directory_iterator(directory, problem)) {
      if (const auto removed = remove_tree(entry.path()); !removed) spdlog::warn("{}", removed.error().to_string());
    }
  }
}

/// Waits until the shim has said one of its words about this cut, or something else `done` looks for.
bool NodePod::wait_phase(Lock& lock, const std::string& checkpoint, const std::function<bool(const Cut&)>& done,
                         std::chrono::milliseconds limit) {
  return changed_.wait_for(lock, limit, [&] {
    const auto cut = find_cut(checkpoint);
    return !cut || done(**cut);
  });
}

/// Of a cut that nobody will commit any more. Without effect where it was committed: the commit has dropped it.
void NodePod::drop_piece(const Cut& cut) {
  if (cut.piece.empty()) return;
  if (const auto dropped = context_.store->repository().drop_piece(cut.piece); !dropped) {
    spdlog::warn("{}", dropped.error().to_string());
  }
  context_.collect();
}

void NodePod::fail_cut(const Error& error, bool aborted) {
  std::vector<CapturedTree> trees;
  std::string checkpoint;
  {
    const std::lock_guard lock(mutex_);
    Cut& cut = cuts_.back();
    trees = std::move(cut.trees);
    checkpoint = cut.checkpoint;
    if (!cut.error) cut.error = error;
    change_phase(cut, aborted ? "ABORTED" : "FAILED");
  }
  trees.clear();
  discard_cut_files(checkpoint);
}

/// Under the lock, as the next.
Status NodePod::check_free_for_cut() {
  if (state_ != State::kRunning) {
    return make_error(ErrorCode::kConflict, spec_.pod + " does not run, so it cannot be saved");
  }
  if (std::any_of(cuts_.begin(), cuts_.end(), kIsUnderWay)) {
    return make_error(ErrorCode::kConflict, "another checkpoint of " + spec_.pod + " is being taken");
  }
  return {};
}

void NodePod::add_cut(const std::string& checkpoint, const char* phase) {
  Cut cut;
  cut.checkpoint = checkpoint;
  cut.phase = phase;
  cuts_.push_back(std::move(cut));
  if (cuts_.size() > kKeptCuts) cuts_.erase(cuts_.begin());
}

Result<JsonObject> NodePod::begin_cut(const std::string& checkpoint, const JsonObject& body) {
  discard_forgotten_cuts();
  {
    const std::lock_guard lock(mutex_);
    auto known = find_cut(checkpoint);
    if (known && (*known)->phase == "ASKED") {
      CACS_TRY(check_free_for_cut());
      (*known)->phase = "DUMPING";
    } else if (known) {
      if ((*known)->phase != "DUMPING") return cut_json(**known);
      return make_error(ErrorCode::kConflict, "this cut is under way already");
    } else {
      CACS_TRY(check_free_for_cut());
      if (spec_.self_saving) {
        return make_error(ErrorCode::kConflict, "the program has not been asked to save itself for this checkpoint");
      }
      add_cut(checkpoint, "DUMPING");
    }
    frozen_ = false;
  }
  const Status frozen = freeze(checkpoint, json_int_or(body, "deadline_ms", 120'000));
  if (!frozen) {
    fail_cut(frozen.error(), false);
    return frozen.error();
  }
  const std::lock_guard lock(mutex_);
  CACS_ASSIGN(Cut * cut, find_cut(checkpoint));
  change_phase(*cut, "PREPARED");
  return cut_json(*cut);
}

Status NodePod::freeze(const std::string& checkpoint, std::int64_t deadline_ms) {
  const auto images = layout_.images(checkpoint);
  CACS_TRY(remove_tree(images));
  CACS_TRY(make_directories(images, 0700));
  const std::int64_t begun = now_ms();
  // What is dirty now is written back now, so that little is left to do while everything stands still.
  CACS_TRY(delta::presync(layout_.upper()));
  CACS_ASSIGN(const JsonObject status, call({{"op", "status"}}));
  CACS_TRY(context_.check_room(static_cast<std::uint64_t>(json_int_or(status, "memory_bytes", 0))));
  look_at_base();
  auto memory = delta::MemoryStage::prepare(tree_root(kSharedMemoryTree), delta::memory_stage_budget());
  const auto base_keeper = base();
  // Until the files are captured nothing of the base is put into the delta.
  const auto no_writing = base_keeper != nullptr ? base_keeper->hold() : std::unique_lock<std::mutex>();
  const std::int64_t presynced = now_ms();
  CACS_TRY(
      call({{"op", "cut"}, {"checkpoint", checkpoint}, {"images", images.string()}, {"deadline_ms", deadline_ms}}));
  const auto shim_word = [](const Cut& cut) { return cut.timings.if_contains("shim") != nullptr; };
  const std::chrono::milliseconds limit(deadline_ms + 10'000);
  {
    Lock lock(mutex_);
    wait_phase(
        lock, checkpoint, [&](const Cut& cut) { return frozen_ || shim_word(cut); }, limit);
  }
  // Beside the engine, which writes memory meanwhile on the other core.
  const std::int64_t capture_begun = now_ms();
  bool frozen = false;
  {
    const std::lock_guard lock(mutex_);
    frozen = frozen_;
  }
  Status captured = frozen ? capture_trees(checkpoint, memory) : ok_status();
  const std::int64_t capture_ended = now_ms();
  Lock lock(mutex_);
  const bool said = wait_phase(lock, checkpoint, shim_word, limit);
  CACS_ASSIGN(Cut * cut, find_cut(checkpoint));
  cut->timings["presync_ms"] = presynced - begun;
  cut->timings["snapshot_ms"] = capture_ended - capture_begun;
  const std::string word = said ? json_string_or(cut->timings, "shim", "") : "timeout";
  cut->timings.erase("shim");
  if (word != "cut_prepared") {
    if (cut->error) return *cut->error;
    return make_error(ErrorCode::kInternal, "the dump ended with '" + word + "'",
                      word == "tainted" ? "the application is restarted from its last checkpoint" : "")
        .with_type(word == "tainted" ? "tainted" : "");
  }
  lock.unlock();
  // CRIU links deleted files that are still open back into the tree during its dump: they belong to the delta.
  if (captured) {
    for (auto& tree : cut->trees) {
      if (captured && !spec_.self_saving) captured = delta::recapture_directories(tree.snapshot);
    }
  }
  if (captured) return {};
  CACS_TRY(call({{"op", "abort"}}));
  lock.lock();
  wait_phase(lock, checkpoint, shim_word, std::chrono::seconds(60));
  return captured.error().with_context("take the files as they are");
}

Status NodePod::capture_trees(const std::string& checkpoint, delta::MemoryStage& memory) {
  std::vector<CapturedTree> trees;
  const auto names = tree_names();
  // A stored file may have been found damaged since: what is read again is stored again.
  if (quarantines_ != context_.store->repository().quarantines()) baselines_.clear();
  for (std::size_t i = 0; i < names.size(); ++i) {
    static const delta::Baseline kNothing;
    const delta::Baseline& baseline = i < baselines_.size() ? baselines_[i] : kNothing;
    auto snapshot =
        delta::capture(tree_root(names[i]), layout_.staging(), baseline,
                       {.memory = names[i] == kSharedMemoryTree ? &memory : nullptr, .only = what_is_saved()});
    if (!snapshot) return snapshot.error();
    if (spec_.self_saving) CACS_TRY(check_saved(*snapshot));
    trees.push_back({names[i], *std::move(snapshot)});
  }
  const std::lock_guard lock(mutex_);
  CACS_ASSIGN(Cut * cut, find_cut(checkpoint));
  cut->trees = std::move(trees);
  return {};
}

Result<JsonObject> NodePod::thaw(const std::string& checkpoint) {
  {
    const std::lock_guard lock(mutex_);
    CACS_ASSIGN(Cut * cut, find_cut(checkpoint));
    if (cut->phase == "STORING" || cut->phase == "STORED") return cut_json(*cut);
    if (cut->phase != "PREPARED") {
      return cut->error ? *cut->error : make_error(ErrorCode::kConflict, "the cut is " + cut->phase);
    }
  }
  auto answer = call({{"op", "thaw"}});
  Lock lock(mutex_);
  const bool said =
      answer && wait_phase(
                    lock, checkpoint, [](const Cut& cut) { return cut.timings.if_contains("shim") != nullptr; },
                    std::chrono::seconds(90));
  CACS_ASSIGN(Cut * cut, find_cut(checkpoint));
  const std::string word = said ? json_string_or(cut->timings, "shim", "") : "timeout";
  cut->timings.erase("shim");
  if (word != "cut_done") {
    const Error error = cut->error ? *cut->error
                        : !answer
                            ? answer.error()
                            : make_error(ErrorCode::kInternal, "the engine ended with '" + word + "' after the thaw");
    lock.unlock();
    fail_cut(error, false);
    return error;
  }
  change_phase(*cut, "STORING");
  jobs_.emplace_back([this, checkpoint] { store(checkpoint); });
  changed_.notify_all();
  return cut_json(*cut);
}

Result<JsonObject> NodePod::abort_cut(const std::string& checkpoint) {
  {
    const std::lock_guard lock(mutex_);
    auto cut = find_cut(checkpoint);
    if (!cut) {
      // An abort that overtook or outlived its cut: nothing is frozen for it, and a cut of that id must not start now.
      Cut refused;
      refused.checkpoint = checkpoint;
      refused.phase = "ABORTED";
      cuts_.insert(cuts_.begin(), std::move(refused));
      return cut_json(cuts_.front());
    }
    if ((*cut)->phase == "ASKING" || (*cut)->phase == "ASKED") {
      stop_asking(**cut);
      return cut_json(**cut);
    }
    if ((*cut)->phase == "STORING") {
      (*cut)->unwanted = true;  // what stores it drops it at its end
      return cut_json(**cut);
    }
    if ((*cut)->phase == "STORED") {
      drop_piece(**cut);
      change_phase(**cut, "ABORTED");
    }
    if ((*cut)->phase != "PREPARED" && (*cut)->phase != "DUMPING") return cut_json(**cut);
  }
  CACS_TRY(call({{"op", "abort"}}));
  Lock lock(mutex_);
  const bool said = wait_phase(
      lock, checkpoint,
      [](const Cut& cut) {
        return cut.timings.if_contains("shim") != nullptr || (cut.phase != "DUMPING" && cut.phase != "PREPARED");
      },
      std::chrono::seconds(90));
  CACS_ASSIGN(Cut * cut, find_cut(checkpoint));
  if (!said) return make_error(ErrorCode::kTimeout, "the cut could not be aborted in time");
  if (cut->phase == "PREPARED") {
    cut->timings.erase("shim");
    lock.unlock();
    fail_cut(make_error(ErrorCode::kAborted, "the cut was aborted"), true);
    lock.lock();
    CACS_ASSIGN(cut, find_cut(checkpoint));
  }
  return cut_json(*cut);
}

Result<JsonObject> NodePod::cut_view(const std::string& checkpoint, std::chrono::milliseconds wait) {
  Lock lock(mutex_);
  CACS_ASSIGN(const Cut* cut, find_cut(checkpoint));
  const std::string phase = cut->phase;
  // At its end it changes no more: whoever asks late does not wait for nothing.
  const bool ended = phase == "STORED" || phase == "ABORTED" || phase == "FAILED";
  if (!ended) {
    wait_phase(
        lock, checkpoint, [&](const Cut& now) { return now.phase != phase; }, wait);
  }
  CACS_ASSIGN(cut, find_cut(checkpoint));
  return cut_json(*cut);
}

void NodePod::store(const std::string& checkpoint) {
  // On a thread of its own: a thread that has become polite cannot become quick again.
  auto done = std::async(std::launch::async, [this, checkpoint] {
    be_polite();
    const std::int64_t begun = now_ms();
    std::vector<CapturedTree> trees;
    std::uint64_t total = directory_bytes(layout_.images(checkpoint));
    {
      const std::lock_guard lock(mutex_);
      auto cut = find_cut(checkpoint);
      if (!cut) return;
      trees = std::move((*cut)->trees);
      (*cut)->trees.clear();
      for (const auto& tree : trees) {
        for (const auto& file : tree.snapshot.files()) total += file.changed() ? file.size : 0;
      }
      (*cut)->bytes_total = total;
    }
    const auto progress = [&](std::uint64_t bytes) {
      const std::lock_guard lock(mutex_);
      if (auto cut = find_cut(checkpoint)) (*cut)->bytes_done = bytes;
    };
    JsonObject meta{
        {"uid", spec_.uid()},
        {"incarnation", spec_.incarnation},
        {"compatibility", spec_.self_saving ? files_compatibility(context_.compatibility) : context_.compatibility}};
    const auto base_keeper = base();
    // What was opened before the cut is to be in it; a base that is slow to read does not hold the checkpoint for ever.
    if (base_keeper != nullptr && !base_keeper->settle(kBaseLimit)) {
      spdlog::warn("pod {}: not all files of the base are saved yet", spec_.uid());
    }
    const std::uint64_t quarantines = context_.store->repository().quarantines();
    auto piece = [&]() -> Result<StoredPiece> {
      if (!spec_.self_saving) CACS_TRY(context_.engine->mend_images(layout_.images(checkpoint)));
      const auto images = layout_.images(checkpoint);
      return context_.store->store_piece(
          spec_.pod, {.images = images, .trees = trees, .base = base_keeper.get(), .last_memory = memory_}, meta,
          progress);
    }();
    trees.clear();
    discard_cut_files(checkpoint);
    const std::lock_guard lock(mutex_);
    auto cut = find_cut(checkpoint);
    if (!cut) return;
    (*cut)->timings["store_ms"] = now_ms() - begun;
    if (!piece) {
      baselines_.clear();
      (*cut)->error = piece.error().with_context("store the checkpoint");
      change_phase(**cut, "FAILED");
      return;
    }
    baselines_ = std::move(piece->baselines);
    memory_ = std::move(piece->memory);
    quarantines_ = quarantines;
    (*cut)->piece = piece->id;
    (*cut)->size_bytes = piece->size_bytes;
    (*cut)->stored_bytes = piece->stored_bytes;
    (*cut)->bytes_done = total;
    if ((*cut)->unwanted) drop_piece(**cut);
    change_phase(**cut, (*cut)->unwanted ? "ABORTED" : "STORED");
  });
  done.get();
}

}  // namespace cacs::agent
