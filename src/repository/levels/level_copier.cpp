#include "repository/levels/level_copier.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "base/uuid.h"
#include "repository/keys/key_slot.h"
#include "repository/layout.h"
#include "repository/levels/pack_copy.h"
#include "repository/unlock.h"

namespace cacs::repository {

namespace {

/// How often a pack may be rewritten by collections while it is being copied.
constexpr int kRounds = 16;

bool is(const Status& status, ErrorCode code) { return !status && status.error().code == code; }

Result<bool> exists(Backend& backend, const std::string& name, std::uint64_t& size) {
  const auto found = backend.size(name);
  if (!found && found.error().code == ErrorCode::kNotFound) return false;
  if (!found) return found.error();
  size = *found;
  return true;
}

}  // namespace

struct LevelCopier::Job {
  explicit Job(Core& core, const CopyOptions& with) : options(with), reach(core) {}
  const CopyOptions& options;
  Reach reach;
  CopyProgress progress;
  CopyResult result;
};

// --- what a repository is ------------------------------------------------------------------------------------------

Status LevelCopier::check_descriptor(bool& there) {
  CACS_ASSIGN(const Descriptor ours, read_descriptor(core_.backend()));
  const auto theirs = read_descriptor(to_);
  there = theirs.ok();
  if (!theirs && theirs.error().code == ErrorCode::kNotFound) return {};
  if (!theirs) return theirs.error();
  if (theirs->id == ours.id && theirs->sealing == ours.sealing) return {};
  return make_error(ErrorCode::kConflict,
                    fmt::format("{} holds another repository ({}) than {} ({})", to_.describe(), theirs->id,
                                core_.backend().describe(), ours.id),
                    "give each repository a further level of its own: another bucket, prefix or directory");
}

/// A slot with fewer generations of keys is the older one. Slots that are there alone stay: somebody made them there.
Status LevelCopier::copy_slot(const std::string& name) {
  CACS_ASSIGN(const auto ours, get_object(core_.backend(), name, kMaxKeySlotBytes));
  const auto theirs = get_object(to_, name, kMaxKeySlotBytes);
  if (!theirs && theirs.error().code != ErrorCode::kNotFound && theirs.error().code != ErrorCode::kTooLarge) {
    return theirs.error();
  }
  if (theirs && *theirs == ours) return {};
  const auto slot = KeySlot::parse(ours, name);
  if (!slot) {
    spdlog::warn("{} is not copied: {}", name, slot.error().to_string());
    return {};
  }
  if (theirs) {
    const auto other = KeySlot::parse(*theirs, name);
    if (other && other->prints().size() > slot->prints().size()) return {};
  }
  return put_object(to_, name, ours, Overwrite::kYes);
}

Status LevelCopier::prepare() {
  bool there = false;
  CACS_TRY(check_descriptor(there));
  std::vector<std::string> slots;
  CACS_TRY(core_.backend().list(std::string(kSlotPrefix), [&](const ObjectInfo& object) -> Status {
    slots.push_back(object.name);
    return {};
  }));
  // Slots first: what is sealed under new keys is to be readable as soon as it is there.
  for (const auto& name : slots) CACS_TRY(copy_slot(name));
  std::uint64_t size = 0;
  CACS_ASSIGN(const bool marked, exists(to_, std::string(kCopyName), size));
  if (!marked) CACS_TRY(put_object(to_, std::string(kCopyName), {}, Overwrite::kYes));
  if (there) return {};
  const std::string name(kDescriptorName);
  CACS_ASSIGN(const auto descriptor, get_object(core_.backend(), name, kMaxDocumentBytes));
  auto put = put_object(to_, name, descriptor, Overwrite::kNo);
  if (!put && put.error().code != ErrorCode::kConflict) return put;
  // Another may have been quicker, also where the store does not say so.
  return check_descriptor(there);
}

// --- packs ---------------------------------------------------------------------------------------------------------

Status LevelCopier::list_there(PacksThere& there) {
  return to_.list(std::string(kPackPrefix), [&](const ObjectInfo& object) -> Status {
    if (const auto name = parse_pack_name(object.name)) there[name->id][name->generation] = object.size;
    return {};
  });
}

Result<Generations> LevelCopier::look_for(const PackVersion& pack, const PacksThere& listed) {
  const auto found = listed.find(pack.id);
  Generations there = found == listed.end() ? Generations() : found->second;
  if (to_.traits().current_listing) return there;
  // What a late listing shows may be gone, and what is there may not be shown.
  std::vector<std::uint32_t> candidates;
  for (const auto& [generation, size] : there) {
    if (generation > pack.generation) candidates.push_back(generation);
  }
  for (std::uint32_t generation = pack.generation; generation > 0; --generation) candidates.push_back(generation);
  there.clear();
  for (const std::uint32_t generation : candidates) {
    std::uint64_t size = 0;
    CACS_ASSIGN(const bool is_there, exists(to_, pack_name(pack.id, generation), size));
    if (!is_there) continue;
    there[generation] = size;
    if (generation <= pack.generation) break;  // it covers: lower ones make no difference
  }
  return there;
}

/// Rule 1 of copy_plan.h: ours was looked at, now whether a lower one is there; only then ours goes.
Status LevelCopier::bring_generation(const OpenPack& pack, const PackVersion& object, std::uint32_t number,
                                     PackStep step, Job& job) {
  if (!job.reach.is_covered(number, pack.table)) {
    return corrupt(fmt::format("pack {} has not all that is needed of it", object.id.to_hex()));
  }
  for (std::uint32_t lower = object.generation - 1; lower > 0; --lower) {
    std::uint64_t size = 0;
    CACS_ASSIGN(const bool covered, exists(to_, pack_name(object.id, lower), size));
    if (covered) return {};
  }
  if (step == PackStep::kReplace) {
    spdlog::warn("{} of {} has not the length that it was written with: it is written anew", pack.name, to_.describe());
  }
  std::uint64_t passed = 0;
  const PackCopy what{.pack = pack,
                      .size = object.size,
                      .on_bytes =
                          [&](std::uint64_t bytes) {
                            passed += bytes;
                            job.progress.bytes_done += bytes;
                            if (job.options.progress) job.options.progress(job.progress);
                          },
                      .stop = job.options.stop};
  Status copied = copy_pack(core_.backend(), to_, what, step == PackStep::kReplace ? Overwrite::kYes : Overwrite::kNo);
  if (is(copied, ErrorCode::kConflict)) {
    // Another copier was quicker.
    std::uint64_t size = 0;
    CACS_ASSIGN(const bool there, exists(to_, pack.name, size));
    if (there && size == object.size) return {};
    return copied;
  }
  CACS_TRY(copied);
  ++job.result.packs_copied;
  job.result.bytes_copied += passed;
  return {};
}

/// Only with a history of its own can the other level have later generations alone: a repository that was put back from
/// an old backup. What is there may still have all that is needed.
Status LevelCopier::compare(std::uint32_t number, const PackVersion& there, Job& job) {
  CACS_ASSIGN(const auto pack, open_pack(to_, core_.keys(), there.id, there.generation, there.size));
  if (job.reach.is_covered(number, pack->table)) return {};
  return make_error(ErrorCode::kConflict,
                    fmt::format("{} has a later generation ({}) of pack {} than {}, without all that is needed of it",
                                to_.describe(), there.generation, there.id.to_hex(), core_.backend().describe()),
                    "one of the two was put back from an older copy: copy to an empty place");
}

Status LevelCopier::bring(std::uint32_t number, PackStep step, Job& job) {
  Status last;
  for (int round = 0; round < kRounds; ++round) {
    CACS_ASSIGN(const auto pack, core_.store.open(number));
    const auto known = core_.store.catalog().pack(number);
    if (known.generation != pack->generation) {  // the next one has just appeared
      CACS_TRY(core_.store.refresh());
      continue;
    }
    const PackVersion object{.id = known.id, .generation = known.generation, .size = known.size};
    last = bring_generation(*pack, object, number, step, job);
    if (!is(last, ErrorCode::kNotFound)) return last;
    core_.store.forget(number);  // rewritten since it was opened: open() finds the next generation
    step = PackStep::kCopy;
  }
  return last.ok() ? make_error(ErrorCode::kUnavailable, "a pack is being rewritten over and over") : last;
}

// --- checkpoints ---------------------------------------------------------------------------------------------------

/// Rule 2 of copy_plan.h: the manifest is read when all packs are there.
Status LevelCopier::copy_manifest(std::string_view checkpoint, Job& job) {
  const std::string name = manifest_name(core_.keys(), checkpoint);
  CACS_ASSIGN(auto ours, get_object(core_.backend(), name, kMaxDocumentBytes));
  // It may have got more pods (Repository::extend_checkpoint), whose packs were not looked for.
  if (ours != job.result.manifest) {
    return make_error(ErrorCode::kUnavailable, "the checkpoint has been extended meanwhile");
  }
  CACS_ASSIGN(const JsonObject body, parse_document(DocumentKind::kManifest, core_.keys(), name, ours));
  auto put = put_object(to_, name, ours, Overwrite::kNo);
  if (!is(put, ErrorCode::kConflict)) return put;
  const auto theirs = get_object(to_, name, kMaxDocumentBytes);
  if (theirs && *theirs == ours) return {};
  if (!theirs && theirs.error().code != ErrorCode::kTooLarge) return theirs.error();
  spdlog::warn("{} of {} is damaged, or older than the one here: it is written anew", name, to_.describe());
  return put_object(to_, name, ours, Overwrite::kYes);
}

Status LevelCopier::explain(std::string_view checkpoint, Status status) {
  if (status) return status;
  const auto code = status.error().code;
  if (code != ErrorCode::kCorrupt && code != ErrorCode::kNotFound) return status;
  const auto here = core_.backend().size(manifest_name(core_.keys(), checkpoint));
  if (here || here.error().code != ErrorCode::kNotFound) return status;
  return make_error(ErrorCode::kNotFound,
                    fmt::format("there is no checkpoint {} in {}", checkpoint, core_.backend().describe()));
}

Status LevelCopier::copy_all(std::string_view checkpoint, Job& job) {
  CACS_TRY(core_.store.refresh());
  const std::string name = manifest_name(core_.keys(), checkpoint);
  CACS_ASSIGN(job.result.manifest, get_object(core_.backend(), name, kMaxDocumentBytes));
  CACS_ASSIGN(const ManifestDocument document, load_manifest_document(core_, checkpoint));
  CACS_TRY(job.reach.mark(document.entries, document.entry_count));
  std::vector<PackVersion> needed;
  for (const std::uint32_t number : job.reach.needed()) {
    CACS_TRY(core_.store.open(number));
    const auto known = core_.store.catalog().pack(number);
    if (known.generation == 0) return make_error(ErrorCode::kUnavailable, "a pack is just being rewritten");
    needed.push_back({.id = known.id, .generation = known.generation, .size = known.size});
  }
  job.result.packs = needed.size();
  PacksThere listed;
  CACS_TRY(list_there(listed));
  PacksThere there;
  for (const PackVersion& pack : needed) {
    if (job.options.stop.stop_requested()) return make_error(ErrorCode::kAborted, "told to stop");
    CACS_ASSIGN(there[pack.id], look_for(pack, listed));
  }
  const CopyPlan plan = plan_copy(needed, there);
  job.progress.bytes_total = plan.bytes;
  for (const auto& [pack, step] : plan.items) {
    if (job.options.stop.stop_requested()) return make_error(ErrorCode::kAborted, "told to stop");
    const std::uint32_t number = core_.store.catalog().number_of(pack.id);
    if (step == PackStep::kCompare) {
      const auto highest = *there[pack.id].rbegin();
      CACS_TRY(compare(number, {.id = pack.id, .generation = highest.first, .size = highest.second}, job));
    } else {
      CACS_TRY(bring(number, step, job));
    }
  }
  return copy_manifest(checkpoint, job);
}

Result<CopyResult> LevelCopier::copy(std::string_view checkpoint, const CopyOptions& options) {
  const std::string doing = fmt::format("copy checkpoint {} to {}", checkpoint, to_.describe());
  CACS_TRY(prepare().context(doing));
  Job job(core_, options);
  CACS_TRY(explain(checkpoint, copy_all(checkpoint, job)).context(doing));
  return job.result;
}

Status LevelCopier::remove(std::string_view checkpoint) {
  if (!is_uuid(checkpoint)) return make_error(ErrorCode::kInvalidArgument, "a checkpoint's id is a UUID");
  auto removed = to_.remove(manifest_name(core_.keys(), checkpoint));
  if (is(removed, ErrorCode::kNotFound)) return {};
  return std::move(removed).context(fmt::format("remove checkpoint {} from {}", checkpoint, to_.describe()));
}

}  // namespace cacs::repository
