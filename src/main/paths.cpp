#include "main/paths.h"

#include <unistd.h>

#include <cstdlib>
#include <vector>

namespace cacs::main {

Result<std::filesystem::path> own_program() {
  std::error_code problem;
  auto path = std::filesystem::read_symlink("/proc/self/exe", problem);
  if (problem) return errno_error(problem.value(), "find this program");
  return path;
}

Result<std::filesystem::path> find_init_program() {
  CACS_ASSIGN(const std::filesystem::path program, own_program());
  const auto directory = program.parent_path();
  std::vector<std::filesystem::path> candidates;
  if (const char* configured = std::getenv("CACS_INIT")) candidates.emplace_back(configured);
  candidates.push_back(directory / "cacs-init");
  candidates.push_back(directory / "../lib/cacs/cacs-init");
  for (const auto& candidate : candidates) {
    if (::access(candidate.c_str(), X_OK) == 0) return std::filesystem::weakly_canonical(candidate);
  }
  return make_error(ErrorCode::kNotFound, "cacs-init is neither beside " + program.string() + " nor in ../lib/cacs",
                    "install CACS as a whole (make install), or set CACS_INIT");
}

}  // namespace cacs::main
