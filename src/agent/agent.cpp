#include "agent/agent.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "agent/compatibility.h"
#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "base/uuid.h"
#include "engine/criu.h"
#include "net/certificates.h"
#include "pod/cgroup.h"
#include "repository/layout.h"
#include "repository/levels/open_place.h"

namespace cacs::agent {

namespace {

/// Beyond the nearest level, where every checkpoint goes first.
bool wants_remote(const repository::Manifest& head) {
  const JsonArray* levels = json_find_array(head.meta, "wanted_levels");
  return levels != nullptr && std::ranges::any_of(*levels, [](const Json& level) {
           return level.is_string() && level.get_string() == repository::kRemoteLevel;
         });
}

Result<JsonArray> wanted_levels(const JsonObject& body) {
  const JsonArray* levels = json_find_array(body, "levels");
  if (levels == nullptr) return JsonArray{repository::kLocalLevel};
  for (const auto& level : *levels) {
    const bool known = level.is_string() && (level.get_string() == repository::kLocalLevel ||
                                             level.get_string() == repository::kRemoteLevel);
    if (!known) return make_error(ErrorCode::kInvalidArgument, R"(`levels` may name "local" and "remote")");
  }
  return *levels;
}

/// The key of a repository that is made here; one that is there keeps its own, also where that is missed.
Status take_cluster_key(const std::filesystem::path& cluster, const std::filesystem::path& directory) {
  const std::filesystem::path own = directory.string() + ".key";
  const auto here = read_text_file(own);
  if (here || here.error().code != ErrorCode::kNotFound) return here ? Status() : Status(here.error());
  if (std::filesystem::exists(directory / repository::kDescriptorName)) return {};
  CACS_ASSIGN(const std::string key, read_text_file(cluster));
  return write_file_durably(own, key);
}

/// Programs that save themselves, as an engine among the others: what it needs of the node is that pods can be frozen.
JsonObject self_saving_view() {
  engine::Capabilities capabilities;
  capabilities.barrier = true;
  capabilities.multi_pod = true;
  JsonArray names;
  for (const auto& name : capabilities.names()) names.emplace_back(name);
  const auto freezer = pod::find_freezer();
  return {{"name", "app"},
          {"version", CACS_VERSION},
          {"ok", freezer.ok()},
          {"problem", freezer ? "" : freezer.error().to_string()},
          {"capabilities", std::move(names)}};
}

JsonObject checkpoint_json(const repository::Manifest& head) {
  JsonObject object = head.meta;
  object["checkpoint"] = head.checkpoint;
  object["application"] = head.application;
  object["incarnation"] = head.incarnation;
  object["created_at"] = head.created_at;
  object["size_bytes"] = head.size_bytes;
  object["stored_bytes"] = head.stored_bytes;
  return object;
}

}  // namespace

Agent::Agent(AgentOptions options) : options_(std::move(options)), engine_(engine::make_criu(options_.criu)) {}

Agent::~Agent() {
  events_.stop();
  store_stop_.request_stop();
  pods_.clear();  // their workers use what goes next
  lane_.reset();
  {
    const std::lock_guard lock(collect_mutex_);
    stopping_ = true;
    collect_changed_.notify_all();
  }
  if (collector_.joinable()) collector_.join();
}

Result<std::unique_ptr<Agent>> Agent::start(const AgentOptions& options) {
  std::unique_ptr<Agent> agent(new Agent(options));
  CACS_TRY(agent->set_up());
  return agent;
}

Status Agent::set_up() {
  CACS_TRY(make_directories(options_.state_dir, 0755));
  CACS_TRY(make_directories(options_.state_dir / "pods", 0755));
  CACS_ASSIGN(lock_, open_file(options_.state_dir / "agent.lock", O_RDWR | O_CREAT, 0600));
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return make_error(ErrorCode::kConflict, "another agent works in " + options_.state_dir.string(),
                      "stop it, or use another state directory");
  }
  probe_ = engine_->probe(std::chrono::seconds(30));
  if (!probe_.usable) spdlog::error("engine {}: {}", engine_->name(), probe_.problem);
  CACS_ASSIGN(delta_store_, delta::open_delta_store(options_.state_dir));
  if (!delta_store_.problem.empty()) spdlog::warn("{}", delta_store_.problem);
  CACS_TRY(open_store());
  // Pieces that were stored but not committed when the last agent died: their cuts are forgotten, nobody will commit
  // them.
  CACS_TRY(store_->repository().drop_all_pieces());
  collect_wanted_ = true;
  context_.state_dir = options_.state_dir;
  context_.mask_dir = options_.mask_dir;
  context_.delta_dir = delta_store_.directory / "pods";
  CACS_TRY(make_directories(context_.delta_dir, 0755));
  context_.program = options_.program;
  context_.init_program = options_.init_program;
  context_.criu = options_.criu;
  context_.engine = engine_.get();
  CACS_ASSIGN(context_.compatibility, node_compatibility(*engine_, probe_));
  context_.store = store_.get();
  context_.events = &events_;
  switches_ = std::make_unique<Switches>(options_.state_dir / "pods", options_.network_fd);
  context_.switches = switches_.get();
  for (const int fd : {options_.network_fd, options_.hold_fd}) {
    if (fd >= 0) context_.held_fds.push_back(fd);
  }
  context_.collect = [this] { want_collection(); };
  context_.bring = [this](const pod::PodSpec& spec) { return bring_part(spec); };
  context_.check_room = [this](std::uint64_t needed) -> Status {
    CACS_TRY(delta::check_room(delta_store_, 0));
    struct statvfs room {};
    if (::statvfs(options_.state_dir.c_str(), &room) != 0) return errno_error(errno, "look for room");
    const std::uint64_t available = std::uint64_t{room.f_bavail} * room.f_frsize;
    if (available >= needed) return {};
    return make_error(ErrorCode::kNoSpace,
                      "the disk is too full: the checkpoint may need " + format_size(needed) + ", " +
                          options_.state_dir.string() + " has " + format_size(available) + " left",
                      "make room, or delete old checkpoints")
        .with_type("disk-full");
  };
  // Before there are pods: one that is made anew may take a checkpoint over, which is to be copied.
  if (store_->levels().has_remote()) {
    lane_ = std::make_unique<LevelLane>(
        store_->levels(), LevelLaneOptions{.wanted = wants_remote, .changed = [this](const std::string& checkpoint) {
                                             tell_levels(checkpoint);
                                           }});
  }
  recover_pods();
  collector_ = std::thread([this] { collect_garbage(); });
  return {};
}

