#include "repository/sim_stage.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace cacs::repository {

namespace {

/// Of a process that was killed: nothing comes of it any more. A code that nobody tries again after.
Error killed() { return make_error(ErrorCode::kNoSpace, "this process was killed"); }
Error failed() { return make_error(ErrorCode::kUnavailable, "the store is busy"); }
Error unanswered() { return make_error(ErrorCode::kTimeout, "the store did not answer"); }
Error none(const std::string& name) { return make_error(ErrorCode::kNotFound, "there is no " + name); }

}  // namespace

class SimBackend final : public Backend {
 public:
  SimBackend(SimStage& stage, int process, std::uint64_t life) : stage_(stage), process_(process), life_(life) {
    traits_.exclusive_create = stage.chaos_.conditions;
  }

  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override;
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    CACS_TRY(turn());
    const auto object = stage_.objects_->get(name);
    if (!object) return none(name);
    if (offset >= object->size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(out.size(), object->size() - offset);
    if (count > 0) std::memcpy(out.data(), object->data() + offset, count);
    return count;
  }
  Result<std::uint64_t> size(const std::string& name) override {
    CACS_TRY(turn());
    const auto object = stage_.objects_->get(name);
    if (!object) return none(name);
    return std::uint64_t{object->size()};
  }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    CACS_TRY(turn());
    for (const auto& object : stage_.list(prefix)) CACS_TRY(visitor(object));
    return {};
  }
  Status remove(const std::string& name) override {
    return stage_.change(stage_.enter(process_, life_, true), {name, nullptr});
  }
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] std::string describe() const override { return "the simulation"; }

 private:
  friend class SimWriter;
  Status turn() {
    const auto verdict = stage_.enter(process_, life_, false);
    if (verdict == SimStage::Verdict::kDead) return killed();
    if (verdict != SimStage::Verdict::kGo) return failed();
    return {};
  }
  SimStage& stage_;
  int process_;
  std::uint64_t life_;
  BackendTraits traits_;
};

class SimWriter final : public ObjectWriter {
 public:
  SimWriter(SimBackend& backend, std::string name, Overwrite overwrite)
      : backend_(backend), name_(std::move(name)), overwrite_(overwrite) {}
  Status append(std::span<const std::byte> data) override {
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    return {};
  }
  Status commit() override {
    auto& stage = backend_.stage_;
    const auto verdict = stage.enter(backend_.process_, backend_.life_, true);
    return stage.change(verdict,
                        {name_, std::make_shared<const std::vector<std::byte>>(std::move(bytes_)), overwrite_});
  }

 private:
  SimBackend& backend_;
  std::string name_;
  Overwrite overwrite_;
  std::vector<std::byte> bytes_;
};

Result<std::unique_ptr<ObjectWriter>> SimBackend::create(const std::string& name, Overwrite overwrite) {
  return std::unique_ptr<ObjectWriter>(std::make_unique<SimWriter>(*this, name, overwrite));
}

SimStage::SimStage(std::uint64_t seed, const SimChaos& chaos) : random_(seed), chaos_(chaos) {}

int SimStage::add(bool reliable) {
  const std::lock_guard lock(mutex_);
  processes_.push_back({.reliable = reliable});
  return static_cast<int>(processes_.size() - 1);
}

void SimStage::leave(int process) {
  const std::lock_guard lock(mutex_);
  processes_.at(static_cast<std::size_t>(process)).left = true;
  turn_.notify_all();
}

std::uint64_t SimStage::life(int process) {
  const std::lock_guard lock(mutex_);
  return processes_.at(static_cast<std::size_t>(process)).life;
}

void SimStage::reborn(int process) {
  const std::lock_guard lock(mutex_);
  auto& self = processes_.at(static_cast<std::size_t>(process));
  self.dead = false;
  ++self.life;
}

bool SimStage::is_dead(int process) {
  const std::lock_guard lock(mutex_);
  return processes_.at(static_cast<std::size_t>(process)).dead;
}

