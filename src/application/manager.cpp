#include "application/manager.h"

#include <fmt/format.h>

#include <algorithm>

#include "application/manager_core.h"
#include "base/text.h"

namespace cacs::application {

namespace {

Error no_such(std::string_view what, std::string_view id) {
  return make_error(
      ErrorCode::kNotFound, fmt::format("there is no {} {}", what, id),
      fmt::format("{} lists what there is", what == "checkpoint" ? "`cacs checkpoints APP`" : "`cacs ls`"));
}

bool matches(const ApplicationView& view, const ListFilter& filter) {
  return (filter.state.empty() || view.state == filter.state) && (filter.cloud.empty() || view.cloud == filter.cloud) &&
         (filter.name.empty() || view.name == filter.name);
}

/// Events of a request made by a user on one checkpoint.
Event checkpoint_event(EventKind kind, std::string_view checkpoint) {
  return Event{.kind = kind, .checkpoint = std::string(checkpoint)};
}

}  // namespace

Manager::Manager(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Manager::~Manager() = default;

Result<std::unique_ptr<Manager>> Manager::start(database::Database& database, Clouds clouds,
                                                const ManagerOptions& options) {
  auto core = std::make_unique<Core>(database, std::move(clouds), options);
  CACS_TRY(core->load());
  core->start_pumps();
  return std::unique_ptr<Manager>(new Manager(std::move(core)));
}

Result<Started> Manager::submit(const Caller& caller, const Asr& asr) {
  const std::function<Result<Started>()> task = [&] { return core_->submit(caller, asr); };
  return core_->ask<Started>(task);
}

Result<Page<ApplicationView>> Manager::list(const Caller& caller, const ListFilter& filter) {
  Page<ApplicationView> page;
  for (const auto& posted : core_->board().all()) {
    const ApplicationView& view = *posted.application;
    if (posted.tenant != caller.tenant || view.id <= filter.cursor || !matches(view, filter)) continue;
    if (page.items.size() == filter.limit) {
      page.next_cursor = page.items.back().id;
      return page;
    }
    page.items.push_back(view);
  }
  return page;
}

Result<std::shared_ptr<const ApplicationView>> Manager::get(const Caller& caller, std::string_view application) {
  Posted posted = core_->board().find(application);
  if (posted.application == nullptr || posted.tenant != caller.tenant) return no_such("application", application);
  return posted.application;
}

Result<Started> Manager::terminate(const Caller& caller, std::string_view application) {
  const std::function<Result<Started>()> task = [&]() -> Result<Started> {
    CACS_ASSIGN(Started started,
                core_->request(caller, std::string(application), "delete", Event{.kind = EventKind::kDeleteRequested}));
    started.id = application;
    return started;
  };
  return core_->ask<Started>(task);
}

Result<Page<CheckpointView>> Manager::list_checkpoints(const Caller& caller, std::string_view application,
                                                       const ListFilter& filter) {
  const Posted posted = core_->board().find(application);
  if (posted.application == nullptr || posted.tenant != caller.tenant) return no_such("application", application);
  Page<CheckpointView> page;
  for (const auto& view : *posted.checkpoints) {
    if (view.id <= filter.cursor || (!filter.state.empty() && view.state != filter.state)) continue;
    if (page.items.size() == filter.limit) {
      page.next_cursor = page.items.back().id;
      return page;
    }
    page.items.push_back(view);
  }
  return page;
}

Result<CheckpointView> Manager::get_checkpoint(const Caller& caller, std::string_view application,
                                               std::string_view checkpoint) {
  const Posted posted = core_->board().find(application);
  if (posted.application == nullptr || posted.tenant != caller.tenant) return no_such("application", application);
  const CheckpointView* found = nullptr;
  for (const auto& view : *posted.checkpoints) {
    if (checkpoint == "latest" ? view.state == "AVAILABLE" : view.id == checkpoint) found = &view;
  }
  if (found != nullptr) return *found;
  if (checkpoint == "latest") {
    return make_error(ErrorCode::kNotFound, "this application has no checkpoint yet", "take one first");
  }
  return no_such("checkpoint", checkpoint);
}

Result<Started> Manager::take_checkpoint(const Caller& caller, std::string_view application) {
  const std::function<Result<Started>()> task = [&] {
    return core_->request(caller, std::string(application), "checkpoint",
                          Event{.kind = EventKind::kCheckpointRequested});
  };
  return core_->ask<Started>(task);
}

Status Manager::check_wish(const ApplicationView& view, const NodeWish& wish) {
  const auto refuse = [](std::string what, std::string hint) {
    return make_error(ErrorCode::kInvalidArgument, std::move(what), std::move(hint)).with_type("invalid-field");
  };
  const int pods = static_cast<int>(view.pods.size());
  if (wish.count > pods) {
    return refuse(fmt::format("{} nodes are asked for, and the application has {} pods", wish.count, pods),
                  fmt::format("ask for 1 to {} nodes", pods));
  }
  CACS_ASSIGN(const auto all, nodes_of(view.cloud));
  for (const std::string& name : wish.names) {
    if (std::ranges::find(all, name, &cloud::Node::id) != all.end()) continue;
    return refuse(fmt::format("cloud {} has no node {}", view.cloud, printable(name)),
                  fmt::format("GET /clouds/{}/nodes lists them", view.cloud));
  }
  return {};
}

Result<Started> Manager::restart(const Caller& caller, std::string_view application, std::string_view checkpoint,
                                 const std::optional<NodeWish>& wish) {
  CACS_ASSIGN(const CheckpointView view, get_checkpoint(caller, application, checkpoint));
  if (wish) {
    CACS_ASSIGN(const auto running, get(caller, application));
    CACS_TRY(check_wish(*running, *wish));
  }
  const std::function<Result<Started>()> task = [&] {
    Event event = checkpoint_event(EventKind::kRestartRequested, view.id);
    event.wish = wish;
    return core_->request(caller, std::string(application), "restart", std::move(event));
  };
  return core_->ask<Started>(task);
}

Result<Started> Manager::delete_checkpoint(const Caller& caller, std::string_view application,
                                           std::string_view checkpoint) {
  CACS_ASSIGN(const CheckpointView view, get_checkpoint(caller, application, checkpoint));
  const std::function<Result<Started>()> task = [&] {
    return core_->request(caller, std::string(application), "delete-checkpoint",
                          checkpoint_event(EventKind::kDeleteCheckpointRequested, view.id));
  };
  return core_->ask<Started>(task);
}

Result<OperationView> Manager::get_operation([[maybe_unused]] const Caller& caller, std::string_view operation) {
  OperationView view;
  if (core_->board().find_operation(operation, view)) return view;
  return no_such("operation", operation);
}

Result<std::vector<EventView>> Manager::events(const Caller& caller, std::string_view application,
                                               std::uint64_t after_id, std::size_t limit,
                                               std::chrono::milliseconds wait) {
  if (!application.empty()) CACS_TRY(get(caller, application));
  const auto end = std::chrono::steady_clock::now() + wait;
  ViewBoard& board = core_->board();
  while (true) {
    const std::uint64_t seen = board.announcements();
    CACS_ASSIGN(const auto rows, core_->database().load_events(application, after_id, limit));
    std::vector<EventView> events;
    for (const auto& row : rows) {
      if (row.tenant == caller.tenant) events.push_back(event_from_row(row));
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (!events.empty() || left.count() <= 0 || board.closed()) return events;
    // Rows of other tenants are passed over, not waited on again and again.
    if (!rows.empty()) after_id = rows.back().id;
    board.wait(seen, left);
  }
}

Result<Manager::Target> Manager::target(const Caller& caller, std::string_view application, std::string_view pod) {
  Target target;
  CACS_ASSIGN(target.view, get(caller, application));
  const std::string name = pod.empty() ? "pod-0" : std::string(pod);
  const auto& pods = target.view->pods;
  const auto found = std::find_if(pods.begin(), pods.end(), [&](const PodView& each) { return each.pod == name; });
  if (found == pods.end()) return no_such("pod", name);
  if (found->node.empty() || found->state == "NONE") {
    return make_error(ErrorCode::kConflict, fmt::format("{} of this application is on no node now", name));
  }
  const auto cloud = core_->clouds().find(target.view->cloud);
  if (cloud == core_->clouds().end()) return no_such("cloud", target.view->cloud);
  CACS_ASSIGN(target.agent, cloud->second->agent(found->node));
  target.uid = fmt::format("{}.{}", application, name);
  return target;
}

Result<JsonObject> Manager::exec(const Caller& caller, std::string_view application, const JsonObject& request) {
  CACS_ASSIGN(const Target found, target(caller, application, json_string_or(request, "pod", "")));
  return found.agent->exec(found.uid, request);
}

Result<JsonObject> Manager::explain(const Caller& caller, std::string_view application) {
  CACS_ASSIGN(const Target found, target(caller, application, ""));
  return found.agent->explain(found.uid);
}

std::vector<std::string> Manager::clouds() {
  std::vector<std::string> names;
  for (const auto& [name, cloud] : core_->clouds()) names.push_back(name);
  return names;
}

Result<std::vector<cloud::Node>> Manager::nodes_of(std::string_view cloud) {
  const auto found = core_->clouds().find(cloud);
  if (found == core_->clouds().end()) return no_such("cloud", cloud);
  return found->second->list_nodes();
}

Result<std::vector<NodeView>> Manager::nodes(std::string_view cloud) {
  CACS_ASSIGN(const auto nodes, nodes_of(cloud));
  const auto found = core_->clouds().find(cloud);
  std::vector<NodeView> views;
  for (const auto& node : nodes) {
    NodeView view{node.id, std::string(cloud), node.state, {}};
    auto agent = found->second->agent(node.id);
    auto info = agent ? (*agent)->info() : Result<JsonObject>(agent.error());
    if (info) {
      view.info = *std::move(info);
    } else {
      view.info["problem"] = error_to_json(info.error());
    }
    views.push_back(std::move(view));
  }
  return views;
}

std::string Manager::not_ready_because() {
  const Status health = core_->database().health();
  return health ? "" : health.error().to_string();
}

}  // namespace cacs::application