Status Agent::open_store() {
  std::optional<repository::RemotePlace> remote;
  if (!options_.remote.empty()) {
    CACS_ASSIGN(remote, repository::remote_place(
                            options_.remote, {.upload_rate = options_.remote_rate, .stop = store_stop_.get_token()}));
  }
  const std::filesystem::path directory = options_.state_dir / "repository";
  if (!options_.cluster_key.empty()) CACS_TRY(take_cluster_key(options_.cluster_key, directory));
  CACS_ASSIGN(store_, CheckpointStore::open(directory, remote));
  exports_ = std::make_unique<Exports>(store_->repository());
  adoption_ = std::make_unique<Adoption>(*store_, AdoptionOptions{.tls = net::tls_files(options_.tls),
                                                                  .network_fd = options_.network_fd,
                                                                  .key_file = directory.string() + ".key",
                                                                  .stop = store_stop_.get_token(),
                                                                  .adopted = [this](const repository::Manifest& head) {
                                                                    if (lane_ && wants_remote(head))
                                                                      lane_->copy(head.checkpoint);
                                                                  }});
  return {};
}

Status Agent::bring_part(const pod::PodSpec& spec) {
  CACS_TRY(adoption_->bring(spec.restore_checkpoint, spec.pod, spec.restore_sources));
  CACS_ASSIGN(const auto manifest, store_->repository().load(spec.restore_checkpoint));
  return check_restorable(manifest, spec);
}

JsonObject Agent::checkpoint_view(const repository::Manifest& head) {
  JsonObject object = checkpoint_json(head);
  JsonArray reached;
  if (const auto levels = store_->levels().levels_of(head.checkpoint)) {
    for (const auto& level : *levels) reached.emplace_back(level);
  }
  object["levels"] = std::move(reached);
  return object;
}

void Agent::tell_levels(const std::string& checkpoint) {
  const auto document = repository::load_manifest_document(store_->repository().core(), checkpoint);
  if (!document) return;  // removed since
  const JsonObject view = checkpoint_view(document->head);
  events_.push({{"kind", "checkpoint.levels"},
                {"application", document->head.application},
                {"checkpoint", checkpoint},
                {"levels", view.at("levels")}});
}

