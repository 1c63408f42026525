#include "inspect/diff_memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <set>

namespace cacs::inspect {

namespace {

using engine::Region;
using repository::kPageBytes;

bool is_shared(const Region& region) { return region.shared_id && (region.flags & MAP_SHARED) != 0; }

/// A region of one of the two, the other's that it corresponds to, and what was found.
struct Compared {
  const Region* before = nullptr;
  const Region* after = nullptr;
  std::uint64_t pages = 0;
};

/// Pairs of regions that begin at one address, or, of the others, that end at one: heaps grow up, stacks down.
std::vector<Compared> match(const std::vector<Region>& before, const std::vector<Region>& after) {
  std::map<std::uint64_t, const Region*> starts;
  std::map<std::uint64_t, const Region*> ends;
  for (const Region& region : before) {
    starts[region.start] = &region;
    ends[region.end] = &region;
  }
  std::set<const Region*> taken;
  std::vector<Compared> pairs;
  for (const Region& region : after) {
    const auto found = starts.find(region.start);
    pairs.push_back({.before = found == starts.end() ? nullptr : found->second, .after = &region});
    taken.insert(pairs.back().before);
  }
  for (Compared& pair : pairs) {
    const auto found = ends.find(pair.after->end);
    if (pair.before != nullptr || found == ends.end() || !taken.insert(found->second).second) continue;
    pair.before = found->second;
  }
  for (const Region& region : before) {
    if (!taken.contains(&region)) pairs.push_back({.before = &region});
  }
  return pairs;
}

class ProcessDiff {
 public:
  ProcessDiff(repository::Repository& repository, std::string prefix, const VisitChange& visit)
      : repository_(repository), prefix_(std::move(prefix)), visit_(visit) {}

  struct Side {
    const MemoryBranch* branch = nullptr;
    const ProcessMemory* process = nullptr;  ///< null: there is none
    [[nodiscard]] std::vector<Region> regions() const {
      return process == nullptr ? std::vector<Region>() : process->process.regions;
    }
    [[nodiscard]] repository::BlobRef own() const {
      return process == nullptr || process->own == nullptr ? repository::BlobRef{} : process->own->blob;
    }
  };

  Status run(const Side& before, const Side& after) {
    const auto regions_before = before.regions();
    const auto regions_after = after.regions();
    auto pairs = match(regions_before, regions_after);
    CACS_TRY(compare_own(before, after, pairs));
    for (Compared& pair : pairs) {
      if (pair.before != nullptr && pair.after != nullptr) CACS_TRY(compare_shared(before, after, pair));
      CACS_TRY(report(before, after, pair));
    }
    return {};
  }

 private:
  /// All private pages that differ, each counted for the region of the second that it is in.
  Status compare_own(const Side& before, const Side& after, std::vector<Compared>& pairs) {
    std::map<std::uint64_t, Compared*> by_end;
    for (Compared& pair : pairs) {
      if (pair.before != nullptr && pair.after != nullptr && !is_shared(*pair.after)) by_end[pair.after->end] = &pair;
    }
    if (by_end.empty()) return {};
    return repository_.compare_pages(
        before.own(), after.own(), {}, [&](std::uint64_t page, std::uint64_t count) -> Status {
          const std::uint64_t end = page + count;
          for (auto next = by_end.upper_bound(page * kPageBytes); next != by_end.end(); ++next) {
            const Region& region = *next->second->after;
            const std::uint64_t from = std::max(page, region.start / kPageBytes);
            const std::uint64_t to = std::min(end, region.end / kPageBytes);
            if (region.start / kPageBytes >= end) break;
            if (from < to) next->second->pages += to - from;
          }
          return {};
        });
  }

  Status compare_shared(const Side& before, const Side& after, Compared& pair) {
    if (!is_shared(*pair.after)) return {};
    const MemoryWindow now = after.branch->window_of(*after.process, *pair.after);
    const MemoryWindow then = before.branch->window_of(*before.process, *pair.before);
    const std::uint64_t first = now.start / kPageBytes;
    const std::uint64_t end = first + (pair.after->end - pair.after->start) / kPageBytes;
    if (!is_shared(*pair.before) || then.start != now.start) {
      pair.pages = now.memory ? now.memory->saved(first, end) : 0;
      return {};
    }
    return repository_.compare_pages(
        then.memory ? then.memory->blob : repository::BlobRef{}, now.memory ? now.memory->blob : repository::BlobRef{},
        {.first = first, .end = end}, [&pair](std::uint64_t /*page*/, std::uint64_t count) -> Status {
          pair.pages += count;
          return {};
        });
  }

  Status report(const Side& before, const Side& after, const Compared& pair) {
    const Region& region = pair.after != nullptr ? *pair.after : *pair.before;
    Change change{.path = prefix_ + region_file_name(region),
                  .memory = true,
                  .pages = pair.pages,
                  .pages_total = (region.end - region.start) / kPageBytes};
    if (pair.before == nullptr) {
      change.kind = ChangeKind::kAdded;
      change.pages = after.branch->facts_of(*after.process, region).saved;
    } else if (pair.after == nullptr) {
      change.kind = ChangeKind::kRemoved;
      change.pages = before.branch->facts_of(*before.process, region).saved;
    } else {
      change.attributes = pair.before->start != region.start || pair.before->end != region.end ||
                          pair.before->protection != region.protection || pair.before->name != region.name ||
                          pair.before->kind != region.kind;
      if (change.pages == 0 && !change.attributes) return {};
    }
    (change.kind == ChangeKind::kRemoved ? change.bytes_removed : change.bytes_added) = change.pages * kPageBytes;
    return visit_(change);
  }

  repository::Repository& repository_;
  std::string prefix_;
  const VisitChange& visit_;
};

const ProcessMemory* process_of(const MemoryBranch* branch, std::uint32_t pid) {
  if (branch == nullptr) return nullptr;
  const auto found = branch->processes().find(pid);
  return found == branch->processes().end() ? nullptr : &found->second;
}

}  // namespace

Status diff_memory(repository::Repository& repository, const std::string& prefix, const MemoryBranch* before,
                   const MemoryBranch* after, const VisitChange& visit) {
  std::set<std::uint32_t> pids;
  for (const MemoryBranch* branch : {before, after}) {
    if (branch == nullptr) continue;
    for (const auto& [pid, process] : branch->processes()) pids.insert(pid);
  }
  for (const std::uint32_t pid : pids) {
    ProcessDiff diff(repository, prefix + std::to_string(pid) + '/', visit);
    CACS_TRY(diff.run({.branch = before, .process = process_of(before, pid)},
                      {.branch = after, .process = process_of(after, pid)}));
  }
  return {};
}

}  // namespace cacs::inspect
