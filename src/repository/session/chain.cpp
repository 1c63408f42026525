#include "repository/session/chain.h"

namespace cacs::repository {

namespace {

SessionOp read_op(std::string key) {
  SessionOp op;
  op.kind = SessionOpKind::kRead;
  op.key = std::move(key);
  return op;
}

SessionOp put_op(SessionOpKind kind, std::string key, const Claim& claim) {
  SessionOp op;
  op.kind = kind;
  op.key = std::move(key);
  op.document = make_session_document(claim);
  return op;
}

}  // namespace

std::uint64_t ChainEnd::next() const { return high_ == 0 ? low_ + step_ : low_ + (high_ - low_) / 2; }

SessionOp ChainEnd::op() const { return read_op(claim_key(chain_, next())); }

void ChainEnd::answer(const SessionAnswer& answer) {
  if (answer.outcome == SessionOutcome::kUnknown) return;
  const std::uint64_t number = next();
  if (answer.outcome == SessionOutcome::kAbsent) {
    high_ = number;
  } else {
    low_ = number;
    step_ *= 2;
  }
}

ChainClaim::ChainClaim(Chain chain, bool exclusive, InstanceId instance, std::uint64_t first)
    : chain_(chain), exclusive_(exclusive), instance_(instance), number_(first) {}

void ChainClaim::next_number() {
  ++number_;
  ++attempt_;
  step_ = Step::kLook;
}

SessionOp ChainClaim::op() const {
  switch (step_) {
    case Step::kTake:
      return put_op(exclusive_ ? SessionOpKind::kCreate : SessionOpKind::kPut, claim_key(chain_, number_), mine());
    case Step::kLookSecond:
      return read_op(second_key(chain_, number_));
    case Step::kPutSecond:
      return put_op(SessionOpKind::kPut, second_key(chain_, number_), mine());
    case Step::kLook:
    case Step::kConfirm:
    case Step::kWon:
      break;
  }
  return read_op(claim_key(chain_, number_));
}

void ChainClaim::answer(const SessionAnswer& answer) {
  const bool unknown = answer.outcome == SessionOutcome::kUnknown;
  switch (step_) {
    case Step::kLook:
      if (answer.outcome == SessionOutcome::kAbsent) step_ = Step::kTake;
      if (answer.outcome == SessionOutcome::kDone) next_number();
      break;
    case Step::kTake:
      if (unknown) {
        ++attempt_;
        // An exclusive creation may have succeeded after all: then the number is taken, and nobody's. The chain must
        // have no gap, so it is looked at, not passed over.
        step_ = exclusive_ ? Step::kLook : Step::kTake;
      } else if (answer.outcome == SessionOutcome::kTaken) {
        next_number();
      } else {
        step_ = exclusive_ ? Step::kWon : Step::kLookSecond;
      }
      break;
    case Step::kLookSecond:
      if (answer.outcome == SessionOutcome::kAbsent) step_ = Step::kPutSecond;
      if (answer.outcome == SessionOutcome::kDone) next_number();
      break;
    case Step::kPutSecond:
      if (!unknown) step_ = Step::kConfirm;
      break;
    case Step::kConfirm: {
      if (unknown) break;
      const auto* claim = session_document_as<Claim>(answer.document);
      if (claim != nullptr && *claim == mine()) {
        step_ = Step::kWon;
      } else {
        next_number();
      }
      break;
    }
    case Step::kWon:
      break;
  }
}

StateFinder StateFinder::inherited(std::uint64_t term) {
  StateFinder finder(term);
  finder.holder_ = true;
  finder.last_ = term;
  finder.down_to(term - 1);
  return finder;
}

void StateFinder::down_to(std::uint64_t term) {
  at_ = term;
  step_ = Step::kDown;
  if (at_ != 0) return;
  // Nothing was found: no collector has written yet, or one did, and removed its predecessor's, while we looked down.
  step_ = holder_ || last_ == 0 ? Step::kDone : Step::kAgain;
}

SessionOp StateFinder::op() const {
  switch (step_) {
    case Step::kEnd:
      return end_.op();
    case Step::kAgain:
      return read_op(state_key(last_));
    case Step::kAfter:
      return read_op(claim_key(Chain::kTerms, last_ + 1));
    case Step::kDown:
    case Step::kDone:
      break;
  }
  return read_op(state_key(at_));
}

void StateFinder::answer(const SessionAnswer& answer) {
  if (answer.outcome == SessionOutcome::kUnknown) return;
  const auto* found = session_document_as<CollectorState>(answer.document);
  switch (step_) {
    case Step::kEnd:
      end_.answer(answer);
      if (!end_.done()) return;
      last_ = end_.last();
      down_to(last_);
      break;
    case Step::kDown:
      if (found == nullptr) return down_to(at_ - 1);
      state_ = *found;
      step_ = holder_ || at_ == last_ ? Step::kDone : Step::kAgain;
      break;
    case Step::kAgain:
      if (found != nullptr) {
        state_ = *found;
        step_ = Step::kDone;
      } else {
        step_ = Step::kAfter;
      }
      break;
    case Step::kAfter:
      // As long as neither the last term nor one above it has written, nothing below was removed while we looked.
      if (answer.outcome == SessionOutcome::kAbsent) {
        step_ = Step::kDone;
      } else {
        end_ = ChainEnd(Chain::kTerms, last_ + 1);
        step_ = Step::kEnd;
      }
      break;
    case Step::kDone:
      break;
  }
}

}  // namespace cacs::repository
