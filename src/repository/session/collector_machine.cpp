#include "repository/session/collector_machine.h"

#include <algorithm>

#include "repository/session/session_keys.h"

namespace cacs::repository {

namespace {

SessionOp make_op(SessionOpKind kind, std::string key = {}, SessionDocumentPtr document = nullptr) {
  SessionOp op;
  op.kind = kind;
  op.key = std::move(key);
  op.document = std::move(document);
  return op;
}

}  // namespace

std::vector<SessionOp> CollectorMachine::step(const CollectorEvent& event) {
  if (event.kind == CollectorEventKind::kRun) {
    if (phase_ == Phase::kIdle) start_run();
  } else if (event.kind == CollectorEventKind::kCancel) {
    cancel();
  } else {
    answer(event.op, event.answer);
  }
  return std::exchange(out_, {});
}

void CollectorMachine::emit(SessionOp op, std::uint64_t seat) {
  op.id = next_op_++;
  pending_.emplace(op.id, Pending{op, seat});
  out_.push_back(std::move(op));
}

void CollectorMachine::finish(CollectorOutcome outcome) {
  outcome_ = outcome;
  phase_ = Phase::kIdle;
}

void CollectorMachine::cancel() {
  if (phase_ == Phase::kIdle) return;
  // A state or catalogue that was sent off may come at any time, so nothing else may be written under its name. A
  // licence that was removed stays so, and its holder stays a member until a later run settles it.
  const bool reading = phase_ >= Phase::kList && phase_ <= Phase::kMark;
  if (!reading && phase_ != Phase::kActs && phase_ != Phase::kOld) drop_role();
  pending_.clear();
  finish(CollectorOutcome::kCancelled);
}

void CollectorMachine::drop_role() {
  term_ = 0;
  state_ = {};
  catalogue_ = {};
}

void CollectorMachine::start_run() {
  outcome_ = CollectorOutcome::kRunning;
  report_ = {};
  facts_ = {};
  late_roots_.clear();
  executed_.clear();
  old_objects_.clear();
  obsolete_.clear();
  write_lost_ = false;
  if (term_ != 0) {
    enter(Phase::kStillHolder);
    return emit(make_op(SessionOpKind::kRead, claim_key(Chain::kTerms, term_ + 1)));
  }
  enter(Phase::kFind);
  finder_.emplace(0);
  emit(finder_->op());
}

void CollectorMachine::answer(std::uint64_t id, const SessionAnswer& answer) {
  const auto at = pending_.find(id);
  if (at == pending_.end()) return;
  const Pending pending = std::move(at->second);
  pending_.erase(at);
  const bool repeated = answer.outcome == SessionOutcome::kUnknown && phase_ != Phase::kClaim &&
                        (pending.op.kind == SessionOpKind::kRead || pending.op.kind == SessionOpKind::kReadRoot ||
                         pending.op.kind == SessionOpKind::kMark || phase_ == Phase::kFence);
  if (repeated) return emit(pending.op, pending.seat);
  one_answer(pending, answer);
  if (pending_.empty() && phase_ != Phase::kIdle) advance();
}

void CollectorMachine::one_answer(const Pending& pending, const SessionAnswer& answer) {
  switch (phase_) {
    case Phase::kIdle:
      break;
    case Phase::kStillHolder:
    case Phase::kFind:
    case Phase::kClaim:
    case Phase::kInherit:
    case Phase::kLoad:
      role_answer(answer);
      break;
    case Phase::kList:
      listed_keys_ = answer.keys;
      listed_roots_ = answer.roots;
      break;
    case Phase::kSeats:
    case Phase::kLicences:
    case Phase::kRegisters:
    case Phase::kSettled:
      seat_answer(pending, answer);
      break;
    case Phase::kJudge:
      for (const std::uint64_t seat : answer.seats) settle(seat);
      break;
    case Phase::kFence:
      break;
    case Phase::kRoots:
      if (answer.outcome == SessionOutcome::kDone) facts_.present[pending.op.key] = answer.origin;
      break;
    case Phase::kMark:
      facts_.mark = answer.mark;
      break;
    case Phase::kTakeState:
    case Phase::kCatalogue:
    case Phase::kState:
    case Phase::kPublishCatalogue:
    case Phase::kPublishState:
      write_lost_ = write_lost_ || answer.outcome != SessionOutcome::kDone;
      break;
    case Phase::kTakeSuccessor:
    case Phase::kSuccessor:
    case Phase::kPublishSuccessor:
      if (answer.outcome != SessionOutcome::kAbsent && options_.mutation != SessionMutation::kNoSuccessorCheck) {
        drop_role();
        finish(CollectorOutcome::kSuperseded);
      }
      break;
    case Phase::kActs:
      act_answer(pending, answer);
      break;
    case Phase::kOld:
      break;
  }
}

void CollectorMachine::advance() {
  switch (phase_) {
    case Phase::kList:
      enter(Phase::kSeats);
      facts_.members = state_.members;
      facts_.base = state_.base;
      scan_ = state_.base + 1;
      return emit(make_op(SessionOpKind::kRead, claim_key(Chain::kSeats, scan_)));
    case Phase::kLicences:
      return read_registers(false);
    case Phase::kRegisters:
      return ask_judge();
    case Phase::kJudge:
      return fence();
    case Phase::kFence:
      return read_registers(true);
    case Phase::kSettled:
      return read_roots();
    case Phase::kRoots:
      return mark();
    case Phase::kMark:
      return plan();
    case Phase::kCatalogue:
    case Phase::kPublishCatalogue:
      if (write_lost_) {
        drop_role();  // as below: the next plan would bear the same name
        return finish(CollectorOutcome::kLost);
      }
      return write_plan(Phase::kIdle, phase_ == Phase::kCatalogue ? Phase::kState : Phase::kPublishState);
    case Phase::kTakeState:
    case Phase::kState:
    case Phase::kPublishState:
      if (write_lost_ && options_.mutation != SessionMutation::kStateRetry) {
        // It may take effect at any later time. Never to be followed by another write under this term.
        drop_role();
        return finish(CollectorOutcome::kLost);
      }
      if (write_lost_) {
        write_lost_ = false;
        return write_plan(Phase::kIdle, phase_);
      }
      enter(phase_ == Phase::kTakeState ? Phase::kTakeSuccessor
            : phase_ == Phase::kState   ? Phase::kSuccessor
                                        : Phase::kPublishSuccessor);
      return emit(make_op(SessionOpKind::kRead, claim_key(Chain::kTerms, term_ + 1)));
    case Phase::kTakeSuccessor:
      take_plan();
      return list();
    case Phase::kSuccessor:
      take_plan();
      return act();
    case Phase::kActs:
      if (executed_.empty()) return finish(CollectorOutcome::kDone);
      plan_ = plan_publication(state_, catalogue_, executed_, options_.limits);
      return write_plan(Phase::kPublishCatalogue, Phase::kPublishState);
    case Phase::kPublishSuccessor:
      take_plan();
      return remove_old();
    case Phase::kOld:
      return finish(CollectorOutcome::kDone);
    default:
      return;
  }
}

// --- the role

/// Nothing is done before there is a state of our own: one of a term between the state that we inherit and ours,
/// written late, would hide from our successors what we went by.
void CollectorMachine::take_role() {
  term_ = claim_->number();
  plan_ = {};
  plan_.catalogue = catalogue_;
  plan_.state = take_over(state_, term_, options_.limits);
  write_plan(Phase::kIdle, Phase::kTakeState);
}

void CollectorMachine::list() {
  enter(Phase::kList);
  emit(make_op(SessionOpKind::kList));
}

void CollectorMachine::role_answer(const SessionAnswer& answer) {
  switch (phase_) {
    case Phase::kStillHolder:
      if (answer.outcome == SessionOutcome::kAbsent) return list();
      drop_role();
      return finish(CollectorOutcome::kSuperseded);
    case Phase::kFind:
      finder_->answer(answer);
      if (!finder_->done()) return emit(finder_->op());
      enter(Phase::kClaim);
      claim_.emplace(Chain::kTerms, options_.exclusive_create, options_.instance, finder_->last_term() + 1);
      return emit(claim_->op());
    case Phase::kClaim:
      claim_->answer(answer);
      if (!claim_->done()) return emit(claim_->op());
      enter(Phase::kInherit);
      finder_.emplace(StateFinder::inherited(claim_->number()));
      if (!finder_->done()) return emit(finder_->op());
      [[fallthrough]];
    case Phase::kInherit:
      if (!finder_->done()) {
        finder_->answer(answer);
        if (!finder_->done()) return emit(finder_->op());
      }
      state_ = finder_->state();
      catalogue_ = {};
      if (state_.catalogue.term == 0) return take_role();
      enter(Phase::kLoad);
      return emit(make_op(SessionOpKind::kRead, catalogue_key(state_.catalogue.term, state_.catalogue.serial)));
    case Phase::kLoad:
      if (const auto* catalogue = session_document_as<RootCatalogue>(answer.document)) {
        catalogue_ = *catalogue;
        return take_role();
      }
      // Only a successor of ours removes it.
      drop_role();
      return finish(CollectorOutcome::kSuperseded);
    default:
      return;
  }
}

// --- what there is

void CollectorMachine::seat_answer(const Pending& pending, const SessionAnswer& answer) {
  if (phase_ == Phase::kSeats) {
    if (answer.outcome != SessionOutcome::kAbsent) {
      facts_.members.push_back({scan_, MemberStatus::kPending, 1, 0});
      facts_.base = scan_++;
      return emit(make_op(SessionOpKind::kRead, claim_key(Chain::kSeats, scan_)));
    }
    enter(Phase::kLicences);
    for (const Member& member : facts_.members) {
      if (member.status == MemberStatus::kActive) continue;
      emit(make_op(SessionOpKind::kRead, licence_key(member.seat)), member.seat);
    }
    return;
  }
  const auto member = std::find_if(facts_.members.begin(), facts_.members.end(),
                                   [&](const Member& entry) { return entry.seat == pending.seat; });
  if (phase_ == Phase::kLicences) {
    const bool there = answer.outcome == SessionOutcome::kDone;
    member->status = there ? MemberStatus::kActive : MemberStatus::kPending;
    return;
  }
  if (const auto* content = session_document_as<WriterRegister>(answer.document)) {
    facts_.registers[pending.seat] = *content;
    const auto parsed = parse_session_key(pending.op.key);
    member->register_number = parsed->second;
    emit(make_op(SessionOpKind::kRead, register_key(pending.seat, parsed->second + 1)), pending.seat);
  }
}

void CollectorMachine::read_registers(bool settled_only) {
  enter(settled_only ? Phase::kSettled : Phase::kRegisters);
  if (settled_only && options_.mutation == SessionMutation::kRegisterBeforeFence) return read_roots();
  for (const Member& member : facts_.members) {
    if (member.status != MemberStatus::kActive) continue;
    if (settled_only && !facts_.settled.contains(member.seat)) continue;
    emit(make_op(SessionOpKind::kRead, register_key(member.seat, member.register_number)), member.seat);
  }
  if (pending_.empty()) advance();
}

void CollectorMachine::ask_judge() {
  enter(Phase::kJudge);
  SessionOp op = make_op(SessionOpKind::kJudge);
  for (const Member& member : facts_.members) {
    if (member.status != MemberStatus::kActive) continue;
    const auto at = facts_.registers.find(member.seat);
    op.registers.push_back({member.seat, at == facts_.registers.end() ? WriterRegister{} : at->second});
  }
  emit(std::move(op));
}

/// Only those that any successor knows to have had a licence: to one that did not, a licence that we have removed would
/// look like one that never was.
void CollectorMachine::settle(std::uint64_t seat) {
  const Member* member = find_member(state_, seat);
  if (member != nullptr && member->status == MemberStatus::kActive) facts_.settled.insert(seat);
}

void CollectorMachine::fence() {
  for (const auto& [seat, content] : facts_.registers) {
    if (content.resigned) settle(seat);
  }
  enter(Phase::kFence);
  for (const std::uint64_t seat : facts_.settled) emit(make_op(SessionOpKind::kRemove, licence_key(seat)), seat);
  report_.settled = facts_.settled.size();
  if (pending_.empty()) advance();
}

void CollectorMachine::read_roots() {
  enter(Phase::kRoots);
  std::set<std::string> keys;
  if (options_.mutation != SessionMutation::kTrustListing) keys = roots_to_read(catalogue_, facts_.registers);
  keys.insert(listed_roots_.begin(), listed_roots_.end());
  for (const std::string& key : keys) emit(make_op(SessionOpKind::kReadRoot, key));
  if (pending_.empty()) advance();
}

void CollectorMachine::mark() {
  enter(Phase::kMark);
  SessionOp op = make_op(SessionOpKind::kMark);
  op.roots = roots_that_count(state_, catalogue_, facts_);
  for (const auto& [key, origin] : facts_.present) {
    if (!std::binary_search(op.roots.begin(), op.roots.end(), key)) late_roots_.insert(key);
  }
  for (const auto& entry : state_.condemned) {
    if (entry.phase != CondemnedPhase::kDone) op.condemned.push_back(entry);
  }
  emit(std::move(op));
}

// --- what follows from it

void CollectorMachine::plan() {
  plan_ = plan_collection(state_, catalogue_, facts_, options_.limits, options_.mutation);
  if (!plan_.violation.empty()) {
    report_.violation = plan_.violation;
    return finish(CollectorOutcome::kViolation);
  }
  if (!plan_.state_changed) return act();
  write_plan(Phase::kCatalogue, Phase::kState);
}

/// The catalogue first, if `catalogue` is a phase and it has changed; else the state.
void CollectorMachine::write_plan(Phase catalogue, Phase state) {
  if (catalogue != Phase::kIdle && plan_.catalogue_changed) {
    enter(catalogue);
    const CatalogueName& name = plan_.state.catalogue;
    return emit(
        make_op(SessionOpKind::kPut, catalogue_key(name.term, name.serial), make_session_document(plan_.catalogue)));
  }
  enter(state);
  emit(make_op(SessionOpKind::kPut, state_key(term_), make_session_document(plan_.state)));
}

void CollectorMachine::take_plan() {
  if (plan_.catalogue_changed && state_.catalogue.term != 0) {
    obsolete_.push_back(catalogue_key(state_.catalogue.term, state_.catalogue.serial));
  }
  state_ = plan_.state;
  catalogue_ = plan_.catalogue;
}

void CollectorMachine::act() {
  enter(Phase::kActs);
  report_.roots = catalogue_.roots.size();
  std::map<std::string, std::uint64_t> targets;
  for (const CondemnedPack& entry : state_.condemned) {
    if (entry.phase == CondemnedPhase::kCondemned) ++report_.condemned;
    if (entry.phase != CondemnedPhase::kExecuting) continue;
    targets[entry.pack] = entry.target;
    act_on(entry);
  }
  remove_obsolete();
  for (const std::string& key : listed_keys_) {
    if (is_session_garbage(state_, key)) emit(make_op(SessionOpKind::kRemove, key));
  }
  for (const std::string& key : late_roots_) emit(make_op(SessionOpKind::kRemove, key));
  // Generations that were begun and never published. Above our serial: a successor's.
  for (const PackObject& object : facts_.mark.objects) {
    const bool wanted = object.generation == pack_generation(catalogue_, object.pack) ||
                        object.generation > state_.serial ||
                        (targets.contains(object.pack) && targets[object.pack] == object.generation);
    if (!wanted) old_objects_.push_back(object);
  }
  for (const PackObject& object : std::exchange(old_objects_, {})) {
    SessionOp op = make_op(SessionOpKind::kRemovePack);
    op.pack = object.pack;
    op.generation = object.generation;
    op.target = 1;  // not what the state calls executing
    emit(std::move(op));
  }
  if (pending_.empty()) advance();
}

/// Catalogues that the last state does not name any more.
void CollectorMachine::remove_obsolete() {
  for (const std::string& key : std::exchange(obsolete_, {})) {
    std::erase(listed_keys_, key);
    emit(make_op(SessionOpKind::kRemove, key));
  }
}

void CollectorMachine::act_on(const CondemnedPack& entry) {
  SessionOp op = make_op(entry.slots.empty() ? SessionOpKind::kRemovePack : SessionOpKind::kRewritePack);
  op.pack = entry.pack;
  op.generation = pack_generation(catalogue_, entry.pack);
  op.target = entry.target;
  op.slots = entry.slots;
  if (!entry.slots.empty() && options_.mutation == SessionMutation::kRemoveBeforePublish) {
    SessionOp early = make_op(SessionOpKind::kRemovePack);
    early.pack = op.pack;
    early.generation = op.generation;
    early.target = 1;
    emit(std::move(early));
  }
  emit(std::move(op));
}

void CollectorMachine::act_answer(const Pending& pending, const SessionAnswer& answer) {
  if (answer.outcome != SessionOutcome::kDone) return;  // the next run does it again
  const SessionOp& op = pending.op;
  if (op.kind == SessionOpKind::kRemove) {
    ++report_.objects_removed;
  } else if (op.kind == SessionOpKind::kRewritePack) {
    executed_.insert(op.pack);
    old_objects_.push_back({op.pack, op.generation});
    ++report_.packs_rewritten;
  } else if (op.target == 0) {
    executed_.insert(op.pack);
    ++report_.packs_removed;
  }
}

void CollectorMachine::remove_old() {
  enter(Phase::kOld);
  remove_obsolete();
  for (const PackObject& object : old_objects_) {
    SessionOp op = make_op(SessionOpKind::kRemovePack);
    op.pack = object.pack;
    op.generation = object.generation;
    emit(std::move(op));
  }
  if (pending_.empty()) advance();
}

}  // namespace cacs::repository
