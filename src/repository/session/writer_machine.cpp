#include "repository/session/writer_machine.h"

#include <algorithm>

namespace cacs::repository {

namespace {

SessionOp make_op(SessionOpKind kind, std::string key, SessionDocumentPtr document = nullptr) {
  SessionOp op;
  op.kind = kind;
  op.key = std::move(key);
  op.document = std::move(document);
  return op;
}

}  // namespace

WriterMachine::WriterMachine(WriterOptions options)
    : options_(std::move(options)), state_(std::make_shared<const CollectorState>()) {}

WriterStep WriterMachine::step(const WriterEvent& event) {
  switch (event.kind) {
    case WriterEventKind::kStart:
      if (phase_ != Phase::kIdle) break;
      phase_ = Phase::kFinding;
      finder_.emplace(0);
      set_up();
      break;
    case WriterEventKind::kBegin:
      begin(event);
      break;
    case WriterEventKind::kRootsWritten:
      confirm(event.handle);
      break;
    case WriterEventKind::kRootsDoubtful:
      doubt(event.handle);
      break;
    case WriterEventKind::kEnd:
      end(event.handle);
      break;
    case WriterEventKind::kBeat:
      if (phase_ == Phase::kReady || phase_ == Phase::kWinding) want_register();
      break;
    case WriterEventKind::kResign:
      resign_ = true;
      if (phase_ == Phase::kReady) phase_ = Phase::kWinding;
      break;
    case WriterEventKind::kAnswer:
      answer(event.op, event.answer);
      break;
  }
  maybe_resign();
  pump_register();
  return std::exchange(out_, {});
}

void WriterMachine::emit(Task task, SessionOp op, std::uint64_t handle, std::uint64_t number) {
  op.id = next_op_++;
  pending_.emplace(op.id, Pending{task, handle, op, number});
  out_.ops.push_back(std::move(op));
}

void WriterMachine::notice(WriterNoticeKind kind, std::uint64_t handle) {
  WriterNotice notice{kind, handle, {}, nullptr};
  if (kind == WriterNoticeKind::kBegan) {
    const Session& session = sessions_.at(handle);
    notice.origin = {{seat_, session.number}, session.seen};
    notice.state = state_;
  }
  out_.notices.push_back(std::move(notice));
}

void WriterMachine::answer(std::uint64_t op, const SessionAnswer& answer) {
  const auto at = pending_.find(op);
  if (at == pending_.end()) return;
  const Pending pending = std::move(at->second);
  pending_.erase(at);
  const bool unknown = answer.outcome == SessionOutcome::kUnknown;
  if (unknown && (pending.op.kind == SessionOpKind::kRemove || pending.op.kind == SessionOpKind::kRead) &&
      pending.task != Task::kSetUp && pending.task != Task::kFind) {
    return emit(pending.task, pending.op, pending.handle, pending.number);  // may be repeated at any time
  }
  switch (pending.task) {
    case Task::kSetUp:
      set_up_answer(answer);
      break;
    case Task::kRegister:
      register_answer(pending, answer);
      break;
    case Task::kFind:
      finder_->answer(answer);
      if (!finder_->done()) return emit(Task::kFind, finder_->op());
      found();
      break;
    case Task::kLicence:
      licence_answer(pending.handle, answer);
      break;
    case Task::kRemoveRoot:
      remove_answer(pending.handle);
      break;
    case Task::kSuccessor:
      asking_successor_ = false;
      // Nobody had taken over after that state was read: whoever does inherits it.
      if (answer.outcome == SessionOutcome::kAbsent || options_.mutation == SessionMutation::kForgetUnconfirmed) {
        const auto count = std::min<std::uint64_t>(committed_.size(), pending.number + 1 - first_committed_);
        committed_.erase(committed_.begin(), committed_.begin() + static_cast<std::ptrdiff_t>(count));
        first_committed_ += count;
      }
      break;
  }
}

// --- getting a seat

void WriterMachine::set_up() {
  switch (phase_) {
    case Phase::kFinding:
    case Phase::kVerifying:
      return emit(Task::kSetUp, finder_->op());
    case Phase::kSeatEnd:
      return emit(Task::kSetUp, seat_end_->op());
    case Phase::kClaiming:
      return emit(Task::kSetUp, claim_->op());
    case Phase::kLicensing:
      return emit(Task::kSetUp,
                  make_op(SessionOpKind::kPut, licence_key(seat_), make_session_document(Licence{options_.instance})));
    default:
      break;
  }
}

void WriterMachine::set_up_answer(const SessionAnswer& answer) {
  switch (phase_) {
    case Phase::kFinding:
      finder_->answer(answer);
      if (finder_->done()) {
        term_ = finder_->last_term();
        seat_end_.emplace(Chain::kSeats, std::max(finder_->state().base, seat_));
        phase_ = Phase::kSeatEnd;
      }
      break;
    case Phase::kSeatEnd:
      seat_end_->answer(answer);
      if (seat_end_->done()) claim_seat(seat_end_->last() + 1);
      break;
    case Phase::kClaiming:
      claim_->answer(answer);
      if (claim_->done()) {
        seat_ = claim_->number();
        phase_ = Phase::kLicensing;
      }
      break;
    case Phase::kLicensing:
      // A licence that may be written later could come back after its removal: the seat is given up.
      if (answer.outcome != SessionOutcome::kDone) {
        claim_seat(seat_ + 1);
      } else {
        phase_ = Phase::kVerifying;
        finder_.emplace(term_);
      }
      break;
    case Phase::kVerifying:
      finder_->answer(answer);
      if (finder_->done()) verify();
      break;
    default:
      return;
  }
  set_up();
}

void WriterMachine::claim_seat(std::uint64_t first) {
  claim_.emplace(Chain::kSeats, options_.exclusive_create, options_.instance, first);
  phase_ = Phase::kClaiming;
}

void WriterMachine::verify() {
  const CollectorState& state = finder_->state();
  const Member* member = find_member(state, seat_);
  const bool counts = seat_ > state.base || (member != nullptr && member->status != MemberStatus::kClosed);
  if (!counts && options_.mutation != SessionMutation::kSeatUnchecked) {
    // The chain had gone on since we read where it begins: this seat is one of the past.
    term_ = finder_->last_term();
    phase_ = Phase::kSeatEnd;
    seat_end_.emplace(Chain::kSeats, state.base);
    return;
  }
  state_ = std::make_shared<const CollectorState>(state);
  term_ = finder_->last_term();
  finder_.reset();
  phase_ = resign_ ? Phase::kWinding : Phase::kReady;
  notice(WriterNoticeKind::kReady);
}

// --- sessions

void WriterMachine::begin(const WriterEvent& event) {
  const bool full = committed_.size() >= options_.max_committed || sessions_.size() >= options_.max_sessions;
  if (phase_ != Phase::kReady || full) {
    if (phase_ == Phase::kReady) phase_ = Phase::kWinding;
    return notice(WriterNoticeKind::kRefused, event.handle);
  }
  want_register();
  Session session;
  session.number = next_session_++;
  session.roots = event.roots;
  session.seen = {state_->term, state_->serial};
  session.version = wanted_;
  sessions_.emplace(event.handle, std::move(session));
  if (options_.mutation == SessionMutation::kNoWait) {
    sessions_.at(event.handle).stage = Stage::kReading;
    waiting_.push_back(event.handle);
    look();
  }
}

/// Looks for the newest state, on behalf of all sessions whose register is durable by now. One that becomes durable
/// while we look has to wait for the next look: what this one finds may be from before.
void WriterMachine::look() {
  if (finder_ || waiting_.empty()) return;
  looking_ = std::exchange(waiting_, {});
  finder_.emplace(term_);
  emit(Task::kFind, finder_->op());
}

void WriterMachine::found() {
  const CollectorState state = finder_->state();
  term_ = finder_->last_term();
  finder_.reset();
  take_state(state);
  for (const std::uint64_t handle : std::exchange(looking_, {})) {
    const auto at = sessions_.find(handle);
    if (at == sessions_.end() || at->second.stage != Stage::kReading) continue;
    at->second.stage = Stage::kOpen;
    at->second.seen = {state.term, state.serial};
    notice(WriterNoticeKind::kBegan, handle);
  }
  look();
}

void WriterMachine::take_state(const CollectorState& state) {
  state_ = std::make_shared<const CollectorState>(state);
  const Member* member = find_member(state, seat_);
  if (member == nullptr && seat_ <= state.base) return expelled();
  if (options_.mutation == SessionMutation::kRaiseSeen) {
    for (auto& [handle, session] : sessions_) session.seen = {state.term, state.serial};
  }
  if (member == nullptr || member->absorbed < first_committed_ || committed_.empty() || asking_successor_) return;
  asking_successor_ = true;
  emit(Task::kSuccessor, make_op(SessionOpKind::kRead, claim_key(Chain::kTerms, state.term + 1)), 0, member->absorbed);
}

void WriterMachine::confirm(std::uint64_t handle) {
  const auto at = sessions_.find(handle);
  if (at == sessions_.end() || at->second.stage != Stage::kOpen) return;
  at->second.stage = Stage::kConfirming;
  if (options_.mutation == SessionMutation::kNoFenceCheck) {
    at->second.stage = Stage::kCommitted;
    return notice(WriterNoticeKind::kCommitted, handle);
  }
  emit(Task::kLicence, make_op(SessionOpKind::kRead, licence_key(seat_)), handle);
}

void WriterMachine::doubt(std::uint64_t handle) {
  const auto at = sessions_.find(handle);
  if (at == sessions_.end()) return;
  if (at->second.stage != Stage::kOpen && at->second.stage != Stage::kConfirming) return;
  // It stays in the register, and keeps what it may reference, until a collector has settled this instance.
  at->second.stage = Stage::kDoubtful;
  notice(WriterNoticeKind::kDoubtful, handle);
  if (phase_ == Phase::kReady) phase_ = Phase::kWinding;
  if (options_.mutation == SessionMutation::kDropDoubtful) end(handle);
}

void WriterMachine::licence_answer(std::uint64_t handle, const SessionAnswer& answer) {
  Session& session = sessions_.at(handle);
  if (session.stage != Stage::kConfirming) return;  // given up meanwhile
  const auto* licence = session_document_as<Licence>(answer.document);
  if (licence != nullptr && licence->instance == options_.instance) {
    session.stage = Stage::kCommitted;
    return notice(WriterNoticeKind::kCommitted, handle);
  }
  session.stage = Stage::kRemoving;
  session.removals = session.roots.size();
  for (const std::string& root : session.roots) {
    emit(Task::kRemoveRoot, make_op(SessionOpKind::kRemove, root), handle);
  }
  if (session.roots.empty()) {
    sessions_.erase(handle);
    notice(WriterNoticeKind::kFenced, handle);
  }
  expelled();
}

void WriterMachine::remove_answer(std::uint64_t handle) {
  const auto at = sessions_.find(handle);
  if (--at->second.removals > 0) return;
  sessions_.erase(at);
  notice(WriterNoticeKind::kFenced, handle);
}

void WriterMachine::end(std::uint64_t handle) {
  const auto at = sessions_.find(handle);
  if (at == sessions_.end()) return notice(WriterNoticeKind::kEnded, handle);
  Session& session = at->second;
  switch (session.stage) {
    case Stage::kCommitted:
      committed_.insert(committed_.end(), session.roots.begin(), session.roots.end());
      break;
    case Stage::kRegistering:
    case Stage::kReading:
    case Stage::kOpen:
      break;
    case Stage::kDoubtful:
      if (options_.mutation == SessionMutation::kDropDoubtful) break;
      return;
    case Stage::kConfirming:
    case Stage::kRemoving:
    case Stage::kEnding:
      return;
  }
  if (phase_ == Phase::kOut) {
    sessions_.erase(at);
    return notice(WriterNoticeKind::kEnded, handle);
  }
  want_register();
  session.stage = Stage::kEnding;
  session.version = wanted_;
}

/// A collector has fenced this instance (or it resigned). What is open finds its licence gone.
void WriterMachine::expelled() {
  phase_ = Phase::kOut;
  std::vector<std::uint64_t> refused;
  std::vector<std::uint64_t> ended;
  for (const auto& [handle, session] : sessions_) {
    if (session.stage == Stage::kRegistering || session.stage == Stage::kReading) refused.push_back(handle);
    if (session.stage == Stage::kEnding) ended.push_back(handle);
  }
  for (const std::uint64_t handle : refused) {
    sessions_.erase(handle);
    notice(WriterNoticeKind::kRefused, handle);
  }
  for (const std::uint64_t handle : ended) {
    sessions_.erase(handle);
    notice(WriterNoticeKind::kEnded, handle);
  }
}

void WriterMachine::maybe_resign() {
  if (phase_ != Phase::kWinding || resigned_) return;
  const bool busy = std::any_of(sessions_.begin(), sessions_.end(),
                                [](const auto& entry) { return entry.second.stage != Stage::kDoubtful; });
  if (busy || (options_.mutation == SessionMutation::kDropDoubtful && !resign_)) return;
  resigned_ = true;
  want_register();
}

// --- the register

WriterRegister WriterMachine::content() const {
  WriterRegister content;
  content.instance = options_.instance;
  content.name = options_.name;
  content.host = options_.host;
  content.version = wanted_;
  content.resigned = resigned_;
  content.first_committed = first_committed_;
  content.committed = committed_;
  for (const auto& [handle, session] : sessions_) {
    if (session.stage == Stage::kEnding) continue;
    content.open.push_back({session.number, session.seen, session.roots});
  }
  return content;
}

void WriterMachine::pump_register() {
  if (in_flight_ || (phase_ != Phase::kReady && phase_ != Phase::kWinding)) return;
  if (published_ >= wanted_ && !fresh_ && !spoiled_) return;
  in_flight_ = true;
  emit(Task::kRegister,
       make_op(SessionOpKind::kPut, register_key(seat_, register_number_), make_session_document(content())), 0,
       wanted_);
}

void WriterMachine::register_answer(const Pending& pending, const SessionAnswer& answer) {
  in_flight_ = false;
  if (answer.outcome != SessionOutcome::kDone) {
    spoiled_ = options_.mutation != SessionMutation::kReuseSpoiledRegister;
    return;
  }
  if (spoiled_) {
    // The earlier write may still come and put old content back. This number is there now, so the chain of numbers has
    // no gap; what counts is written under the next.
    spoiled_ = false;
    fresh_ = true;
    ++register_number_;
    return;
  }
  fresh_ = false;
  published_ = pending.number;
  if (resigned_ && published_ == wanted_) {
    phase_ = Phase::kOut;
    return notice(WriterNoticeKind::kResigned);
  }
  std::vector<std::uint64_t> ended;
  for (auto& [handle, session] : sessions_) {
    if (session.version > published_) continue;
    if (session.stage == Stage::kRegistering) {
      session.stage = Stage::kReading;
      waiting_.push_back(handle);
    }
    if (session.stage == Stage::kEnding) ended.push_back(handle);
  }
  for (const std::uint64_t handle : ended) {
    sessions_.erase(handle);
    notice(WriterNoticeKind::kEnded, handle);
  }
  look();
}

}  // namespace cacs::repository
