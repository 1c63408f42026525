#include "delta/baseline.h"

#include "delta/wire.h"

namespace cacs::delta {
namespace {

constexpr std::string_view kMagic = "CACSDLTB";
constexpr std::uint64_t kVersion = 1;
constexpr std::uint64_t kMinimumReader = 1;
constexpr std::size_t kMaxBootIdBytes = 64;

void write_time(WireWriter& out, const Timestamp& time) {
  out.signed_number(time.seconds);
  out.number(time.nanoseconds);
}

Timestamp read_time(WireReader& in) {
  Timestamp time;
  time.seconds = in.signed_number();
  time.nanoseconds = in.number32(999'999'999);
  return time;
}

Error corrupt(const std::string& why) {
  return make_error(ErrorCode::kCorrupt, "the baseline of the delta is not valid: " + why,
                    "it is dropped, and the next checkpoint reads every file");
}

}  // namespace

std::string serialise(const Baseline& baseline) {
  WireWriter out;
  out.raw(kMagic);
  out.number(kVersion);
  out.number(kMinimumReader);
  out.number(baseline.tree.device);
  out.number(baseline.tree.inode);
  write_time(out, baseline.tree.birth);
  out.bytes(baseline.tree.boot_id);
  out.number(baseline.identities.size());
  for (const Identity& identity : baseline.identities) {
    out.number(identity.inode);
    write_time(out, identity.birth);
    write_time(out, identity.ctime);
    out.number(identity.trusted ? 1 : 0);
  }
  if (!baseline.empty()) out.raw(serialise(baseline.listing));
  return out.take();
}

Result<Baseline> parse_baseline(std::string_view bytes) {
  WireReader in(bytes);
  if (in.raw(kMagic.size()) != kMagic) return corrupt("it does not begin as one");
  in.number();  // version of the writer
  const std::uint64_t minimum_reader = in.number();
  if (in.ok() && minimum_reader > kVersion) {
    return make_error(ErrorCode::kUnsupported, "the baseline of the delta was written by a newer version of CACS",
                      "it is dropped, and the next checkpoint reads every file");
  }
  Baseline baseline;
  baseline.tree.device = in.number();
  baseline.tree.inode = in.number();
  baseline.tree.birth = read_time(in);
  baseline.tree.boot_id = in.bytes(kMaxBootIdBytes);
  const std::uint64_t count = in.number(kMaxEntries);
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
    Identity identity;
    identity.inode = in.number();
    identity.birth = read_time(in);
    identity.ctime = read_time(in);
    identity.trusted = in.number(1) == 1;
    baseline.identities.push_back(identity);
  }
  if (!in.ok()) return corrupt("it ends early or holds a number out of range");
  if (count == 0 && in.at_end()) return baseline;
  CACS_ASSIGN(baseline.listing, parse_listing(in.raw(in.left())));
  if (baseline.listing.entries.size() != baseline.identities.size()) return corrupt("its parts differ in length");
  return baseline;
}

BaselineIndex::BaselineIndex(const Baseline& baseline) : baseline_(baseline) {
  by_inode_.reserve(baseline.identities.size());
  for (std::size_t i = 0; i < baseline.identities.size(); ++i) by_inode_.emplace(baseline.identities[i].inode, i);
}

const Entry* BaselineIndex::find_unchanged(const Identity& now) const {
  const auto found = by_inode_.find(now.inode);
  if (found == by_inode_.end()) return nullptr;
  const Identity& then = baseline_.identities[found->second];
  if (!then.trusted || then.birth != now.birth || then.ctime != now.ctime) return nullptr;
  return &baseline_.listing.entries[found->second];
}

}  // namespace cacs::delta
