#include "repository/sim_world.h"

#include <algorithm>

#include "base/io.h"
#include "base/uuid.h"
#include "repository/test_support.h"

namespace cacs::repository {

namespace {

constexpr std::uint64_t kTurns = 40'000;
constexpr std::uint64_t kValues = 30;  ///< different pages: few, so that versions share them again and again

SimChaos chaos_of(std::uint64_t seed) {
  std::mt19937_64 random(seed * 7919);
  SimChaos chaos;
  chaos.failures = std::array{0U, 2U, 10U, 30U}.at(random() % 4);
  chaos.kills = std::array{0U, 5U, 20U}.at(random() % 3);
  chaos.lag = std::array{std::uint64_t{0}, std::uint64_t{10}, std::uint64_t{1000}}.at(random() % 3);
  chaos.conditions = random() % 2 == 0;
  return chaos;
}

std::string page_of(std::uint64_t value) {
  std::string page(kPageBytes, '\0');
  for (std::size_t at = 0; at < page.size(); ++at) page[at] = static_cast<char>(value * 31 + at % (value + 3));
  return page;
}

bool same_id(const Error& error, ErrorCode code) { return error.code == code; }

}  // namespace

SimWorld::SimWorld(std::uint64_t seed, SessionFault fault)
    : seed_(seed), fault_(fault), chaos_(chaos_of(seed)), stage_(seed, chaos_) {}

void SimWorld::wrong(std::string what) {
  const std::lock_guard lock(mutex_);
  if (!wrong_) wrong_ = std::move(what);
}

Place SimWorld::place(std::unique_ptr<Backend> backend, std::uint64_t gone_percent) const {
  const auto clock = std::make_shared<FakeClock>();
  Place place{std::move(backend), test_keys(Sealing::kNone), nullptr};
  place.sessions.fault = fault_;
  place.sessions.writer.beat = std::chrono::hours(10);
  place.sessions.writer.max_committed = 3;
  place.sessions.writer.patience.clock = clock;
  place.sessions.collector.patience.clock = clock;
  place.sessions.collector.limits.max_done = 2;
  place.sessions.collector.limits.max_lineage = 3;
  // All are processes of this one: who is dead cannot be told, and must not matter.
  auto random = std::make_shared<std::mt19937_64>(seed_ + gone_percent);
  place.sessions.collector.is_gone = [random, gone_percent](const WriterHost&) {
    return (*random)() % 100 < gone_percent;
  };
  return place;
}

/// Life after life of one process, until it has done all its turns.
void SimWorld::live(Actor actor, int turns, Status (SimWorld::*act)(Actor&, Repository&)) {
  while (turns > 0) {
    auto repository = Repository::open(place(stage_.backend(actor.process), 15));
    while (repository && turns > 0 && !stage_.is_dead(actor.process)) {
      --turns;
      static_cast<void>((this->*act)(actor, **repository).ok());
      if (actor.pick(8) == 0) break;  // opens it anew
    }
    if (!repository) --turns;
    if (repository) repository->reset();
    if (stage_.is_dead(actor.process)) stage_.reborn(actor.process);
  }
  stage_.leave(actor.process);
}

std::optional<std::string> SimWorld::any_committed(Actor& actor) {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  for (const auto& [id, expected] : model_) {
    if (expected.fate == Fate::kCommitted) ids.push_back(id);
  }
  if (ids.empty()) return std::nullopt;
  return ids.at(actor.pick(ids.size()));
}

Result<std::string> SimWorld::pages(Actor& actor, Writer& writer, std::vector<Entry>& entries) {
  if (actor.memory.empty() || actor.pick(6) == 0) {
    actor.memory.clear();
    const auto count = 3 + actor.pick(80);
    for (std::uint64_t i = 0; i < count; ++i) actor.memory += page_of(actor.pick(kValues));
  }
  for (std::uint64_t i = 0; i < 2; ++i) {
    const auto at = actor.pick(actor.memory.size() / kPageBytes) * kPageBytes;
    actor.memory.replace(at, kPageBytes, page_of(actor.pick(kValues)));
  }
  const BlobRef* parent = actor.parents.empty() ? nullptr : &actor.parents.at(actor.pick(actor.parents.size()));
  CACS_ASSIGN(const BlobRef blob, writer.put_pages(MemoryPageSource(as_bytes(actor.memory)), parent));
  entries.push_back({"memory", blob});
  return actor.memory;
}

/// One checkpoint, in one of three ways.
Status SimWorld::commit(Actor& actor, Repository& repository, const std::string& id, Contents& contents) {
  const auto way = actor.pick(3);
  CACS_ASSIGN(const auto writer, repository.begin("sim", way == 0 ? id : std::string()));
  std::vector<Entry> entries;
  CACS_ASSIGN(contents["memory"], pages(actor, *writer, entries));
  std::string text = random_bytes(2000 + 3000 * actor.pick(3), actor.pick(6));
  CACS_ASSIGN(const BlobRef file, put_text(*writer, text));
  entries.push_back({"file", file});
  contents["file"] = std::move(text);
  if (const auto other = any_committed(actor)) {
    const auto source = repository.load(*other);
    for (const auto& entry : source ? source->entries : std::vector<Entry>()) {
      if (!writer->reuse(entry.blob)) continue;
      const std::lock_guard lock(mutex_);
      entries.push_back({"of " + entry.name, entry.blob});
      contents["of " + entry.name] = model_.at(*other).contents.at(entry.name);
    }
  }
  {
    const std::lock_guard lock(mutex_);
    model_[id].contents = contents;  // it may exist from here on
  }
  Manifest manifest{.checkpoint = id, .application = "sim"};
  const BlobRef memory = entries.front().blob;
  if (way == 1) {
    CACS_ASSIGN(const auto piece, writer->finish_piece(std::move(entries), {}));
    CACS_TRY(repository.commit_checkpoint(std::move(manifest), {piece}));
  } else {
    manifest.entries = std::move(entries);
    CACS_TRY(writer->commit(std::move(manifest)));
  }
  actor.parents.push_back(memory);
  if (actor.parents.size() > 3) actor.parents.erase(actor.parents.begin());
  return {};
}

Status SimWorld::write(Actor& actor, Repository& repository) {
  const std::string id = new_uuid();
  Contents contents;
  const auto committed = commit(actor, repository, id, contents);
  const std::lock_guard lock(mutex_);
  if (!model_.contains(id)) return committed;
  if (committed) {
    model_[id].fate = Fate::kCommitted;
    ++counts_.committed;
  } else if (same_id(committed.error(), ErrorCode::kAborted)) {
    model_[id].fate = Fate::kRefused;
    ++counts_.refused;
  } else {
    ++counts_.unknown;
    if (same_id(committed.error(), ErrorCode::kCorrupt) && !wrong_) wrong_ = committed.error().to_string();
  }
  return committed;
}

Status SimWorld::collect(Actor& actor, Repository& repository) {
  const auto collected = repository.collect({.max_garbage = actor.pick(2) == 0 ? 0.0 : 0.3});
  const std::lock_guard lock(mutex_);
  if (collected) {
    counts_.packs_removed += collected->packs_removed;
    counts_.packs_written += collected->packs_written;
    if (!collected->problems.empty() && !wrong_) wrong_ = collected->problems.front().to_string();
    return {};
  }
  if (same_id(collected.error(), ErrorCode::kCorrupt) && !wrong_) wrong_ = collected.error().to_string();
  return collected.error();
}

/// Looks about until there is something committed.
std::optional<std::string> SimWorld::await_committed(Actor& actor, Repository& repository) {
  for (int look = 0; look < 40; ++look) {
    if (auto id = any_committed(actor)) return id;
    if (stage_.is_dead(actor.process)) break;
    static_cast<void>(repository.list().ok());
  }
  return std::nullopt;
}

Status SimWorld::remove(Actor& actor, Repository& repository) {
  static_cast<void>(repository.list().ok());  // takes its time
  const auto id = await_committed(actor, repository);
  if (!id) return {};
  {
    const std::lock_guard lock(mutex_);
    model_[*id].fate = Fate::kDeleting;
  }
  const auto removed = repository.remove(*id);
  if (removed) {
    const std::lock_guard lock(mutex_);
    model_[*id].fate = Fate::kDeleted;
    ++counts_.deleted;
  } else if (same_id(removed.error(), ErrorCode::kNotFound)) {
    wrong("a committed checkpoint was not there to be deleted: " + *id);
  }
  return removed;
}

/// What stays committed while it is read has to be there, and right.
Status SimWorld::read(Actor& actor, Repository& repository) {
  const auto id = await_committed(actor, repository);
  if (!id) return {};
  const auto look = [&]() -> Status {
    CACS_ASSIGN(const auto manifest, repository.load(*id));
    Contents expected;
    {
      const std::lock_guard lock(mutex_);
      expected = model_.at(*id).contents;
    }
    if (manifest.entries.size() != expected.size()) return make_error(ErrorCode::kCorrupt, "other entries");
    for (const auto& entry : manifest.entries) {
      CACS_ASSIGN(const auto text, read_text(repository, entry.blob));
      if (text != expected[entry.name]) return make_error(ErrorCode::kCorrupt, "other bytes in " + entry.name);
    }
    return {};
  };
  const auto looked = look();
  const std::lock_guard lock(mutex_);
  if (looked) ++counts_.read;
  if (!looked && model_.at(*id).fate == Fate::kCommitted && !wrong_) {
    const bool excused = same_id(looked.error(), ErrorCode::kUnavailable) ||
                         same_id(looked.error(), ErrorCode::kTimeout) || same_id(looked.error(), ErrorCode::kNoSpace);
    if (!excused) wrong_ = "while it is read, " + *id + ": " + looked.error().to_string();
  }
  return looked;
}

void SimWorld::verify(Repository& repository, const std::string& when) {
  for (const auto& [id, expected] : model_) {
    const auto manifest = repository.load(id);
    if (!manifest) {
      const bool may_be_gone = expected.fate != Fate::kCommitted && same_id(manifest.error(), ErrorCode::kNotFound);
      if (!may_be_gone) wrong(when + ": " + id + ": " + manifest.error().to_string());
      continue;
    }
    if (expected.fate == Fate::kRefused) wrong(when + ": refused, and there: " + id);
    if (expected.fate == Fate::kDeleted) wrong(when + ": deleted, and there: " + id);
    if (manifest->entries.size() != expected.contents.size()) wrong(when + ": other entries in " + id);
    for (const auto& entry : manifest->entries) {
      const auto text = read_text(repository, entry.blob);
      if (!text) {
        wrong(when + ": " + id + ", " + entry.name + ": " + text.error().to_string());
      } else if (*text != expected.contents.at(entry.name)) {
        wrong(when + ": other bytes in " + id + ", " + entry.name);
      }
    }
  }
  const auto checked = repository.check(true);
  if (!checked) return wrong(when + ": " + checked.error().to_string());
  for (const auto& problem : checked->problems) wrong(when + ": check: " + problem.to_string());
}

/// Nobody writes any more: after a few collections nothing is there but what counts.
void SimWorld::settle(Repository& repository) {
  verify(repository, "after the chaos");
  static_cast<void>(repository.drop_all_pieces().ok());
  CollectResult last;
  for (int run = 0; run < 8 && !wrong_; ++run) {
    const auto collected = repository.collect({.max_garbage = 0});
    if (!collected) return wrong("a collection in the calm: " + collected.error().to_string());
    last = *collected;
    if (run % 3 == 0) verify(repository, "after a collection");
  }
  verify(repository, "in the end");
  if (last.packs_removed + last.packs_written + last.packs_condemned + last.bytes_garbage != 0) {
    wrong("garbage is left, or is never done with");
  }
}

std::optional<std::string> SimWorld::run() {
  {
    auto made = Repository::create(place(stage_.reliable_backend(), 0));
    if (!made) return made.error().to_string();
  }
  std::mt19937_64 random(seed_);
  std::vector<std::thread> threads;
  const auto start = [&](bool reliable, int turns, Status (SimWorld::*act)(Actor&, Repository&)) {
    const int process = stage_.add(reliable);
    threads.emplace_back([this, process, turns, act, actor_seed = random()] {
      live({*this, process, std::mt19937_64(actor_seed)}, turns, act);
    });
  };
  start(false, 8, &SimWorld::write);
  start(false, 8, &SimWorld::write);
  start(false, 12, &SimWorld::collect);
  if (random() % 2 == 0) start(false, 8, &SimWorld::collect);
  start(false, 6, &SimWorld::remove);
  start(true, 8, &SimWorld::read);
  stage_.run(kTurns);
  for (auto& thread : threads) thread.join();
  counts_.kills = stage_.kills();
  stage_.calm();
  auto repository = Repository::open(place(stage_.reliable_backend(), 100));
  if (!repository) return "it cannot be opened: " + repository.error().to_string();
  settle(**repository);
  return wrong_;
}

}  // namespace cacs::repository
