#pragma once

#include <filesystem>

#include "base/result.h"

namespace cacs::main {

/// Starts a pod of its own with a program that talks to itself over TCP, saves it, kills it, restores it, and sees it
/// go on with the connection as it was. Takes a second or two; leaves nothing. Needs root.
Status self_test(const std::filesystem::path& init_program, const std::filesystem::path& criu);

}  // namespace cacs::main
