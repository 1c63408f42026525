#include "agent/output.h"

#include <algorithm>

#include "base/base64.h"
#include "init/protocol.h"

namespace cacs::agent {

Result<std::vector<WantedStream>> wanted_streams(const LogWish& wish) {
  std::vector<WantedStream> list;
  if (wish.out) list.push_back({"stdout", *wish.out});
  if (wish.err) list.push_back({"stderr", *wish.err});
  if (list.empty()) {
    return make_error(ErrorCode::kInvalidArgument, "logs needs an offset for stdout, stderr, or both");
  }
  return list;
}

std::string output_path(const char* stream) { return std::string(CACS_LOG_DIR "/") + stream; }

JsonObject output_answer(int incarnation, bool eof) {
  return {{"incarnation", incarnation}, {"ready", false}, {"eof", eof}, {"streams", JsonArray()}};
}

JsonObject output_slice(const WantedStream& wanted, const std::string& data, std::uint64_t size) {
  return {{"stream", wanted.name}, {"offset", wanted.offset}, {"size", size}, {"data", base64_encode(data)}};
}

Result<JsonObject> read_saved_output(CheckpointStore& store, const std::string& checkpoint, const std::string& pod,
                                     const LogWish& wish) {
  CACS_ASSIGN(const auto wanted, wanted_streams(wish));
  CACS_ASSIGN(const repository::Manifest manifest, store.repository().load(checkpoint));
  JsonArray streams;
  for (const WantedStream& each : wanted) {
    std::uint64_t size = 0;
    CACS_ASSIGN(const std::string data,
                store.read_file(manifest, pod, output_path(each.name).substr(1),
                                {.offset = each.offset, .limit = std::min(wish.limit, kMaxOutputSlice)}, size));
    streams.push_back(output_slice(each, data, size));
  }
  JsonObject answer = output_answer(manifest.incarnation, true);
  answer["ready"] = true;
  answer["streams"] = std::move(streams);
  return answer;
}

}  // namespace cacs::agent
