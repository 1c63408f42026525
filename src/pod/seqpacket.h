#pragma once

#include <filesystem>
#include <optional>

#include "base/fd.h"
#include "base/json.h"
#include "base/result.h"

namespace cacs::pod {

/// JSON objects over a SOCK_SEQPACKET unix socket: one object, one message, at most 128 KiB. How agent and shim talk;
/// the verbs are in shim.h.
Result<UniqueFd> listen_seqpacket(const std::filesystem::path& path);
/// The same for a stream of lines: where the engine's notifier comes in (init/client.h).
Result<UniqueFd> listen_stream(const std::filesystem::path& path);
Result<UniqueFd> connect_seqpacket(const std::filesystem::path& path);
Status send_message(int fd, const JsonObject& message);
/// nullopt: the other side has gone. Blocks if nothing is there.
Result<std::optional<JsonObject>> receive_message(int fd);

}  // namespace cacs::pod
