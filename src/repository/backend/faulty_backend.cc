#include "repository/backend/faulty_backend.h"

#include <algorithm>

namespace cacs::repository {

class FaultyWriter final : public ObjectWriter {
 public:
  FaultyWriter(FaultyBackend& backend, std::string name, std::unique_ptr<ObjectWriter> inner)
      : backend_(backend), name_(std::move(name)), inner_(std::move(inner)) {}

  Status append(std::span<const std::byte> data) override {
    const auto fate = backend_.next("append to " + name_);
    if (broken_) return make_error(ErrorCode::kInternal, "append to " + name_ + " after a failure");
    // A part may have been sent, as with every store: the writer is of no use any more.
    broken_ = fate.before || fate.after;
    if (broken_) return fate.before ? *fate.before : *fate.after;
    return inner_->append(data);
  }

  Status commit() override {
    const auto fate = backend_.next("commit " + name_);
    if (broken_) return make_error(ErrorCode::kInternal, "commit of " + name_ + " after a failure");
    broken_ = true;
    if (fate.before) return *fate.before;
    const auto before = backend_.state_of(name_);
    const auto status = inner_->commit();
    if (status) backend_.changed(name_, before);
    if (status && fate.after) return *fate.after;
    return status;
  }

 private:
  FaultyBackend& backend_;
  std::string name_;
  std::unique_ptr<ObjectWriter> inner_;
  bool broken_ = false;  ///< a writer that failed must not be used again
};

FaultyBackend::FaultyBackend(std::unique_ptr<Backend> inner, std::uint64_t seed, Faults faults,
                             std::shared_ptr<Clock> clock)
    : inner_(std::move(inner)), clock_(std::move(clock)), random_(seed), faults_(faults) {
  set_traits();
}

void FaultyBackend::set_traits() {
  traits_ = inner_->traits();
  traits_.exclusive_create = traits_.exclusive_create && !faults_.ignore_conditions;
  traits_.current_listing = traits_.current_listing && faults_.late_listing == 0;
}

void FaultyBackend::set_faults(const Faults& faults) {
  const std::scoped_lock lock(mutex_);
  faults_ = faults;
  set_traits();
}

void FaultyBackend::fail_at(std::uint64_t n, ErrorCode code, bool lost) {
  const std::scoped_lock lock(mutex_);
  fail_at_ = n == 0 ? 0 : operations_ + n;
  fail_code_ = code;
  fail_lost_ = lost;
}

std::uint64_t FaultyBackend::operations() const {
  const std::scoped_lock lock(mutex_);
  return operations_;
}

FaultyBackend::Fate FaultyBackend::next(const std::string& doing) {
  Fate fate;
  bool slow = false;
  std::chrono::nanoseconds delay{};
  {
    const std::scoped_lock lock(mutex_);
    ++operations_;
    // Drawn whether needed or not, so that one fault more or less does not change all others.
    std::uniform_real_distribution<double> chance;
    const bool error = chance(random_) < faults_.error;
    const bool lost = chance(random_) < faults_.lost_answer;
    fate.broken_list = chance(random_) < faults_.broken_list;
    slow = chance(random_) < faults_.slow;
    delay = faults_.delay;
    const bool planned = operations_ == fail_at_;
    if (error) fate.before = make_error(faults_.code, doing + ": planned failure");
    if (lost) fate.after = make_error(ErrorCode::kTimeout, doing + ": the answer was lost");
    if (planned) (fail_lost_ ? fate.after : fate.before) = make_error(fail_code_, doing + ": planned failure");
  }
  if (slow && clock_) static_cast<void>(clock_->sleep_for(delay, {}));
  return fate;
}

Result<std::unique_ptr<ObjectWriter>> FaultyBackend::create(const std::string& name, Overwrite overwrite) {
  const auto fate = next("create " + name);
  if (fate.before) return *fate.before;
  bool ignore = false;
  {
    const std::scoped_lock lock(mutex_);
    ignore = faults_.ignore_conditions;
  }
  CACS_ASSIGN(auto writer, inner_->create(name, ignore ? Overwrite::kYes : overwrite));
  return std::unique_ptr<ObjectWriter>(std::make_unique<FaultyWriter>(*this, name, std::move(writer)));
}

Result<std::size_t> FaultyBackend::read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) {
  const auto fate = next("read " + name);
  if (fate.before) return *fate.before;
  return inner_->read(name, offset, out);
}

Result<std::uint64_t> FaultyBackend::size(const std::string& name) {
  const auto fate = next("size of " + name);
  if (fate.before) return *fate.before;
  return inner_->size(name);
}

Status FaultyBackend::remove(const std::string& name) {
  const auto fate = next("remove " + name);
  if (fate.before) return *fate.before;
  const auto before = state_of(name);
  const auto status = inner_->remove(name);
  if (status) changed(name, before);
  if (status && fate.after) return *fate.after;
  return status;
}

Status FaultyBackend::list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) {
  const auto fate = next("list " + prefix);
  if (fate.before) return *fate.before;
  std::map<std::string, std::uint64_t> shown;
  CACS_TRY(inner_->list(prefix, [&](const ObjectInfo& info) -> Status {
    shown[info.name] = info.size;
    return {};
  }));
  std::uint64_t most = shown.size();
  {
    const std::scoped_lock lock(mutex_);
    for (auto& [name, history] : histories_) {
      const std::uint64_t horizon = operations_ - std::min(operations_, faults_.late_listing);
      auto at = history.upper_bound(horizon);
      if (at != history.begin()) history.erase(history.begin(), std::prev(at));  // what was before the state it shows
      if (!name.starts_with(prefix)) continue;
      if (const Listed state = history.begin()->second) {
        shown[name] = *state;
      } else {
        shown.erase(name);
      }
    }
    if (fate.broken_list) most = random_() % (shown.size() + 1);
  }
  for (const auto& [name, size] : shown) {
    if (fate.broken_list && most-- == 0) break;
    CACS_TRY(visitor({name, size}));
  }
  if (fate.broken_list) return make_error(faults_.code, "list " + prefix + ": planned failure");
  return {};
}

FaultyBackend::Listed FaultyBackend::state_of(const std::string& name) {
  const auto size = inner_->size(name);
  return size ? Listed(*size) : std::nullopt;
}

void FaultyBackend::changed(const std::string& name, Listed before) {
  const Listed now = state_of(name);
  const std::scoped_lock lock(mutex_);
  if (faults_.late_listing == 0) {
    histories_.erase(name);
    return;
  }
  History& history = histories_[name];
  if (history.empty()) history[0] = before;
  history[operations_] = now;
}

}  // namespace cacs::repository
