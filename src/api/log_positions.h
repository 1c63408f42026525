#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "application/views.h"
#include "base/result.h"

namespace cacs::api {

/// How far a reader of a log has come in each of its streams, as the id of an event:
/// "stdout:INCARNATION:OFFSET,stderr:INCARNATION:OFFSET". Clients give it back as it is (Last-Event-ID).
std::string format_log_positions(const std::vector<application::LogPosition>& positions);

/// Moves `positions`, which say the streams that are wanted, to where `id` says. Streams that it does not name stay;
/// ones that are not wanted are passed over. A lone number is an offset where one stream is wanted. Anything else is
/// kInvalidArgument.
Status parse_log_positions(std::string_view id, std::vector<application::LogPosition>& positions);

}  // namespace cacs::api
