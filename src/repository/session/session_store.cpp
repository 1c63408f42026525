#include "repository/session/session_store.h"

#include <algorithm>

namespace cacs::repository {

namespace {

SessionStore::Performed outcome(SessionOutcome value) {
  SessionStore::Performed performed;
  performed.answer.outcome = value;
  return performed;
}

SessionStore::Performed failure(const Error& error) {
  auto performed = outcome(SessionOutcome::kUnknown);
  performed.error = error;
  return performed;
}

}  // namespace

SessionStore::Performed SessionStore::perform(const SessionOp& op) {
  switch (op.kind) {
    case SessionOpKind::kRead:
      return read(op.key);
    case SessionOpKind::kPut:
    case SessionOpKind::kCreate:
      return write(op);
    case SessionOpKind::kRemove: {
      const auto removed = backend_.remove(op.key);
      if (removed || removed.error().code == ErrorCode::kNotFound) return outcome(SessionOutcome::kDone);
      return failure(removed.error());
    }
    default:
      return failure(make_error(ErrorCode::kInternal, "an operation of the collector was given to a writer's store"));
  }
}

SessionStore::Performed SessionStore::read(const std::string& name) {
  const auto sealed = get_object(backend_, name, kMaxSessionDocumentBytes * 2);
  if (!sealed && sealed.error().code == ErrorCode::kNotFound) return outcome(SessionOutcome::kAbsent);
  if (!sealed) return failure(sealed.error());
  const auto plain = sealer_.open(name, *sealed);
  if (!plain) return failure(plain.error().with_context("open " + name + " of " + backend_.describe()));
  auto document = parse_session_document(*plain, name + " of " + backend_.describe());
  if (!document) return failure(document.error());
  auto performed = outcome(SessionOutcome::kDone);
  performed.answer.document = std::make_shared<const SessionDocument>(std::move(document).value());
  return performed;
}

SessionStore::Performed SessionStore::write(const SessionOp& op) {
  const auto plain = encode_session_document(*op.document);
  if (!plain) return failure(plain.error().with_context("write " + op.key));
  const auto sealed = sealer_.seal(op.key, *plain);
  if (!sealed) return failure(sealed.error().with_context("seal " + op.key));
  const bool create = op.kind == SessionOpKind::kCreate;
  const auto put = put_object(backend_, op.key, *sealed, create ? Overwrite::kNo : Overwrite::kYes);
  if (put) return outcome(SessionOutcome::kDone);
  if (create && put.error().code == ErrorCode::kConflict) return outcome(SessionOutcome::kTaken);
  return failure(put.error());
}

std::optional<Error> SessionAttempts::failed(const Error& error, const std::stop_token& stop) {
  const bool passes =
      error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kTimeout || error.code == ErrorCode::kIo;
  if (!passes || ++failures_ >= patience_.failures) return error;
  auto delay = patience_.first_delay;
  for (unsigned i = 1; i < failures_ && delay < patience_.longest_delay; ++i) delay *= 2;
  if (!clock_.sleep_for(std::min(delay, patience_.longest_delay), stop)) return error;
  return std::nullopt;
}

}  // namespace cacs::repository
