#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "repository/session/session_op.h"

/// A simulated store: linearizable by key, listings late, exclusive creation honoured or not, and effects that come
/// after their failure was reported.
namespace cacs::repository::sim {

using Slot = std::pair<std::string, std::uint32_t>;  ///< pack, slot

struct Root {
  RootOrigin origin;
  std::vector<Slot> slots;
};

struct Pack {
  SessionId creator;
  std::set<std::uint32_t> slots;
};

using Value = std::variant<SessionDocumentPtr, Root, Pack>;
using ValuePtr = std::shared_ptr<const Value>;

class Chance {
 public:
  explicit Chance(std::uint64_t seed) : engine_(seed) {}
  bool percent(unsigned value) { return pick(100) < value; }
  bool permille(unsigned value) { return pick(1000) < value; }
  std::size_t pick(std::size_t count) { return static_cast<std::size_t>(engine_() % count); }

 private:
  std::mt19937_64 engine_;
};

enum class EffectKind : std::uint8_t { kNone, kPut, kCreate, kRemove };

struct Effect {
  EffectKind kind = EffectKind::kNone;
  std::string key;
  ValuePtr value;
};

class Store {
 public:
  explicit Store(bool exclusive) : exclusive_(exclusive) {}

  /// False: a creation whose name was taken.
  bool apply(const Effect& effect);
  void later(Effect effect) { late_.push_back(std::move(effect)); }
  [[nodiscard]] std::size_t late() const { return late_.size(); }
  void land(std::size_t index);

  [[nodiscard]] ValuePtr read(const std::string& key) const;
  template <typename T>
  [[nodiscard]] const T* read_as(const std::string& key) const {
    const auto at = objects_.find(key);
    return at == objects_.end() ? nullptr : std::get_if<T>(at->second.get());
  }
  /// What was made or removed within the last `lag` changes is shown or not.
  std::vector<std::string> list(const std::string& prefix, std::uint64_t lag, Chance& chance) const;
  [[nodiscard]] const std::map<std::string, ValuePtr>& objects() const { return objects_; }
  /// Counts changes.
  [[nodiscard]] std::uint64_t version() const { return version_; }

 private:
  bool exclusive_;
  std::map<std::string, ValuePtr> objects_;
  std::map<std::string, std::uint64_t> changed_;
  std::vector<Effect> late_;
  std::uint64_t version_ = 0;
};

inline std::string pack_key(const std::string& pack, std::uint64_t generation) {
  return "packs/" + pack + "." + std::to_string(generation);
}

}  // namespace cacs::repository::sim