void Agent::recover_pods() {
  std::error_code problem;
  for (const auto& entry : std::filesystem::directory_iterator(options_.state_dir / "pods", problem)) {
    const std::string uid = entry.path().filename().string();
    if (!pod::is_pod_uid(uid)) continue;
    const auto text = read_text_file(entry.path() / "spec.json");
    const auto object = text ? parse_json_object(*text, "spec.json") : Result<JsonObject>(text.error());
    const auto spec = object ? pod::parse_pod_spec(*object) : Result<pod::PodSpec>(object.error());
    if (!spec) {
      // Its directory was made and nothing else: the call that made it was never answered.
      spdlog::warn("pod {} has no specification: {}", uid, spec.error().to_string());
      if (const auto removed = remove_tree(entry.path()); !removed) spdlog::warn("{}", removed.error().to_string());
      continue;
    }
    auto pod = std::make_shared<NodePod>(context_, *spec);
    pods_[uid] = pod;
    pod->recover();
  }
}

void Agent::leave() {
  std::map<std::string, std::shared_ptr<NodePod>> pods;
  {
    const std::lock_guard lock(mutex_);
    pods = pods_;
  }
  bool all_ended = true;
  for (const auto& [uid, pod] : pods) {
    const auto retired = pod->retire();
    if (!retired) spdlog::warn("pod {}: {}", uid, retired.error().to_string());
    all_ended = all_ended && retired && *retired;
  }
  if (!all_ended) return;
  if (const auto closed = delta::close_delta_store(delta_store_); !closed) {
    spdlog::warn("{}", closed.error().to_string());
  }
}

Result<JsonObject> Agent::info() {
  struct statvfs room {};
  if (::statvfs(options_.state_dir.c_str(), &room) != 0)
    return errno_error(errno, "look at " + options_.state_dir.string());
  CACS_ASSIGN(const std::string boot_id, read_boot_id());
  JsonArray capabilities;
  for (const auto& name : probe_.capabilities.names()) capabilities.emplace_back(name);
  return JsonObject{{"node", options_.node},
                    {"boot_id", boot_id},
                    {"instance", events_.instance()},
                    {"version", CACS_VERSION},
                    {"cpus", ::sysconf(_SC_NPROCESSORS_ONLN)},
                    {"memory_bytes", static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE)},
                    {"disk_free_bytes", std::uint64_t{room.f_bavail} * room.f_frsize},
                    {"delta_store", delta_store_.shares_blocks() ? "reflink" : "copy"},
                    {"remote", lane_ ? Json(lane_->view()) : Json(nullptr)},
                    {"engines", JsonArray{JsonObject{{"name", engine_->name()},
                                                     {"version", probe_.version},
                                                     {"ok", probe_.usable},
                                                     {"problem", probe_.problem},
                                                     {"capabilities", std::move(capabilities)}},
                                          self_saving_view()}}};
}

JsonObject Agent::list_pods() {
  std::vector<std::shared_ptr<NodePod>> pods;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [uid, pod] : pods_) pods.push_back(pod);
  }
  JsonArray list;
  for (const auto& pod : pods) list.push_back(pod->view());
  return {{"pods", std::move(list)}};
}

Result<std::shared_ptr<NodePod>> Agent::find_pod(const std::string& uid, int incarnation) {
  const std::lock_guard lock(mutex_);
  const auto found = pods_.find(uid);
  if (found == pods_.end())
    return make_error(ErrorCode::kNotFound, "there is no pod " + printable(uid) + " on this node");
  if (incarnation != 0 && incarnation != found->second->spec().incarnation) {
    return make_error(ErrorCode::kStale, "pod " + uid + " is in incarnation " +
                                             std::to_string(found->second->spec().incarnation) + ", not " +
                                             std::to_string(incarnation));
  }
  return found->second;
}

Status Agent::check_fits(const repository::Manifest& manifest, const std::string& pod) {
  for (const auto& piece : manifest.pieces) {
    if (piece.label != pod) continue;
    const JsonObject* saved = json_find_object(piece.meta, "compatibility");
    if (saved != nullptr) CACS_TRY(check_compatible(*saved, context_.compatibility));
  }
  return store_->check_base(manifest, pod);
}

