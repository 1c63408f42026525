#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "application/views.h"

namespace cacs::api {

/// The JSON of applications, made once for each immutable view: a view is known again by its address, which stays taken
/// as long as it is kept here. Bounded. Any thread.
class ApplicationCache {
 public:
  /// The JSON of `view`, made now or before.
  std::shared_ptr<const std::string> json_of(const std::shared_ptr<const application::ApplicationView>& view);
  /// Forgets an application that is gone.
  void forget(std::string_view id);

 private:
  struct Entry {
    std::shared_ptr<const application::ApplicationView> view;
    std::shared_ptr<const std::string> json;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::mutex mutex_;
  std::unordered_map<std::string, Entry, Hash, std::equal_to<>> entries_;
};

}  // namespace cacs::api
