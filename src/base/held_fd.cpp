#include "base/held_fd.h"

#include <fcntl.h>

#include <string>
#include <utility>

#include "base/io.h"

namespace cacs {

JsonObject identity_to_json(const ProcessIdentity& identity) {
  return {{"pid", identity.pid}, {"start_time", identity.start_time}, {"boot_id", identity.boot_id}};
}

Result<ProcessIdentity> identity_from_json(const JsonObject& object) {
  CACS_ASSIGN(const std::int64_t pid, json_int(object, "pid"));
  CACS_ASSIGN(const std::int64_t start_time, json_int(object, "start_time"));
  CACS_ASSIGN(std::string boot_id, json_string(object, "boot_id"));
  return ProcessIdentity{.pid = static_cast<pid_t>(pid),
                         .start_time = static_cast<std::uint64_t>(start_time),
                         .boot_id = std::move(boot_id)};
}

Result<UniqueFd> borrow_fd(const ProcessIdentity& holder, int number) {
  // Open as long as the descriptor is looked for: the number of the process is not another's.
  CACS_ASSIGN(const UniqueFd process, open_process(holder));
  return open_file("/proc/" + std::to_string(holder.pid) + "/fd/" + std::to_string(number), O_RDONLY);
}

}  // namespace cacs