Status Agent::check_restorable(const repository::Manifest& manifest, const pod::PodSpec& spec) {
  for (const auto& piece : manifest.pieces) {
    const JsonObject* saved = json_find_object(piece.meta, "compatibility");
    if (piece.label == spec.pod && saved != nullptr) CACS_TRY(check_engine(*saved, spec.engine));
  }
  return check_fits(manifest, spec.pod);
}

Result<JsonObject> Agent::put_pod(const std::string& uid, const JsonObject& body) {
  CACS_ASSIGN(pod::PodSpec spec, pod::parse_pod_spec(body));
  if (spec.uid() != uid) return make_error(ErrorCode::kInvalidArgument, "the body names another pod than the path");
  if (!spec.self_saving && !probe_.usable) {
    return make_error(ErrorCode::kUnsupported,
                      "the engine " + engine_->name() + " does not work here: " + probe_.problem, "run `cacs check`")
        .with_type("engine-missing");
  }
  const std::lock_guard one_at_a_time(put_mutex_);
  const auto check = [&]() -> Status {
    if (spec.restore_checkpoint.empty()) return {};
    const auto manifest = store_->repository().load(spec.restore_checkpoint);
    const bool here =
        manifest && std::ranges::any_of(manifest->pieces, [&](const auto& piece) { return piece.label == spec.pod; });
    // What comes from elsewhere is looked at when it has come.
    if (!here && !spec.restore_sources.empty()) return {};
    return manifest ? check_restorable(*manifest, spec) : manifest.error();
  };
  if (auto present = find_pod(uid); present) {
    const int there = (*present)->spec().incarnation;
    if (there == spec.incarnation) return (*present)->view();
    if (there > spec.incarnation) {
      return make_error(ErrorCode::kStale, "pod " + uid + " is in incarnation " + std::to_string(there) + " already");
    }
    // Refused before anything is torn down.
    CACS_TRY(check());
    CACS_TRY((*present)->destroy().context("remove incarnation " + std::to_string(there)));
    const std::lock_guard lock(mutex_);
    pods_.erase(uid);
  } else {
    CACS_TRY(check());
  }
  auto pod = std::make_shared<NodePod>(context_, std::move(spec));
  CACS_TRY(pod->create());
  {
    const std::lock_guard lock(mutex_);
    pods_[uid] = pod;
  }
  return pod->view();
}

Status Agent::delete_pod(const std::string& uid, int incarnation) {
  const std::lock_guard one_at_a_time(put_mutex_);
  std::shared_ptr<NodePod> pod;
  {
    const std::lock_guard lock(mutex_);
    const auto found = pods_.find(uid);
    if (found == pods_.end()) return {};
    pod = found->second;
  }
  if (incarnation != 0 && pod->spec().incarnation > incarnation) {
    return make_error(ErrorCode::kStale, "pod " + uid + " is in a newer incarnation");
  }
  CACS_TRY(pod->destroy());
  const std::lock_guard lock(mutex_);
  pods_.erase(uid);
  return {};
}

