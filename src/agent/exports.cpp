#include "agent/exports.h"

#include <fmt/format.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "transfer/framing.h"
#include "transfer/transfer.h"

namespace cacs::agent {

namespace {

constexpr std::chrono::hours kTicketLife{1};
constexpr std::size_t kMaxTickets = 4096;
constexpr std::size_t kTicketBytes = 24;

Result<std::string> make_ticket() {
  std::array<unsigned char, kTicketBytes> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1) {
    return make_error(ErrorCode::kInternal, "no random numbers to be had");
  }
  std::string ticket;
  for (const unsigned char byte : bytes) ticket += fmt::format("{:02x}", byte);
  return ticket;
}

}  // namespace

Result<std::string> Exports::permit(const std::string& checkpoint, const std::string& pod) {
  CACS_ASSIGN(const repository::Manifest manifest, repository_.load(checkpoint));
  const bool has = std::ranges::any_of(manifest.pieces, [&](const auto& piece) { return piece.label == pod; });
  if (!has) {
    return make_error(ErrorCode::kNotFound,
                      fmt::format("checkpoint {} has nothing of {} on this node", checkpoint, printable(pod)));
  }
  CACS_ASSIGN(std::string ticket, make_ticket());
  const std::lock_guard lock(mutex_);
  forget_old();
  if (tickets_.size() >= kMaxTickets) {
    return make_error(ErrorCode::kUnavailable, "other nodes take as much from this one as they may", "try again later");
  }
  tickets_.emplace(ticket, Ticket{{checkpoint, pod}, Clock::now() + kTicketLife});
  return ticket;
}

void Exports::forget_old() {
  std::erase_if(tickets_, [now = Clock::now()](const auto& each) { return each.second.end <= now; });
}

Result<Exports::Permitted> Exports::look_up(std::string_view ticket) {
  const std::lock_guard lock(mutex_);
  forget_old();
  const auto found = tickets_.find(ticket);
  if (found != tickets_.end()) return found->second.permitted;
  return make_error(ErrorCode::kNotFound, "there is no such ticket, or it has ended",
                    "tickets end after an hour, and with the agent: let the server ask for another one");
}

Status Exports::send(const Permitted& permitted, const std::function<Status(std::string_view)>& send) {
  Status sent;
  transfer::FrameWriter frames([&](std::string_view text) -> Status {
    sent = send(text);
    return sent;
  });
  transfer::RecordWriter records([&](std::span<const std::byte> bytes) { return frames.write(bytes); });
  const Status exported = transfer::export_records(repository_, permitted.checkpoint, records, {}, permitted.pod);
  if (!sent) return sent;
  return exported ? frames.end() : frames.fail(exported.error());
}

}  // namespace cacs::agent
