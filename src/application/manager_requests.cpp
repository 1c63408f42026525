// What callers ask of the manager, on its mailbox: checked against the machine, made durable together with the
// operation and the idempotency key.

#include <fmt/format.h>

#include "application/manager_core.h"
#include "base/uuid.h"

namespace cacs::application {

namespace {

Error no_such_application(const std::string& id) {
  return make_error(ErrorCode::kNotFound, fmt::format("there is no application {}", id),
                    "list the applications to see which there are");
}

JsonObject answer_json(const Started& started) { return {{"id", started.id}, {"operation", started.operation}}; }

database::Write key_write(const Caller& caller, const Started& started) {
  return database::UseIdempotencyKey{
      {caller.tenant, caller.idempotency_key, caller.request_digest.to_hex(), answer_json(started), wall_now()}};
}

}  // namespace

Result<std::optional<Started>> Manager::Core::replayed(const Caller& caller) {
  if (caller.idempotency_key.empty()) return std::optional<Started>();
  auto row = database_.find_idempotency_key(caller.tenant, caller.idempotency_key, wall_now());
  if (!row && row.error().code == ErrorCode::kNotFound) return std::optional<Started>();
  if (!row) return row.error();
  if (row->digest != caller.request_digest.to_hex()) {
    return make_error(ErrorCode::kConflict, "this Idempotency-Key was used for another request",
                      "use a new key for a new request")
        .with_type("idempotency-key-used");
  }
  Started started;
  started.id = json_string_or(row->answer, "id", "");
  started.operation = json_string_or(row->answer, "operation", "");
  started.replayed = true;
  return std::optional(started);
}

Result<Started> Manager::Core::submit(const Caller& caller, const Asr& asr) {
  CACS_ASSIGN(const auto before, replayed(caller));
  if (before) return *before;
  CACS_TRY(refuse_unoffered(asr, options_.offers));
  auto record = std::make_unique<Record>();
  record->id = new_uuid();
  record->tenant = caller.tenant;
  record->asr = std::make_shared<const Asr>(asr);
  record->state = initial_state(policy_of(asr));
  record->created_at = record->updated_at = wall_now();
  const OpenOperation open{new_uuid(), "submit", "", 0, record->created_at};
  record->operations.push_back(open);
  const Started started{record->id, open.id, false};
  const OperationView view = open_view(*record, open);
  std::vector<database::Write> writes;
  writes.emplace_back(
      database::CreateApplication{{record->id, record->tenant, record->version, record_to_json(*record)}});
  writes.emplace_back(
      database::PutOperation{{open.id, record->id, record->tenant, view.updated_at, operation_to_json(view)}});
  std::vector<EventView> events;
  const std::uint64_t last_event = last_event_;
  add_event(*record, {"application.state", "QUEUED", {}}, writes, events);
  if (!caller.idempotency_key.empty()) writes.push_back(key_write(caller, started));
  if (const Status stored = database_.apply(std::move(writes)); !stored) {
    last_event_ = last_event;
    return stored.error().with_context("store the application");
  }
  Record& kept = *(records_[record->id] = std::move(record));
  post_views(kept);
  dispatch(kept, wanted(kept.state));
  return started;
}

Result<Started> Manager::Core::request(const Caller& caller, const std::string& application, const std::string& kind,
                                       Event event) {
  CACS_ASSIGN(const auto before, replayed(caller));
  if (before) return *before;
  Record* record = find(application);
  if (record == nullptr || record->tenant != caller.tenant) return no_such_application(application);
  if (event.kind == EventKind::kCheckpointRequested && event.checkpoint.empty()) event.checkpoint = new_uuid();
  // A deletion that is under way is joined, not started twice.
  if (kind == "delete") {
    for (const auto& open : record->operations) {
      if (open.kind == "delete") return Started{application, open.id, false};
    }
  }
  const OpenOperation open{new_uuid(), kind, event.checkpoint, record->state.incarnation, wall_now()};
  const OperationView view = open_view(*record, open);
  const Started started{event.checkpoint, open.id, false};
  record->operations.push_back(open);
  std::vector<database::Write> writes;
  writes.emplace_back(
      database::PutOperation{{open.id, application, record->tenant, view.updated_at, operation_to_json(view)}});
  if (!caller.idempotency_key.empty()) writes.push_back(key_write(caller, started));
  board_.post_operation(view);
  if (const Status applied = apply(*record, event, std::move(writes)); !applied) {
    if (Record* still = find(application)) {
      std::erase_if(still->operations, [&](const OpenOperation& each) { return each.id == open.id; });
    }
    OperationView failed = view;
    failed.state = "FAILED";
    failed.problem = applied.error();
    board_.post_operation(failed);
    return applied.error();
  }
  return started;
}

}  // namespace cacs::application
