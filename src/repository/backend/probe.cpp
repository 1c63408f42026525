#include "repository/backend/probe.h"

#include <algorithm>
#include <array>
#include <barrier>
#include <thread>

#include "base/io.h"
#include "base/uuid.h"

namespace cacs::repository {

namespace {

constexpr int kRounds = 4;
constexpr std::string_view kPrefix = "probe/";

/// The objects of one probe; removes what is left of them.
class Probe {
 public:
  explicit Probe(Backend& backend) : backend_(backend) {}
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;
  ~Probe() {
    for (const auto& name : names_) static_cast<void>(backend_.remove(name).ok());  // after a failure, which is told
  }

  Status clean_up() {
    for (; !names_.empty(); names_.pop_back()) {
      auto removed = backend_.remove(names_.back());
      if (!removed && removed.error().code != ErrorCode::kNotFound) return removed;
    }
    return {};
  }

  Status reading_by_name() {
    for (int round = 0; round < kRounds; ++round) {
      const std::string name = new_name();
      CACS_TRY(put(name, "first", Overwrite::kNo));
      CACS_TRY(expect(name, "first", "created"));
      CACS_TRY(put(name, "second, longer", Overwrite::kYes));
      CACS_TRY(expect(name, "second, longer", "replaced"));
      CACS_TRY(backend_.remove(name));
      const auto gone = backend_.size(name);
      if (gone) return unusable("an object that was removed can still be read");
      if (gone.error().code != ErrorCode::kNotFound) return gone.error();
      names_.pop_back();
    }
    return {};
  }

  Result<bool> exclusive_create() {
    const std::string name = new_name();
    CACS_TRY(put(name, "first", Overwrite::kNo));
    CACS_ASSIGN(const bool refused, refuses(put(name, "second", Overwrite::kNo)));
    if (!refused) return false;
    CACS_TRY(expect(name, "first", "kept when another was refused"));
    for (int round = 0; round < kRounds; ++round) {
      CACS_ASSIGN(const bool one_won, race());
      if (!one_won) return false;
    }
    return true;
  }

  Result<bool> current_listing() {
    for (int round = 0; round < kRounds; ++round) {
      const std::string name = new_name();
      CACS_TRY(put(name, "listed", Overwrite::kNo));
      CACS_ASSIGN(const bool shown, is_listed(name));
      CACS_TRY(backend_.remove(name));
      CACS_ASSIGN(const bool still_shown, is_listed(name));
      names_.pop_back();
      if (!shown || still_shown) return false;
    }
    return true;
  }

 private:
  std::string new_name() {
    names_.push_back(std::string(kPrefix) + new_uuid());
    return names_.back();
  }

  Status put(const std::string& name, std::string_view text, Overwrite overwrite) {
    return put_object(backend_, name, as_bytes(text), overwrite);
  }

  [[nodiscard]] Error unusable(const std::string& why) const {
    return make_error(ErrorCode::kUnsupported, "probe " + backend_.describe() + ": " + why,
                      "a repository needs a store in which a name that is read shows the last completed change "
                      "(docs/backends.md names some, and the mount options of NFS)");
  }

  Status expect(const std::string& name, std::string_view text, const std::string& what_became_of_it) {
    const auto got = get_object(backend_, name, 1000);
    if (!got && got.error().code != ErrorCode::kNotFound) return got.error();
    if (got && std::ranges::equal(*got, as_bytes(text))) return {};
    return unusable("an object that was " + what_became_of_it + " is not there when it is read by its name");
  }

  /// Whether a creation was refused; any other failure is passed on.
  static Result<bool> refuses(const Status& created) {
    if (created) return false;
    if (created.error().code == ErrorCode::kConflict) return true;
    return created.error();
  }

  /// Two writers that are complete but for their commits, which are sent at once. Whether exactly one had success and
  /// its object stands there.
  Result<bool> race() {
    const std::string name = new_name();
    constexpr std::array<std::string_view, 2> kTexts{"one", "other"};
    std::array<std::unique_ptr<ObjectWriter>, 2> writers;
    for (std::size_t i = 0; i < 2; ++i) {
      CACS_ASSIGN(writers.at(i), backend_.create(name, Overwrite::kNo));
      CACS_TRY(writers.at(i)->append(as_bytes(kTexts.at(i))));
    }
    std::array<Status, 2> outcome;
    std::barrier start(2);
    const auto commit = [&](std::size_t i) {
      start.arrive_and_wait();
      outcome.at(i) = writers.at(i)->commit();
    };
    std::thread second(commit, 1);
    commit(0);
    second.join();
    CACS_ASSIGN(const bool first_refused, refuses(outcome[0]));
    CACS_ASSIGN(const bool second_refused, refuses(outcome[1]));
    if (first_refused == second_refused) return false;
    CACS_TRY(expect(name, kTexts.at(first_refused ? 1 : 0), "created by one of two"));
    return true;
  }

  Result<bool> is_listed(const std::string& name) {
    bool found = false;
    CACS_TRY(backend_.list(std::string(kPrefix), [&](const ObjectInfo& info) -> Status {
      found = found || info.name == name;
      return {};
    }));
    return found;
  }

  Backend& backend_;
  std::vector<std::string> names_;  ///< that may be there
};

class ProbedBackend final : public Backend {
 public:
  ProbedBackend(std::unique_ptr<Backend> inner, BackendTraits traits) : inner_(std::move(inner)), traits_(traits) {}
  Result<std::unique_ptr<ObjectWriter>> create(const std::string& name, Overwrite overwrite) override {
    return inner_->create(name, overwrite);
  }
  Result<std::size_t> read(const std::string& name, std::uint64_t offset, std::span<std::byte> out) override {
    return inner_->read(name, offset, out);
  }
  Result<std::uint64_t> size(const std::string& name) override { return inner_->size(name); }
  Status list(const std::string& prefix, const std::function<Status(const ObjectInfo&)>& visitor) override {
    return inner_->list(prefix, visitor);
  }
  Status remove(const std::string& name) override { return inner_->remove(name); }
  [[nodiscard]] const BackendTraits& traits() const override { return traits_; }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }

 private:
  std::unique_ptr<Backend> inner_;
  BackendTraits traits_;
};

}  // namespace

Result<BackendTraits> probe_backend(Backend& backend) {
  Probe probe(backend);
  BackendTraits traits{.local = backend.traits().local};
  CACS_TRY(probe.reading_by_name());
  CACS_ASSIGN(traits.exclusive_create, probe.exclusive_create());
  CACS_ASSIGN(traits.current_listing, probe.current_listing());
  CACS_TRY(probe.clean_up());
  return traits;
}

Result<std::unique_ptr<Backend>> make_probed_backend(std::unique_ptr<Backend> backend) {
  CACS_ASSIGN(const BackendTraits traits, probe_backend(*backend));
  return std::unique_ptr<Backend>(std::make_unique<ProbedBackend>(std::move(backend), traits));
}

}  // namespace cacs::repository
