#include "agent/adoption.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "net/http_client.h"
#include "repository/keys/key_file.h"
#include "repository/levels/open_place.h"
#include "repository/unlock.h"
#include "transfer/framing.h"
#include "transfer/transfer.h"

namespace cacs::agent {

namespace {

constexpr int kPipeBytes = 1 << 20;
constexpr std::chrono::seconds kStallLimit{60};

bool may_pass(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kTimeout ||
         error.code == ErrorCode::kAborted;
}

std::string name_of(const pod::PartSource& source) {
  return source.place.empty() ? "node " + source.node : source.place;
}

}  // namespace

Result<bool> Adoption::is_here(const std::string& checkpoint, const std::string& pod) {
  const auto manifest = store_.repository().load(checkpoint);
  // That its own remote level does not answer keeps this node from nothing: others have it.
  if (!manifest && (manifest.error().code == ErrorCode::kNotFound || may_pass(manifest.error()))) return false;
  if (!manifest) return manifest.error();
  return std::ranges::any_of(manifest->pieces, [&](const auto& piece) { return piece.label == pod; });
}

Status Adoption::bring(const std::string& checkpoint, const std::string& pod,
                       const std::vector<pod::PartSource>& sources) {
  CACS_ASSIGN(const bool here, is_here(checkpoint, pod));
  if (here) return {};
  std::optional<Error> why;
  for (const auto& source : sources) {
    const Status taken = take(checkpoint, pod, [&](int out) {
      return source.place.empty() ? fetch(source, out) : read_place(source, checkpoint, pod, out);
    });
    if (taken) {
      spdlog::info("{} of checkpoint {} was taken over from {}", pod, checkpoint, name_of(source));
      return {};
    }
    const Error error = taken.error().with_context("from " + name_of(source));
    spdlog::warn("{} of checkpoint {}: {}", pod, checkpoint, error.to_string());
    // Of one that could not be asked it is not known that it has nothing.
    if (!why || may_pass(error)) why = error;
    if (options_.stop.stop_requested()) break;
  }
  const std::string doing = fmt::format("get {} of checkpoint {}, which is not on this node", pod, checkpoint);
  if (why) return why->with_context(doing);
  return make_error(ErrorCode::kNotFound, doing + ": no other node is known to have it");
}

/// What `produce` writes into a pipe becomes a piece, and that a part of the checkpoint.
Status Adoption::take(const std::string& checkpoint, const std::string& pod, const Produce& produce) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "make a pipe");
  UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  // A smaller one does as well.
  static_cast<void>(::fcntl(out.get(), F_SETPIPE_SZ, kPipeBytes));
  Status produced;
  Result<transfer::ImportedPiece> imported = [&] {
    std::jthread producer([&] {
      produced = produce(out.get());
      out.reset();
    });
    transfer::RecordReader records([&](std::span<std::byte> bytes) { return read_full(in.get(), bytes); });
    auto result = transfer::import_pod(store_.repository(), records, checkpoint, pod);
    in.reset();  // a producer that still writes learns that nobody reads
    return result;
  }();
  if (imported) return commit(std::move(imported->head), imported->piece, pod);
  // What came to an early end is no damage; why it ended is what there is to tell.
  return produced || produced.error().os_errno == EPIPE ? Status(imported.error()) : produced;
}

Status Adoption::fetch(const pod::PartSource& source, int out) const {
  net::HttpClient client({.base_url = "https://" + source.node,
                          .peer_timeout = std::chrono::seconds(8),
                          .stall_timeout = kStallLimit,
                          .ca_file = options_.tls.authority.string(),
                          .certificate_file = options_.tls.certificate.string(),
                          .key_file = options_.tls.key.string(),
                          .connect_to = source.agent,
                          .network_namespace = options_.network_fd,
                          .proxy = net::ProxyUse::kNone});
  transfer::FrameReader frames([&](std::span<const std::byte> bytes) { return write_full(out, bytes); });
  Status taken;
  const auto answer = client.stream(
      {.target = "/v1/exports/" + source.ticket, .timeout = std::chrono::milliseconds(0), .stop = options_.stop},
      [&](std::string_view data) {
        taken = frames.take(data);
        return taken.ok();
      });
  if (!taken) return taken;
  if (!answer) return answer.error();
  CACS_TRY(net::expect_success(*answer, "ask " + source.node));
  return frames.result();
}

Status Adoption::read_place(const pod::PartSource& source, const std::string& checkpoint, const std::string& pod,
                            int out) const {
  CACS_ASSIGN(const auto place, repository::remote_place(source.place, {.stop = options_.stop}));
  CACS_ASSIGN(auto backend, place.connect());
  const auto opened = repository::open_repository(
      {std::move(backend), repository::make_open_gate()}, [&]() -> Result<repository::Credential> {
        CACS_ASSIGN(const auto key, repository::read_key_file(options_.key_file));
        return repository::Credential(key);
      });
  if (!opened) return opened.error();
  transfer::RecordWriter records([&](std::span<const std::byte> bytes) { return write_full(out, bytes); });
  return transfer::export_records(**opened, checkpoint, records, {}, pod);
}

Status Adoption::commit(repository::Manifest head, const std::string& piece, const std::string& pod) {
  const std::string checkpoint = head.checkpoint;
  auto& repository = store_.repository();
  const auto join = [&]() -> Status {
    const auto here = repository::load_manifest_document(repository.core(), checkpoint);
    if (!here && here.error().code != ErrorCode::kNotFound) return here.error();
    JsonObject meta = here ? here->head.meta : head.meta;
    JsonArray pods;
    if (const JsonArray* before = here ? json_find_array(meta, "pods") : nullptr) pods = *before;
    if (std::ranges::count(pods, Json(pod)) > 0) return repository.drop_piece(piece);  // somebody was faster
    pods.emplace_back(pod);
    meta["pods"] = std::move(pods);
    if (here) return store_.levels().extend(checkpoint, {piece}, std::move(meta));
    head.meta = std::move(meta);
    return repository.commit_checkpoint(head, {piece});
  };
  {
    const std::lock_guard one_at_a_time(commit_mutex_);
    if (Status joined = join(); !joined) {
      const Status dropped = repository.drop_piece(piece);
      if (!dropped) spdlog::warn("{}", dropped.error().to_string());
      return joined;
    }
  }
  CACS_ASSIGN(const auto document, repository::load_manifest_document(repository.core(), checkpoint));
  if (options_.adopted) options_.adopted(document.head);
  return {};
}

}  // namespace cacs::agent