Result<JsonObject> Agent::commit_checkpoint(const std::string& checkpoint, const JsonObject& body) {
  if (!is_uuid(checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id is a UUID");
  repository::Manifest head;
  head.checkpoint = checkpoint;
  CACS_ASSIGN(head.application, json_string(body, "application"));
  head.incarnation = static_cast<int>(json_int_or(body, "incarnation", 0));
  head.tenant = json_string_or(body, "tenant", "default");
  std::vector<std::string> pieces;
  JsonArray pods;
  bool files = false;  // that the program saved itself into
  const JsonArray* list = json_find_array(body, "pods");
  if (list == nullptr || list->empty()) return make_error(ErrorCode::kInvalidArgument, "a commit needs `pods`");
  for (const auto& item : *list) {
    const JsonObject* pod = item.if_object();
    if (pod == nullptr) return make_error(ErrorCode::kInvalidArgument, "`pods` must be objects");
    CACS_ASSIGN(std::string piece, json_string(*pod, "piece"));
    CACS_ASSIGN(const std::string uid, json_string(*pod, "uid"));
    pieces.push_back(std::move(piece));
    pods.emplace_back(uid.substr(uid.rfind('.') + 1));
    const auto known = find_pod(uid);
    files = files || (known && (*known)->spec().self_saving);
  }
  head.meta = {{"name", json_string_or(body, "name", "")},
               {"reason", json_string_or(body, "reason", "")},
               {"pods", std::move(pods)},
               {"compatibility", files ? files_compatibility(context_.compatibility) : context_.compatibility}};
  CACS_ASSIGN(head.meta["wanted_levels"], wanted_levels(body));
  // Where other nodes have the rest, this manifest is a part of the checkpoint.
  if (const std::int64_t of_pods = json_int_or(body, "of_pods", 0); of_pods > 0) head.meta["of_pods"] = of_pods;
  for (const char* optional : {"asr", "timings"}) {
    if (const JsonObject* value = json_find_object(body, optional)) head.meta[optional] = *value;
  }
  CACS_TRY(store_->repository().commit_checkpoint(head, pieces));
  if (lane_ && wants_remote(head)) lane_->copy(checkpoint);
  return get_checkpoint(checkpoint);
}

Result<JsonObject> Agent::list_checkpoints() {
  CACS_ASSIGN(const auto summaries, store_->levels().list());
  JsonArray list;
  for (const auto& summary : summaries) {
    JsonObject object = summary.problem ? checkpoint_json(summary.head) : checkpoint_view(summary.head);
    if (summary.problem) object["problem"] = error_to_json(*summary.problem);
    list.push_back(std::move(object));
  }
  return JsonObject{{"checkpoints", std::move(list)}};
}

Result<JsonObject> Agent::get_checkpoint(const std::string& checkpoint) {
  CACS_ASSIGN(const repository::Manifest manifest, store_->repository().load(checkpoint));
  return checkpoint_view(manifest);
}

Result<JsonObject> Agent::verify_checkpoint(const std::string& checkpoint) {
  const auto verify = [&]() -> Status {
    CACS_ASSIGN(const auto manifest, store_->repository().load(checkpoint));
    for (const auto& piece : manifest.pieces) CACS_TRY(check_fits(manifest, piece.label));
    return store_->verify(manifest);
  };
  const Status status = verify();
  JsonArray problems;
  if (!status) problems.push_back(error_to_json(status.error()));
  return JsonObject{{"ok", status.ok()}, {"problems", std::move(problems)}};
}

Result<JsonObject> Agent::checkpoint_logs(const std::string& checkpoint, const std::string& pod, const LogWish& wish) {
  return read_saved_output(*store_, checkpoint, pod, wish);
}

Status Agent::delete_checkpoint(const std::string& checkpoint) {
  Status removed = store_->levels().remove(checkpoint);
  if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
  if (lane_) lane_->remove(checkpoint);
  want_collection();
  return {};
}

void Agent::want_collection() {
  const std::lock_guard lock(collect_mutex_);
  collect_wanted_ = true;
  collect_changed_.notify_all();
}

void Agent::collect_garbage() {
  // A checkpoint that is being stored goes first. But where there is always one, a collection that has waited for a
  // minute keeps new ones out until it has had its turn (GateTurns).
  constexpr int kGivesWay = 12;
  constexpr std::chrono::seconds kPause{5};
  int busy = 0;
  std::unique_lock lock(collect_mutex_);
  while (true) {
    collect_changed_.wait(lock, [&] { return collect_wanted_ || stopping_; });
    if (stopping_) return;
    collect_wanted_ = false;
    lock.unlock();
    repository::CollectOptions options;
    options.wait = busy < kGivesWay ? repository::GateWait::kFail : repository::GateWait::kBlock;
    options.stop = store_stop_.get_token();
    auto result = store_->repository().collect(options);
    const bool was_busy = !result && result.error().code == ErrorCode::kUnavailable;
    if (result) {
      spdlog::info("collection: {} packs removed, {} freed", result->packs_removed, format_size(result->bytes_freed));
    } else if (!was_busy && !options.stop.stop_requested()) {
      spdlog::error("collection: {}", result.error().to_string());
    }
    busy = was_busy ? busy + 1 : 0;
    lock.lock();
    if (was_busy && !stopping_) {
      collect_changed_.wait_for(lock, kPause, [&] { return stopping_; });
      collect_wanted_ = true;
    }
  }
}

}  // namespace cacs::agent
