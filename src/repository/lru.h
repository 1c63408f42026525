#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cacs::repository {

/// Keeps what was used last, up to a number of bytes. The caller locks.
template <typename Key, typename Value, typename Hash = std::hash<Key>>
class LruCache {
 public:
  explicit LruCache(std::size_t limit_bytes) : limit_(limit_bytes) {}

  Value* find(const Key& key) {
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    items_.splice(items_.begin(), items_, found->second);
    return &found->second->value;
  }

  /// `evicted` gets what has to go; the newest stays whatever its size.
  void insert(const Key& key, Value value, std::size_t bytes, const std::function<void(Value&)>& evicted = {}) {
    erase(key, evicted);
    items_.push_front({key, std::move(value), bytes});
    places_[key] = items_.begin();
    used_ += bytes;
    while (used_ > limit_ && items_.size() > 1) erase(Key(items_.back().key), evicted);
  }

  void erase(const Key& key, const std::function<void(Value&)>& evicted = {}) {
    const auto found = places_.find(key);
    if (found == places_.end()) return;
    if (evicted) evicted(found->second->value);
    used_ -= found->second->bytes;
    items_.erase(found->second);
    places_.erase(found);
  }

  /// Everything of which `unwanted(key, value)` is true.
  void erase_if(const std::function<bool(const Key&, const Value&)>& unwanted,
                const std::function<void(Value&)>& evicted = {}) {
    std::vector<Key> keys;
    for (const auto& item : items_) {
      if (unwanted(item.key, item.value)) keys.push_back(item.key);
    }
    for (const auto& key : keys) erase(key, evicted);
  }

  [[nodiscard]] std::size_t used_bytes() const { return used_; }

 private:
  struct Item {
    Key key;
    Value value;
    std::size_t bytes;
  };
  std::size_t limit_;
  std::size_t used_ = 0;
  std::list<Item> items_;
  std::unordered_map<Key, typename std::list<Item>::iterator, Hash> places_;
};

}  // namespace cacs::repository