SimStage::Verdict SimStage::enter(int process, std::uint64_t life, bool changes) {
  std::unique_lock lock(mutex_);
  const auto self = [&]() -> Process& { return processes_.at(static_cast<std::size_t>(process)); };
  if (self().dead || self().life != life) return Verdict::kDead;
  ++self().waiting;
  turn_.notify_all();
  granted_.wait(lock, [&] { return self().granted || self().dead; });
  --self().waiting;
  turn_.notify_all();
  if (self().dead) return Verdict::kDead;
  self().granted = false;
  const Verdict verdict = self().verdict;
  return changes || verdict == Verdict::kGo ? verdict : Verdict::kFail;
}

/// Everybody waits for a turn, or has left; nobody is in the middle of something.
bool SimStage::settled() const {
  return std::all_of(processes_.begin(), processes_.end(), [](const Process& process) {
    return process.left || (process.waiting > 0 && !process.granted && !process.dead);
  });
}

void SimStage::run(std::uint64_t turns) {
  std::unique_lock lock(mutex_);
  for (std::uint64_t turn = 0;; ++turn) {
    turn_.wait(lock, [&] { return settled(); });
    std::vector<Process*> alive;
    for (auto& process : processes_) {
      if (!process.left) alive.push_back(&process);
    }
    if (alive.empty()) return;
    Process& next = *alive.at(random_() % alive.size());
    if (!late_.empty() && chance(1, 8)) land_one();
    if (turn >= turns || (!next.reliable && chance(chaos_.kills, 10'000))) {
      next.dead = true;
      ++kills_;
    } else {
      next.verdict = Verdict::kGo;
      if (!next.reliable && chance(chaos_.failures, 1000)) {
        constexpr std::array kFailures = {Verdict::kFail, Verdict::kLost, Verdict::kLate};
        next.verdict = kFailures.at(random_() % kFailures.size());
        ++failed_;
      }
      next.granted = true;
    }
    granted_.notify_all();
  }
}

void SimStage::calm() {
  const std::lock_guard lock(mutex_);
  while (!late_.empty()) land_one();
  chaos_.failures = chaos_.kills = 0;
  chaos_.lag = 0;
}

void SimStage::land_one() {
  const std::size_t index = random_() % late_.size();
  const Effect effect = late_[index];
  late_.erase(late_.begin() + static_cast<std::ptrdiff_t>(index));
  static_cast<void>(apply(effect).ok());
}

Status SimStage::apply(const Effect& effect) {
  const auto before = objects_->get(effect.name);
  if (effect.object == nullptr) {
    if (!objects_->remove(effect.name)) return none(effect.name);
  } else {
    const auto overwrite = chaos_.conditions ? effect.overwrite : Overwrite::kYes;
    if (!objects_->put(effect.name, effect.object, overwrite)) {
      return make_error(ErrorCode::kConflict, effect.name + " exists already");
    }
  }
  changed_[effect.name] = {++version_, effect.object ? effect.object->size() : before->size()};
  return {};
}

Status SimStage::change(Verdict verdict, Effect effect) {
  if (verdict == Verdict::kDead) return killed();
  if (verdict == Verdict::kFail) return failed();
  const std::lock_guard lock(mutex_);
  if (verdict == Verdict::kLate) {
    late_.push_back(std::move(effect));
    return unanswered();
  }
  auto applied = apply(effect);
  if (verdict == Verdict::kLost) return unanswered();
  return applied;
}

std::vector<ObjectInfo> SimStage::list(const std::string& prefix) {
  const std::lock_guard lock(mutex_);
  std::vector<ObjectInfo> shown;
  for (auto at = changed_.lower_bound(prefix); at != changed_.end() && at->first.starts_with(prefix); ++at) {
    bool there = objects_->get(at->first) != nullptr;
    if (at->second.version + chaos_.lag > version_ && chance(1, 2)) there = !there;
    if (there) shown.push_back({at->first, at->second.size});
  }
  return shown;
}

std::unique_ptr<Backend> SimStage::backend(int process) {
  return std::make_unique<SimBackend>(*this, process, life(process));
}

std::unique_ptr<Backend> SimStage::reliable_backend() { return make_memory_backend(objects_); }

}  // namespace cacs::repository
