#include "basefs/keeper.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/io.h"
#include "base/log.h"
#include "base/text.h"
#include "basefs/in_use.h"
#include "basefs/overlay.h"

namespace cacs::basefs {

Keeper::Keeper(KeeperOptions options) : options_(std::move(options)), contents_(options_.directory / "contents") {}

Result<std::unique_ptr<Keeper>> Keeper::open(KeeperOptions options) {
  CACS_TRY(make_directories(options.directory / "contents", 0700));
  std::unique_ptr<Keeper> keeper(new Keeper(std::move(options)));
  CACS_TRY(keeper->load_journal());
  CACS_TRY(keeper->changes_.start());
  keeper->wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!keeper->wake_.valid()) return errno_error(errno, "make an event descriptor");
  return keeper;
}

Keeper::~Keeper() {
  {
    const Lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  const std::uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) < 0) spdlog::error("the keeper of the base could not be woken");
  if (watcher_.joinable()) watcher_.join();
  if (saver_.joinable()) saver_.join();
}

std::string Keeper::base_path(const std::string& path) const {
  return options_.base == "/" ? path : options_.base.string() + path;
}

Status Keeper::load_journal() {
  const auto path = options_.directory / "journal";
  const auto text = read_text_file(path, kMaxRecordBytes);
  if (text && !text->empty()) {
    auto record = parse_record(*text, true);
    if (!record) return record.error().with_context("read " + path.string());
    record_ = *std::move(record);
  }
  // A journal is rewritten when it is taken up: it does not grow for ever, and ends with a whole line.
  const auto temporary = options_.directory / "journal.new";
  CACS_ASSIGN(journal_, open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600));
  CACS_TRY(write_full(journal_.get(), serialise(record_)));
  if (::rename(temporary.c_str(), path.c_str()) != 0) return errno_error(errno, "rename " + temporary.string());
  std::set<std::string> digests;
  for (auto& [name, entry] : record_.entries) {
    entry.saved = entry.saved && contents_.has(entry.digest);
    if (entry.saved && digests.insert(entry.digest).second) kept_bytes_ += entry.stamp.size;
    if (!entry.problem.empty()) complaints_.insert(name);
    if (!entry.link && entry.digest.empty()) save_later_.push_back(name);
  }
  return {};
}

void Keeper::journal(const std::string& line) {
  if (const auto written = write_full(journal_.get(), line); !written) {
    spdlog::warn("the journal of the base: {}", written.error().to_string());
  }
}

/// With the lock held.
void Keeper::put(const Entry& entry) {
  journal(entry_line(entry));
  record_.entries[entry.path] = entry;
}

void Keeper::warn(const std::string& warning) {
  const Lock lock(mutex_);
  auto& warnings = record_.warnings;
  if (warnings.size() >= kMaxWarnings || std::find(warnings.begin(), warnings.end(), warning) != warnings.end()) return;
  warnings.push_back(warning);
  journal(warning_line(warning));
}

void Keeper::complain(const std::string& path, const std::string& what) {
  {
    const Lock lock(mutex_);
    if (!complaints_.insert(path).second) return;
    const auto found = record_.entries.find(path);
    if (found != record_.entries.end()) {
      found->second.problem = what;
      journal(entry_line(found->second));
    }
  }
  spdlog::warn("base: {} {}", printable(path), what);
  if (options_.report) options_.report(path, what);
}

void Keeper::seed(const Record& record) {
  for (const auto& [path, saved] : record.entries) {
    if (hidden_by(options_.upper, path)) continue;
    auto entry = look(options_.base, path);
    if (!entry || entry->link != saved.link) continue;
    const auto directory = std::filesystem::path(path).parent_path();
    if (const auto added = changes_.add(base_path(directory), directory); !added) warn(added.error().message);
    entry->opened = saved.opened;
    entry->digest = saved.digest;
    entry->token = saved.token;
    const Lock lock(mutex_);
    put(*entry);
    if (!entry->link) save_later_.push_back(path);
  }
  for (const auto& warning : record.warnings) warn(warning);
}

Status Keeper::attach(UniqueFd root) {
  root_ = std::move(root);
  if (const auto started = opens_.start(root_.get(), options_.prefix); !started) {
    warn("files that are opened and closed between checkpoints are not noticed: " + started.error().message);
  }
  std::set<std::string> directories;
  for (const auto& [path, entry] : record_.entries) directories.insert(std::filesystem::path(path).parent_path());
  for (const auto& directory : directories) {
    // One that is gone is found out by verify_tree() below.
    if (const auto added = changes_.add(base_path(directory), directory);
        !added && added.error().code != ErrorCode::kNotFound) {
      warn(added.error().message);
    }
  }
  const bool taken_up = !record_.entries.empty();
  watcher_ = std::thread([this] { watch_loop(); });
  saver_ = std::thread([this] { save_loop(); });
  if (taken_up) verify_tree("");
  return {};
}

void Keeper::hint(const std::string& path) {
  if (!is_plain_path(path)) return;
  // Links are for the program to follow; what counts is what they lead to.
  std::error_code problem;
  const auto resolved = std::filesystem::canonical(base_path(path), problem);
  if (problem) return;
  std::string real = resolved;
  if (options_.base != "/") {
    if (!is_within(real, options_.base.native())) return;
    real.erase(0, options_.base.native().size());
  }
  if (!is_plain_path(real) || hidden_by(options_.upper, real)) return;
  if (std::filesystem::is_directory(resolved, problem)) {
    if (const auto where = surroundings_of_directory(options_.base, real)) ask_surroundings(*where);
  } else {
    note(real, true);
  }
}

void Keeper::scan(pid_t init) {
  init_ = init;
  for (const auto& path : files_in_use(init)) note(path, true);
  verify_tree("");
}

bool Keeper::settle(std::chrono::milliseconds limit) {
  Lock lock(mutex_);
  const std::uint64_t pass = ++passes_wanted_;
  const std::uint64_t one = 1;
  if (::write(wake_.get(), &one, sizeof one) < 0) return false;
  return changed_.wait_for(lock, limit, [&] { return stopping_ || (passes_done_ >= pass && !busy()); });
}

bool Keeper::busy() const { return saving_ || !save_first_.empty() || !save_later_.empty() || !walks_.empty(); }

Record Keeper::view() const {
  const Lock lock(mutex_);
  return record_;
}

void Keeper::remember_tokens(const std::map<std::string, std::string>& tokens) {
  const Lock lock(mutex_);
  for (auto& [path, entry] : record_.entries) {
    const auto found = tokens.find(entry.digest);
    if (entry.link || found == tokens.end() || found->second == entry.token) continue;
    entry.token = found->second;
    journal(entry_line(entry));
  }
}

std::vector<std::string> Keeper::warnings() const {
  const Lock lock(mutex_);
  std::vector<std::string> list = record_.warnings;
  for (const auto& [path, entry] : record_.entries) {
    if (list.size() > kMaxWarnings) break;
    if (!entry.problem.empty()) list.push_back(printable(path) + " " + entry.problem);
  }
  return list;
}

}  // namespace cacs::basefs
